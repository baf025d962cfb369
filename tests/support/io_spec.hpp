// io_spec: what the tests of the io module's promises share: how a wait ended, all ways to end one, descriptors
// counted.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <tests/support/processes.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/watchdog.hpp>
#include <tutti/base/error.hpp>
#include <tutti/io/http/http_error.hpp>
#include <tutti/io/http/parser.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

/// What was thrown, in words: "value", "cancelled", "os_error ECONNRESET", "too_long", ...
inline std::string io_kind_of(const std::exception_ptr& error) {
  if (error == nullptr) return "value";
  try {
    std::rethrow_exception(error);
  } catch (const tutti::os_error& e) {
    return std::string("os_error ") + ::strerrorname_np(e.code());
  } catch (const tutti::io::too_long&) {
    return "too_long";
  } catch (const tutti::io::tls_error&) {
    return "tls_error";
  } catch (const tutti::io::dns_error&) {
    return "dns_error";
  } catch (const tutti::io::websocket_error&) {
    return "websocket_error";
  } catch (const tutti::io::http::http_error& e) {
    return "http_error " + e.phase();
  } catch (...) {
    return kind_of(std::current_exception());
  }
}

/// How `co_await make()` ends.
template <class Make>
tutti::task<std::string> how(Make make) {
  std::exception_ptr error;
  try {
    static_cast<void>(co_await make());
  } catch (...) {
    error = std::current_exception();
  }
  co_return io_kind_of(error);
}
/// The same for one that gives nothing.
template <class Make>
tutti::task<std::string> how_void(Make make) {
  std::exception_ptr error;
  try {
    co_await make();
  } catch (...) {
    error = std::current_exception();
  }
  co_return io_kind_of(error);
}

/// Notes how it ends.
template <class Make>
tutti::task<> note(std::string& into, Make make) {
  into = "begun";
  into = co_await how_void(std::move(make));
}

/// Runs `f()`, a task, on a loop of its own.
template <class F>
auto on_a_loop(F f) {
  return tutti::io::run(f());
}

/// A test that must not hang, and leaves as many descriptors as it found: at once, but for those that helper threads
/// close.
class io_spec : public testing::Test {
 protected:
  void SetUp() override {
    on_a_loop([]() -> tutti::task<> {
      auto [a, b] = tutti::io::stream_pair();
      static_cast<void>(co_await tutti::io::resolve("localhost", 1));
      co_await tutti::sleep_for(std::chrono::nanoseconds(1));
    });
    before_ = open_descriptors();
  }
  void TearDown() override {
    if (IsSkipped()) return;
#ifdef __SANITIZE_THREAD__
    return;  // the sanitizer opens two pipes to its symbolizer, at a moment of its own choice
#endif
    EXPECT_LE(settled_descriptors(before_), before_) << "descriptors are left behind";
  }

 private:
  watchdog dog_;
  int before_ = 0;
};

/// All ways in which a wait that would not end by itself is made to end. `make()` gives it anew, each time with what it
/// needs; nothing may be left of it each time.
inline void expect_it_can_be_ended(const std::string& what, const std::function<tutti::task<>()>& make) {
  SCOPED_TRACE(what);
  const int before = open_descriptors();
  const auto closed_all = [&](const char* way) {
    EXPECT_LE(settled_descriptors(before), before) << "descriptors are left behind after " << way;
  };
  on_a_loop([&]() -> tutti::task<> {
    std::string end;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(note(end, make));
      co_await some_turns();
      EXPECT_EQ(end, "begun") << "it did not wait";
      group.stop();
    });
    EXPECT_EQ(end, "cancelled") << "by its group";
  });
  closed_all("its group's stop");
  on_a_loop([&]() -> tutti::task<> {
    const std::string end = co_await how_void([&] { return tutti::with_timeout(make(), std::chrono::nanoseconds(0)); });
    EXPECT_EQ(end, "timed_out") << "at its first wait";
  });
  closed_all("a timeout at once");
  on_a_loop([&]() -> tutti::task<> {
    const std::string end =
        co_await how_void([&] { return tutti::with_timeout(make(), std::chrono::milliseconds(5)); });
    EXPECT_EQ(end, "timed_out") << "later";
  });
  closed_all("a timeout");
  on_a_loop([&]() -> tutti::task<> {
    tutti::task<> loser = make(), winner = some_turns();
    const auto first = co_await tutti::when_any(std::move(loser), std::move(winner));
    EXPECT_EQ(first.index, 1U);
  });
  closed_all("another one was first");
  {
    tutti::io::loop loop;
    std::string end;
    const auto waits = [&]() -> tutti::task<> { co_await note(end, make); };
    auto done = loop.submit(waits());
    const auto stops = [&]() -> tutti::task<> {
      co_await some_turns();
      loop.stop();
    };
    auto stopped = loop.submit(stops());
    loop.run();
    EXPECT_EQ(end, "cancelled") << "by loop.stop()";
  }
  closed_all("loop.stop()");
}

// ---- raw sockets, for peers that misbehave

/// The next close of it sends a reset.
inline void will_reset(int fd) {
  const ::linger at_once{1, 0};
  EXPECT_EQ(::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
}

/// Two streams over TCP.
inline tutti::task<std::pair<tutti::io::stream, tutti::io::stream>> tcp_pair() {
  tutti::io::listener at = tutti::io::listen("127.0.0.1:0");
  tutti::io::stream client = co_await tutti::io::connect(at.local());
  tutti::io::stream server = co_await at.accept();
  co_return std::pair(std::move(client), std::move(server));
}

/// Writes until the system takes no more without a wait.
inline tutti::task<std::size_t> fill(tutti::io::stream& to) {
  const std::string much(65536, 'f');
  std::size_t total = 0;
  for (;;) {
    const ::ssize_t n = ::send(to.descriptor(), much.data(), much.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      total += static_cast<std::size_t>(n);
      continue;
    }
    // TCP's buffers grow on the other side meanwhile
    co_await some_turns();
    const ::ssize_t again = ::send(to.descriptor(), much.data(), much.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (again <= 0) co_return total;
    total += static_cast<std::size_t>(again);
  }
}

/// All that comes until the end, or an error, which is appended in brackets.
inline tutti::task<std::string> all_of(tutti::io::stream& from) {
  std::string got;
  std::array<char, 4096> room;
  std::exception_ptr error;
  try {
    for (;;) {
      const std::size_t n = co_await from.read_some(room, std::chrono::seconds(30));
      if (n == 0) break;
      got.append(room.data(), n);
    }
  } catch (...) {
    error = std::current_exception();
  }
  if (error != nullptr) got += '[' + io_kind_of(error) + ']';
  co_return got;
}

}  // namespace tutti_test
