// Looking up names: on helper threads, which whoever waits may leave at once.
#include <gtest/gtest.h>
#include <tests/support/busy_helpers.hpp>
#include <tests/support/failure_of.hpp>
#include <tests/support/no_descriptors.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <latch>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
namespace io = tutti::io;
using tutti::task;
using tutti_test::failure_of;

// How the system looks names up, as this program sees it: "held.test" waits for a test, "two.test" is two addresses.
struct held_lookup {
  std::latch inside{1}, go{1}, through{1};
};
std::atomic<held_lookup*> holder{nullptr};
std::atomic<int> lookups{0};

int look_up(const char* host, const char* port, const ::addrinfo* hints, ::addrinfo** found) {
  static const auto system = reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const bool by_name = hints == nullptr || (hints->ai_flags & AI_NUMERICHOST) == 0;
  if (by_name) ++lookups;
  if (by_name && std::strcmp(host, "held.test") == 0) {
    held_lookup* const held = holder;
    held->inside.count_down();
    held->go.wait();
    const int result = system("127.0.0.1", port, hints, found);
    held->through.count_down();
    return result;
  }
  if (by_name && std::strcmp(host, "two.test") == 0) {
    const int result = system("127.0.0.2", port, hints, found);
    return result != 0 ? result : system("127.0.0.1", port, hints, &(*found)->ai_next);
  }
  return system(host, port, hints, found);
}

std::vector<std::string> texts(const std::vector<io::endpoint>& places) {
  std::vector<std::string> all;
  for (const io::endpoint& place : places) all.push_back(place.text());
  return all;
}

struct dns : testing::Test {
  const tutti_test::watchdog dog;
};

TEST_F(dns, numbers_are_themselves_and_ask_nobody) {
  const tutti_test::busy_helpers all;
  EXPECT_EQ(texts(io::run(io::resolve("127.0.0.1", 80))), std::vector{"127.0.0.1:80"s});
  EXPECT_EQ(texts(io::run(io::resolve("::1", 65535))), std::vector{"[::1]:65535"s});
}

TEST_F(dns, finds_this_machine) {
  const std::vector<std::string> found = texts(io::run(io::resolve("localhost", 80)));
  EXPECT_TRUE(std::ranges::count(found, "127.0.0.1:80") == 1 || std::ranges::count(found, "[::1]:80") == 1);
  EXPECT_EQ(std::ranges::adjacent_find(found), found.end()) << "each once";
}

TEST_F(dns, says_what_it_did_not_find) {
  // Where no name server answers, it is not to be asked again and again.
  ::setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);  // NOLINT(concurrency-mt-unsafe): before there are others
  const std::string said = io::run(failure_of<io::dns_error>(io::resolve("no-such-host.invalid", 80)));
  EXPECT_EQ(said.find("cannot find host \"no-such-host.invalid\": "), 0U) << said;
  const std::string by_connect = io::run(failure_of<io::dns_error>(io::connect("no-such-host.invalid:80")));
  EXPECT_EQ(by_connect, said);
}

TEST_F(dns, names_that_are_none_are_refused_at_once) {
  const tutti_test::busy_helpers all;
  for (const std::string& name : {""s, "local\0host"s, std::string(254, 'a')}) {
    const std::string said = io::run(failure_of<io::dns_error>(io::resolve(name, 80)));
    EXPECT_NE(said.find("a name has 1 to 253 characters, none of them zero"), std::string::npos) << said;
  }
}

// The system's resolver takes these for 127.0.0.1.
TEST_F(dns, shorthands_of_addresses_are_no_names) {
  const tutti_test::busy_helpers all;
  for (const char* name :
       {"127.1", "0177.0.0.1", "2130706433", "0x7f.1", "0x7F000001", "127.0.0.0x1", "127.0.0.1.", "0x"}) {
    const std::string said = io::run(failure_of<io::dns_error>(io::resolve(name, 80)));
    EXPECT_NE(said.find("it ends in a number"), std::string::npos) << name << ": " << said;
    const std::string by_connect = io::run(failure_of<io::dns_error>(io::connect(name + ":80"s)));
    EXPECT_EQ(by_connect, said);
  }
}

TEST_F(dns, without_a_descriptor_says_so) {
  if (tutti_test::sanitized) GTEST_SKIP() << "a sanitizer opens files when something is thrown";
  io::run([]() -> task<> {
    const tutti_test::no_descriptors all;
    const std::string said = co_await failure_of<tutti::os_error>(io::resolve("localhost", 80));
    EXPECT_EQ(said, "cannot look up host \"localhost\": Too many open files");
  }());
}

TEST_F(dns, who_gives_up_in_the_queue_does_so_at_once_and_nobody_is_asked) {
  const int before = lookups;
  {
    const tutti_test::busy_helpers all;
    io::run([]() -> task<> {
      const std::string late = co_await failure_of<tutti::timed_out>(io::resolve("localhost", 80, 1ms));
      EXPECT_EQ(late, "looking up host \"localhost\" took longer than the limit of 1 ms");
      io::connect_options options;
      options.limit = 1ms;
      const std::string to = co_await failure_of<tutti::timed_out>(io::connect("localhost:80", options));
      EXPECT_EQ(to.find("looking up host \"localhost\" took longer than the limit of "), 0U) << to;
      co_await tutti::task_group::run([](tutti::task_group& group) -> task<> {
        group.spawn([]() -> task<> {
          co_await io::resolve("localhost", 80);
          ADD_FAILURE();
        });
        co_await tutti::yield_now();
        group.stop();
      });
    }());
  }
  const tutti_test::busy_helpers drained;  // they had their turn, if they were still to come
  EXPECT_EQ(lookups, before);
}

TEST_F(dns, who_gives_up_on_one_that_hangs_leaves_it_to_itself) {
  held_lookup held;
  holder = &held;
  io::run([](held_lookup& slow) -> task<> {
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([]() -> task<> {
        co_await io::resolve("held.test", 80);
        ADD_FAILURE();
      });
      co_await tutti::yield_now();
      slow.inside.wait();
      group.stop();
    });
  }(held));
  held.go.count_down();
  held.through.wait();
  // And who waits for it gets it.
  held_lookup again;
  holder = &again;
  again.go.count_down();
  EXPECT_EQ(texts(io::run(io::resolve("held.test", 80))), std::vector{"127.0.0.1:80"s});
}

TEST_F(dns, connecting_tries_the_addresses_one_after_the_other) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const std::string port = std::to_string(at.local().port());
    io::stream s = co_await io::connect("two.test:" + port);
    EXPECT_EQ(s.remote().text(), "127.0.0.1:" + port);
    at.close();
    const std::string said = co_await failure_of<tutti::os_error>(io::connect("two.test:" + port));
    EXPECT_EQ(said.find("connecting to 127.0.0.1:" + port + ": "), 0U) << said;
  }());
}

// A listener whose backlog is full: who connects waits.
struct black_hole {
  explicit black_hole(const io::endpoint& at) : listening(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(::bind(listening.get(), at.data(), at.size()), 0);
    EXPECT_EQ(::listen(listening.get(), 0), 0);
    for (bool full = false; !full;) {
      waiting.emplace_back(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      ::connect(waiting.back().get(), at.data(), at.size());
      ::pollfd ask{waiting.back().get(), POLLOUT, 0};
      full = ::poll(&ask, 1, 100) == 0;
    }
  }
  tutti::unique_fd listening;
  std::vector<tutti::unique_fd> waiting;
};

TEST_F(dns, an_address_where_nobody_answers_leaves_time_for_the_next) {
  tutti::virtual_clock clock;
  io::run([](tutti::virtual_clock& moved) -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const std::uint16_t port = at.local().port();
    const black_hole hole(io::endpoint::of("127.0.0.2", port));
    io::stream s;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        std::vector<io::endpoint> places{io::endpoint::of("127.0.0.2", port), at.local()};
        s = co_await io::detail::connect_to_one(std::move(places), io::detail::until(2h), true);
      });
      co_await tutti_test::some_turns();
      EXPECT_FALSE(s);
      moved.advance(1h);
    });
    EXPECT_EQ(s.remote(), at.local());
  }(clock));
}

}  // namespace

extern "C" int getaddrinfo(const char* host, const char* port, const ::addrinfo* hints, ::addrinfo** found) {
  return look_up(host, port, hints, found);
}
