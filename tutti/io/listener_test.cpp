// Listeners: who connects is accepted, whatever becomes of the listener; its file; what happens without resources.
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/few_descriptors.hpp>
#include <tests/support/refused_calls.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/base/log.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
using tutti::task;
using tutti::unique_fd;
using tutti_test::child;
using tutti_test::end_of;
using tutti_test::some_turns;

struct listener : testing::Test {
  const tutti_test::watchdog dog;
};

// A client that has connected; by the system's own means, at once.
unique_fd client_of(const io::endpoint& place) {
  unique_fd made(::socket(place.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(made.get(), place.data(), place.size()), 0) << errno;
  return made;
}

// ---------------------------------------------------------------- accepting

TEST_F(listener, accepts_who_has_connected_and_who_will) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const unique_fd first = client_of(at.local());
    io::stream accepted = co_await at.accept();
    EXPECT_EQ(accepted.local(), at.local());
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> { accepted = co_await at.accept(); });
      co_await some_turns();
      const unique_fd second = client_of(at.local());
    });
    EXPECT_TRUE(accepted);
  }());
}

TEST_F(listener, waits_no_longer_than_its_limit) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    for (const auto limit : {0ms, 1ms}) {
      const std::string end = co_await end_of([&] { return at.accept(limit); });
      EXPECT_EQ(end, "timed_out");
    }
    const unique_fd client = client_of(at.local());
    const std::string end = co_await end_of([&] { return at.accept(0ms); });
    EXPECT_EQ(end, "value") << "there is one";
  }());
}

TEST_F(listener, that_was_closed_says_so) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    at.close();
    EXPECT_FALSE(at);
    EXPECT_EQ(at.descriptor(), -1);
    EXPECT_THROW(static_cast<void>(at.local()), tutti::closed);
    const std::string end = co_await end_of([&] { return at.accept(); });
    EXPECT_EQ(end, "closed");
    at.close();
  }());
}

TEST_F(listener, belongs_to_its_loop) {
  io::loop first;
  std::optional<io::listener> at;
  first.run([](std::optional<io::listener>& made) -> task<> {
    made = io::listen("127.0.0.1:0");
    co_return;
  }(at));
  const unique_fd client = client_of(at->local());
  io::run([](io::listener& l) -> task<> {
    const std::string end = co_await end_of([&] { return l.accept(); });
    EXPECT_EQ(end, "logic_error");
  }(*at));
}

// ---------------------------------------------------------------- its end while somebody waits

enum class way { closed, destroyed, replaced, elsewhere };

TEST_F(listener, ends_while_somebody_waits_for_a_connection) {
  io::run([]() -> task<> {
    for (const way how : {way::closed, way::destroyed, way::replaced, way::elsewhere}) {
      std::optional<io::listener> at = io::listen("127.0.0.1:0");
      std::string end;
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        group.spawn([&]() -> task<> { end = co_await end_of([&] { return at->accept(); }); });
        co_await some_turns();
        EXPECT_EQ(end, "");
        if (how == way::closed) at->close();
        if (how == way::destroyed) at.reset();
        if (how == way::replaced) at = io::listen("127.0.0.1:0");
        if (how == way::elsewhere) std::jthread([gone = std::move(*at)]() mutable { gone.close(); }).join();
      });
      EXPECT_EQ(end, "closed") << static_cast<int>(how);
    }
  }());
}

// Whatever the coroutine is about to do: to wait, or to take the connection that has come.
TEST_F(listener, ends_at_any_moment_after_a_connection_came) {
  io::run([]() -> task<> {
    for (int turns = 0; turns < 60; ++turns) {
      std::optional<io::listener> at = io::listen("127.0.0.1:0");
      std::string end;
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        group.spawn([&]() -> task<> { end = co_await end_of([&] { return at->accept(); }); });
        co_await some_turns();
        const unique_fd client = client_of(at->local());
        for (int i = 0; i < turns; ++i) co_await tutti::yield_now();
        at.reset();
      });
      EXPECT_TRUE(end == "closed" || end == "value") << end;
    }
  }());
}

TEST_F(listener, ends_before_a_task_that_accepts_begins) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    task<io::stream> later = at.accept();
    at = {};
    const std::string end = co_await end_of([&] { return std::move(later); });
    EXPECT_EQ(end, "closed");
  }());
}

TEST_F(listener, moves_while_somebody_waits) {
  io::run([]() -> task<> {
    std::optional<io::listener> at = io::listen("127.0.0.1:0");
    io::stream accepted;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> { accepted = co_await at->accept(); });
      co_await some_turns();
      const io::listener moved = std::move(*at);
      at.reset();
      const unique_fd client = client_of(moved.local());
      while (!accepted) co_await tutti::yield_now();
    });
  }());
}

// ---------------------------------------------------------------- files of Unix sockets

struct listener_file : listener {
  listener_file() {
    std::string name = (std::filesystem::temp_directory_path() / "tutti.listener_test.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder = name;
    path = folder / "socket";
    place = "unix:" + path.string();
  }
  ~listener_file() override { std::filesystem::remove_all(folder); }

  std::filesystem::path folder, path;
  std::string place;
};

TEST_F(listener_file, has_the_mode_that_was_asked_for) {
  const ::mode_t before = ::umask(022);
  for (const ::mode_t mask : {0U, 022U, 077U, 0777U}) {
    ::umask(mask);
    for (const int mode : {0600, 0660, 0666, 0777}) {
      io::run([](std::string at, std::string file, int expected) -> task<> {
        const io::listener made = io::listen(at, {.mode = expected});
        struct ::stat status{};
        EXPECT_EQ(::stat(file.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777, static_cast<::mode_t>(expected));
        co_return;
      }(place, path, mode));
    }
  }
  ::umask(before);
}

TEST_F(listener_file, goes_with_it) {
  io::run([](std::string at, std::filesystem::path file) -> task<> {
    {
      io::listener first = io::listen(at);
      const io::listener moved = std::move(first);
      first.close();
      EXPECT_TRUE(exists(file));
    }
    EXPECT_FALSE(exists(file));
    io::listener again = io::listen(at);
    again.close();
    EXPECT_FALSE(exists(file));
    co_return;
  }(place, path));
}

TEST_F(listener_file, of_nobody_is_replaced_and_no_other) {
  io::run([](std::string at, std::filesystem::path file) -> task<> {
    {
      const io::endpoint there = io::endpoint::parse(at);
      const unique_fd left(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      EXPECT_EQ(::bind(left.get(), there.data(), there.size()), 0);
    }
    EXPECT_TRUE(exists(file));
    const auto code = [&] {
      try {
        static_cast<void>(io::listen(at));
      } catch (const tutti::os_error& e) {
        return e.code();
      }
      return 0;
    };
    {
      const io::listener first = io::listen(at);
      EXPECT_EQ(code(), EADDRINUSE);
      EXPECT_TRUE(exists(file)) << "it is the first one's";
    }
    std::ofstream(file) << "a file";
    EXPECT_EQ(code(), EADDRINUSE);
    EXPECT_EQ(std::filesystem::file_size(file), 6U);
    co_return;
  }(place, path));
}

TEST_F(listener_file, is_not_left_behind_off_a_loop) {
  EXPECT_THROW(static_cast<void>(io::listen(place)), std::logic_error);
  EXPECT_FALSE(exists(path));
}

// ---------------------------------------------------------------- without resources

// Children: they take from themselves what they do without.

struct warnings final : tutti::log_sink {
  void write(const tutti::log_record& record) override {
    if (record.message == "accepting pauses") ++count;
  }
  std::atomic<int> count{0};
};

std::shared_ptr<warnings> hear_warnings() {
  auto heard = std::make_shared<warnings>();
  tutti::set_log_sink(heard);
  return heard;
}

// Takes all descriptors that there are.
std::vector<unique_fd> take_all() {
  std::vector<unique_fd> all;
  for (;;) {
    unique_fd one(::fcntl(0, F_DUPFD_CLOEXEC, 0));
    if (!one) return all;
    all.push_back(std::move(one));
  }
}

// The name of what it says when it is not what was expected.
#define RETURN_UNLESS(condition)                                                \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::cerr << __FILE__ << ':' << __LINE__ << ": not so: " #condition "\n"; \
      co_return 1;                                                              \
    }                                                                           \
  } while (false)

TEST(listener_without, descriptors_waits_for_one) {
  if (tutti_test::sanitized) GTEST_SKIP() << "a sanitizer opens files when something is thrown";
  child c([] {
    if (!tutti_test::allow_descriptors(64)) return 2;
    return io::run([]() -> task<int> {
      const auto heard = hear_warnings();
      std::optional<io::listener> at = io::listen("127.0.0.1:0");
      const unique_fd first = client_of(at->local()), second = client_of(at->local());
      std::vector<unique_fd> all = take_all();
      for (int i = 0; i < 3; ++i) {
        const std::string end = co_await end_of([&] { return at->accept(25ms); });
        RETURN_UNLESS(end == "timed_out");
      }
      RETURN_UNLESS(heard->count == 1);  // however often it was tried
      all.resize(all.size() - 3);
      const io::stream one = co_await at->accept(), other = co_await at->accept();
      RETURN_UNLESS(heard->count == 1);
      const std::string nobody = co_await end_of([&] { return at->accept(0ms); });
      RETURN_UNLESS(nobody == "timed_out");
      const std::vector<unique_fd> rest = take_all();
      std::string end;
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        group.spawn([&]() -> task<> { end = co_await end_of([&] { return at->accept(); }); });
        while (heard->count == 1) co_await tutti::yield_now();
        at.reset();
      });
      RETURN_UNLESS(heard->count == 2);  // another time
      RETURN_UNLESS(end == "closed");
      co_return 0;
    }());
  });
  EXPECT_EQ(c.join(), 0);
}

// What fails for a reason of its own, and would fail again at once.
TEST(listener_without, permission_to_accept_fails) {
  for (const int error : {EPERM, ENOSYS, EINVAL}) {
    child c([error] {
      return io::run([](int expected) -> task<int> {
        io::listener at = io::listen("127.0.0.1:0");
        if (!tutti_test::refuse_call(SYS_accept4, expected)) co_return 2;
        int code = 0;
        try {
          co_await at.accept();
        } catch (const tutti::os_error& e) {
          code = e.code();
        }
        RETURN_UNLESS(code == expected);
        co_return 0;
      }(error));
    });
    EXPECT_EQ(c.join(), 0) << error;
  }
}

// The errors of a connection are no reason to give up, nor to keep others from their turn.
TEST(listener_without, a_network_goes_on) {
  for (const int error : {ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH}) {
    child c([error] {
      return io::run([](int refused) -> task<int> {
        io::listener at = io::listen("127.0.0.1:0");
        if (!tutti_test::refuse_call(SYS_accept4, refused)) co_return 2;
        std::string end, stopped;
        co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
          group.spawn([&]() -> task<> { stopped = co_await end_of([&] { return at.accept(); }); });
          end = co_await end_of([&] { return at.accept(5ms); });
          group.stop();
        });
        RETURN_UNLESS(end == "timed_out");
        RETURN_UNLESS(stopped == "cancelled");
        co_return 0;
      }(error));
    });
    EXPECT_EQ(c.join(), 0) << error;
  }
}

// The loop cannot watch one more: that one is lost, and the listener is as before.
TEST(listener_without, room_in_the_loop_waits) {
  child c([] {
    return io::run([]() -> task<int> {
      const auto heard = hear_warnings();
      io::listener at = io::listen("127.0.0.1:0");
      const unique_fd client = client_of(at.local());
      if (!tutti_test::refuse_call(SYS_epoll_ctl, ENOSPC, EPOLL_CTL_ADD)) co_return 2;
      const std::string end = co_await end_of([&] { return at.accept(25ms); });
      RETURN_UNLESS(end == "timed_out");
      RETURN_UNLESS(heard->count == 1);
      char got = 0;
      RETURN_UNLESS(::recv(client.get(), &got, 1, 0) <= 0);
      co_return 0;
    }());
  });
  EXPECT_EQ(c.join(), 0);
}

}  // namespace
