// Servers: every connection is served, on however many loops, until the end; and how that comes.
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/few_descriptors.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/serve.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
using tutti::task;
using tutti_test::end_of;
using tutti_test::end_of_future;
using tutti_test::some_turns;

struct serve : testing::Test {
  const tutti_test::watchdog dog;
};

task<> echo(io::stream s) {
  std::array<char, 4096> room{};
  for (;;) {
    const std::size_t n = co_await s.read_some(room);
    if (n == 0) co_return;
    co_await s.write(std::span(room.data(), n));
  }
}

task<> talk_to(io::endpoint place) {
  io::stream s = co_await io::connect(place);
  co_await s.write("x");
  const std::string got = co_await s.read_exactly(1);
  EXPECT_EQ(got, "x");
}

// The sockets of this process that listen at a place.
std::set<int> listening_at(const io::endpoint& place) {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename().string());
    int listens = 0;
    ::socklen_t size = sizeof listens;
    ::sockaddr_storage address{};
    ::socklen_t length = sizeof address;
    auto* const at = reinterpret_cast<::sockaddr*>(&address);
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0 &&
        ::getsockname(fd, at, &length) == 0 && io::endpoint(at, length) == place)
      found.insert(fd);
  }
  return found;
}

TEST_F(serve, echoes_over_tcp_and_drains) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const io::endpoint place = at.local();
    std::stop_source quit;
    const std::stop_token token = quit.get_token();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(io::serve(std::move(at), echo, {.stop = token}));
      io::stream s = co_await io::connect(place);
      co_await s.write("over there");
      EXPECT_EQ(co_await s.read_exactly(10), "over there");
      quit.request_stop();
      co_await s.write("still");
      EXPECT_EQ(co_await s.read_exactly(5), "still");
      s.close();
    });
  }());
}

TEST_F(serve, on_several_loops) {
  io::run([]() -> task<> {
    io::listener at = io::listen("localhost:0");
    const io::endpoint place = at.local();
    std::stop_source quit;
    const std::stop_token token = quit.get_token();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(io::serve(std::move(at), echo, {.loops = 3, .stop = token}));
      for (int i = 0; i < 20; ++i) co_await talk_to(place);
      quit.request_stop();
    });
  }());
}

// ---------------------------------------------------------------- places for connections

struct few_places : testing::TestWithParam<std::tuple<int, std::string>> {
  const tutti_test::watchdog dog;
};

// A loop that waits for a connection keeps no place from those to which the system gives it.
TEST_P(few_places, are_enough_on_several_loops) {
  const auto [places, address] = GetParam();
  io::run([](int most, std::string where) -> task<> {
    io::listener at = io::listen(where);
    const io::endpoint place = at.local();
    std::stop_source quit;
    const std::stop_token token = quit.get_token();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(io::serve(std::move(at), echo, {.max_connections = most, .loops = 2, .stop = token}));
      for (int i = 0; i < 20; ++i) co_await talk_to(place);
      quit.request_stop();
    });
  }(places, address == "unix:@" ? address + "tutti.serve_test." + std::to_string(::getpid()) : address));
}

INSTANTIATE_TEST_SUITE_P(serve, few_places,
                         testing::Combine(testing::Values(1, 2), testing::Values("127.0.0.1:0", "unix:@")));

TEST_F(serve, more_than_its_places_wait_for_their_turn) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const io::endpoint place = at.local();
    std::stop_source quit;
    const std::stop_token token = quit.get_token();
    int now = 0, most = 0, served = 0;
    const auto one = [&](io::stream s) -> task<> {
      most = std::max(most, ++now);
      co_await some_turns();
      co_await s.write("x");
      --now;
      if (++served == 12) quit.request_stop();
    };
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(io::serve(std::move(at), one, {.max_connections = 3, .stop = token}));
      for (int i = 0; i < 12; ++i)
        group.spawn([&]() -> task<> {
          io::stream s = co_await io::connect(place);
          const std::string got = co_await s.read_exactly(1);
          EXPECT_EQ(got, "x");
        });
      co_return;
    });
    EXPECT_EQ(most, 3);
    EXPECT_EQ(served, 12);
  }());
}

// ---------------------------------------------------------------- the end

// Clients that are connected when the server is asked to end: all are served. `at_once`: places; `asked_at`: the
// handler that asks for the end; 0: it was asked for before the beginning.
task<> serve_all_of(std::string where, int at_once, int asked_at) {
  constexpr int count = 40;
  io::listener at = io::listen(where);
  const io::endpoint place = at.local();
  std::vector<io::stream> clients;
  for (int i = 0; i < count; ++i) {
    clients.push_back(co_await io::connect(place));
  }
  std::stop_source quit;
  const std::stop_token token = quit.get_token();
  int served = 0;
  const auto one = [&](io::stream s) -> task<> {
    if (++served == asked_at) quit.request_stop();
    co_await s.write("x");
  };
  if (asked_at == 0) quit.request_stop();
  co_await io::serve(std::move(at), one, {.max_connections = at_once, .stop = token});
  EXPECT_EQ(served, count) << where << ", " << at_once << " at once, asked to end at the " << asked_at << "th";
  for (io::stream& s : clients) {
    const std::string end = co_await end_of([&] { return s.read_exactly(1); });
    EXPECT_EQ(end, "value");
  }
}

TEST_F(serve, its_end_loses_nobody_who_is_connected) {
  const std::string local = "unix:@tutti.serve_test.end." + std::to_string(::getpid());
  for (const std::string& where : {std::string("127.0.0.1:0"), local})
    for (const int at_once : {1, 3, 100})
      for (const int asked_at : {0, 1, 15, 16, 17, 40}) io::run(serve_all_of(where, at_once, asked_at));
}

TEST_F(serve, who_comes_after_its_end_is_refused) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const io::endpoint place = at.local();
    std::stop_source quit;
    quit.request_stop();
    const std::stop_token token = quit.get_token();
    co_await io::serve(std::move(at), echo, {.stop = token});
    int code = 0;
    try {
      co_await io::connect(place);
    } catch (const tutti::os_error& e) {
      code = e.code();
    }
    EXPECT_EQ(code, ECONNREFUSED);
  }());
}

TEST_F(serve, handlers_that_do_not_end_are_stopped_at_last) {
  io::run([]() -> task<> {
    for (const int loops : {1, 2}) {
      io::listener at = io::listen("127.0.0.1:0");
      std::vector<io::stream> clients;
      for (int i = 0; i < 4; ++i) {
        clients.push_back(co_await io::connect(at.local()));
      }
      std::stop_source quit;
      const std::stop_token token = quit.get_token();
      std::atomic<int> alive{0}, begun{0};
      const auto one = [&](io::stream) -> task<> {
        if (++begun == 4) quit.request_stop();
        co_await tutti_test::live_for_ever(alive);
      };
      co_await io::serve(std::move(at), one, {.loops = loops, .drain = 1ms, .stop = token});
      EXPECT_EQ(begun, 4);
      EXPECT_EQ(alive, 0);
    }
  }());
}

// Connects until a handler of another thread has one, which it keeps.
task<std::vector<io::stream>> connect_far(io::endpoint place, const std::atomic<int>& far) {
  std::vector<io::stream> clients;
  std::array<char, 1> room{};
  while (far == 0) {
    io::stream s = co_await io::connect(place);
    co_await s.read_some(room);  // its handler has begun
    clients.push_back(std::move(s));
  }
  co_return clients;
}

// What is asked of the task reaches the other loops also when its own has ended.
TEST_F(serve, a_stop_reaches_all_loops) {
  io::run([](std::thread::id home) -> task<> {
    for (const bool drains : {false, true}) {
      io::listener at = io::listen("127.0.0.1:0");
      const io::endpoint place = at.local();
      std::stop_source quit;
      const std::stop_token token = quit.get_token();
      std::atomic<int> far{0}, alive{0};
      const auto one = [&, home](io::stream s) -> task<> {
        const bool is_far = std::this_thread::get_id() != home;
        if (is_far) ++far;
        co_await s.write("x");
        if (is_far) co_await tutti_test::live_for_ever(alive);
      };
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        group.spawn(io::serve(std::move(at), one, {.loops = 2, .drain = 1h, .stop = token}));
        const std::vector<io::stream> clients = co_await connect_far(place, far);
        if (drains) {
          quit.request_stop();
          co_await some_turns();
        }
        group.stop();
      });
      EXPECT_GE(far, 1);
      EXPECT_EQ(alive, 0);
    }
  }(std::this_thread::get_id()));
}

TEST_F(serve, a_loop_that_fails_ends_all) {
  io::run([](std::thread::id home) -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const io::endpoint place = at.local();
    const int own = at.descriptor();
    std::atomic<int> far{0}, alive{0};
    const auto one = [&, home](io::stream s) -> task<> {
      if (std::this_thread::get_id() != home) ++far;
      co_await s.write("x");
      co_await tutti_test::live_for_ever(alive);
    };
    int code = 0;
    const auto watch = [&]() -> task<> {
      try {
        co_await io::serve(std::move(at), one, {.loops = 2});
      } catch (const tutti::os_error& e) {
        code = e.code();
      }
    };
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(watch());
      const std::vector<io::stream> clients = co_await connect_far(place, far);
      std::set<int> others = listening_at(place);
      others.erase(own);
      EXPECT_EQ(others.size(), 1U);
      for (const int fd : others) ::shutdown(fd, SHUT_RDWR);  // it listens no more
    });
    EXPECT_EQ(code, EINVAL);
    EXPECT_EQ(alive, 0);
  }(std::this_thread::get_id()));
}

TEST_F(serve, ends_with_its_loop) {
  io::loop here;
  std::jthread running([&] { here.run(); });
  std::atomic<int> begun{0}, alive{0};
  const auto one = [&](io::stream s) -> task<> {
    co_await s.write("x");
    ++begun;
    co_await tutti_test::live_for_ever(alive);
  };
  const auto all = [&]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const io::endpoint place = at.local();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(io::serve(std::move(at), one, {.loops = 2}));
      std::vector<io::stream> clients;
      std::array<char, 1> room{};
      for (int i = 0; i < 8; ++i) {
        clients.push_back(co_await io::connect(place));
        co_await clients.back().read_some(room);
      }
      here.stop();
      co_await tutti_test::sleep_for_ever();
    });
  };
  EXPECT_EQ(end_of_future(here.submit(all())), "cancelled");
  running.join();
  EXPECT_EQ(begun, 8);
  EXPECT_EQ(alive, 0);
}

// ---------------------------------------------------------------- errors

TEST_F(serve, refuses_what_makes_no_sense) {
  io::run([]() -> task<> {
    const auto end_with = [](io::listener at, io::serve_options options) -> task<std::string> {
      task<> all = io::serve(std::move(at), echo, options);
      co_return co_await end_of([&] { return std::move(all); });
    };
    const io::serve_options usual;
    EXPECT_EQ(co_await end_with(io::listener(), usual), "invalid_argument");
    for (const int bad : {0, -1}) {
      const io::serve_options no_places{.max_connections = bad}, no_loops{.loops = bad};
      EXPECT_EQ(co_await end_with(io::listen("127.0.0.1:0"), no_places), "invalid_argument");
      EXPECT_EQ(co_await end_with(io::listen("127.0.0.1:0"), no_loops), "invalid_argument");
    }
    const io::serve_options many{.loops = 4097};
    EXPECT_EQ(co_await end_with(io::listen("127.0.0.1:0"), many), "invalid_argument");
  }());
}

// A child takes from itself what it does without: four clients have descriptors at a time, the others wait.
TEST(serve_without, descriptors_for_all_serves_all) {
  if (tutti_test::sanitized) GTEST_SKIP() << "a sanitizer opens files when something is thrown";
  tutti_test::child c([] {
    if (!tutti_test::allow_descriptors(64)) return 2;
    return io::run([]() -> task<int> {
      io::listener at = io::listen("127.0.0.1:0");
      std::vector<io::stream> clients;
      for (int i = 0; i < 12; ++i) {
        clients.push_back(co_await io::connect(at.local()));
      }
      std::vector<tutti::unique_fd> taken;
      for (int fd = 0; fd >= 0; fd = taken.back().get()) taken.emplace_back(::dup(0));
      taken.resize(taken.size() - 5);  // the last one is none
      std::stop_source quit;
      const std::stop_token token = quit.get_token();
      int served = 0;
      const auto one = [&](io::stream s) -> task<> {
        co_await s.write("x");
        co_await some_turns();
        if (++served == 12) quit.request_stop();
      };
      co_await io::serve(std::move(at), one, {.stop = token});
      co_return served == 12 ? 0 : 1;
    }());
  });
  EXPECT_EQ(c.join(), 0);
}

}  // namespace
