// What endpoint.hpp, listener.hpp and connect.hpp promise: addresses, places that are taken, peers that never answer.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/few_descriptors.hpp>
#include <tests/support/io_spec.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <vector>

namespace {

using tutti::task;
using tutti::task_group;
using namespace tutti_test;
using namespace std::chrono_literals;
namespace io = tutti::io;

class SpecConnect : public io_spec {};
class SpecListen : public io_spec {};

TEST(SpecEndpoint, GoodOnesAreReadAndWrittenBack) {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:1", "unix:/tmp/x",
                           "unix:relative", "unix:@abstract", "[2001:db8::ff]:443"}) {
    SCOPED_TRACE(text);
    const io::endpoint e = io::endpoint::parse(text);
    EXPECT_EQ(e.text(), text);
    EXPECT_TRUE(io::endpoint::parse(e.text()) == e);
  }
  EXPECT_EQ(io::endpoint::parse("localhost:80").text(), "127.0.0.1:80");
  EXPECT_EQ(io::endpoint::parse("*:80").port(), 80);
  EXPECT_EQ(io::endpoint::parse("unix:/tmp/x").host(), "/tmp/x");
  EXPECT_EQ(io::endpoint().text(), "an unnamed socket");
  EXPECT_EQ(io::endpoint::of("::1", 5).text(), "[::1]:5");
  EXPECT_FALSE(io::endpoint::parse("127.0.0.1:1") == io::endpoint::parse("127.0.0.1:2"));
  EXPECT_FALSE(io::endpoint::parse("unix:@a") == io::endpoint::parse("unix:@ab"));
}

TEST(SpecEndpoint, MalformedOnesAreRefusedAndShown) {
  std::vector<std::string> bad = {"",
                                  ":",
                                  ":80",
                                  "80",
                                  "127.0.0.1",
                                  "127.0.0.1:",
                                  "127.0.0.1:65536",
                                  "127.0.0.1:-1",
                                  "127.0.0.1:+1",
                                  "127.0.0.1: 1",
                                  "127.0.0.1:1 ",
                                  " 127.0.0.1:1",
                                  "127.0.0.1:0x10",
                                  "127.0.0.1:1e2",
                                  "127.0.0.1:99999999999999999999",
                                  "127.0.0.1:80:80",
                                  "256.0.0.1:80",
                                  "1.2.3.4.5:80",
                                  "::1:80",
                                  "::1",
                                  "[::1]",
                                  "[::1]80",
                                  "[::1]:",
                                  "[::1:80",
                                  "::1]:80",
                                  "[]:80",
                                  "[::g]:80",
                                  "[::1]]:80",
                                  "[[::1]]:80",
                                  "unix:",
                                  "unix:@",
                                  "example.org:80",
                                  "127.0.0.1\n:80",
                                  "*",
                                  "*:",
                                  "**:80",
                                  "http://127.0.0.1:80"};
  bad.push_back(std::string("127.0.0.1:8\0", 12));
  bad.push_back(std::string("127.0.0.1\0:80", 13));
  bad.push_back(std::string("unix:/tmp/a\0b", 13));
  bad.push_back("unix:" + std::string(108, 'x'));
  bad.push_back("unix:@" + std::string(108, 'x'));
  bad.push_back("unix:" + std::string(100'000, 'x'));
  for (const std::string& text : bad) {
    SCOPED_TRACE(text.substr(0, 200));
    EXPECT_THROW(static_cast<void>(io::endpoint::parse(text)), std::invalid_argument);
  }
  for (const char* text : {"", "[::1]", "127.0.0.1:1", "localhost", "::1%no_such_interface_here"})
    EXPECT_THROW(static_cast<void>(io::endpoint::of(text, 1)), std::invalid_argument) << text;
}

/// What inet_aton takes for an address is a trap for who checks addresses: 0177.1 is 127.0.0.1.
TEST(SpecEndpoint, ShorthandsOfIpv4AreRefused) {
  for (const char* text : {"1.2.3:80", "127.1:80", "2130706433:80", "0177.0.0.1:80", "0x7f.0.0.1:80", "[127.0.0.1]:80"})
    EXPECT_THROW(static_cast<void>(io::endpoint::parse(text)), std::invalid_argument) << text;
  EXPECT_THROW(static_cast<void>(io::endpoint::of("1.2.3", 1)), std::invalid_argument);
}

TEST_F(SpecListen, LongestUnixPathWorksAndOneMoreIsRefused) {
  on_a_loop([]() -> task<> {
    std::string path = "/tmp/tutti_spec_" + std::to_string(::getpid()) + "_";
    path.resize(107, 'p');
    {
      io::listener at = io::listen("unix:" + path);
      EXPECT_EQ(at.local().host(), path);
      io::stream s = co_await io::connect("unix:" + path);
      io::stream peer = co_await at.accept();
      co_await s.write("x");
      EXPECT_EQ(co_await peer.read_exactly(1), "x");
      EXPECT_EQ(s.remote().host(), path);
    }
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_THROW(static_cast<void>(io::listen("unix:" + path + "p")), std::invalid_argument);
  });
}

TEST_F(SpecListen, UnixFileIsReplacedWhenItsOwnerIsGoneAndOnlyThen) {
  const fresh_path where;
  const std::string place = "unix:" + where.path();
  // what a killed program leaves behind
  const int left = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const io::endpoint at = io::endpoint::parse(place);
  ASSERT_EQ(::bind(left, at.data(), at.size()), 0);
  ::close(left);
  on_a_loop([&]() -> task<> {
    io::listener first = io::listen(place);
    struct ::stat about{};
    EXPECT_EQ(::stat(where.path().c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777U, 0600U);
    EXPECT_EQ(co_await how([&]() -> task<int> {
                static_cast<void>(io::listen(place));
                co_return 0;
              }),
              "os_error EADDRINUSE");
    io::stream s = co_await io::connect(place);  // it was not harmed
    io::stream peer = co_await first.accept();
    first.close();
    EXPECT_FALSE(std::filesystem::exists(where.path()));
    EXPECT_EQ(co_await how([&] { return io::connect(place); }), "os_error ENOENT");
    std::ofstream(where.path()) << "a file of somebody";
    const std::string end = co_await how([&]() -> task<int> {
      static_cast<void>(io::listen(place));
      co_return 0;
    });
    EXPECT_TRUE(end.starts_with("os_error")) << end;
    EXPECT_TRUE(std::filesystem::is_regular_file(where.path()));
  });
}

TEST_F(SpecListen, FileOfANewerListenerIsNotRemovedByAnOlderOne) {
  const fresh_path where;
  const std::string place = "unix:" + where.path();
  on_a_loop([&]() -> task<> {
    io::listener old = io::listen(place);
    std::filesystem::remove(where.path());  // somebody tidies up
    io::listener fresh = io::listen(place);
    old.close();
    EXPECT_EQ(co_await how([&] { return io::connect(place); }), "value");
  });
}

TEST_F(SpecListen, PlacesThatCannotBeHad) {
  on_a_loop([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const auto kind = [](std::string text) {
      return how([text]() -> task<int> {
        static_cast<void>(io::listen(text));
        co_return 0;
      });
    };
    EXPECT_EQ(co_await kind(at.local().text()), "os_error EADDRINUSE");
    EXPECT_EQ(co_await kind("192.0.2.1:0"), "os_error EADDRNOTAVAIL");
    EXPECT_EQ(co_await kind("unix:/no/such/folder/x"), "os_error ENOENT");
    EXPECT_EQ(co_await kind("unix:/proc/x"), "os_error ENOENT");
    EXPECT_EQ(co_await kind("nonsense"), "invalid_argument");
    std::string said;
    try {
      static_cast<void>(io::listen(at.local()));
    } catch (const tutti::os_error& e) {
      said = e.what();
    }
    EXPECT_NE(said.find(at.local().text()), std::string::npos) << said;
  });
}

TEST_F(SpecListen, NoPermission) {
  child c([] {
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 3;
    return io::run([]() -> task<int> {
      try {
        static_cast<void>(io::listen("127.0.0.1:1"));
      } catch (const tutti::os_error& e) {
        co_return e.code() == EACCES ? 0 : 1;
      }
      std::ifstream limit("/proc/sys/net/ipv4/ip_unprivileged_port_start");
      int first = 1024;
      limit >> first;
      co_return first <= 1 ? 0 : 2;
    }());
  });
  EXPECT_EQ(c.join(), 0);
}

TEST_F(SpecListen, ReusePortSharesAPort) {
  on_a_loop([]() -> task<> {
    io::listener one = io::listen("127.0.0.1:0", {.reuse_port = true});
    io::listener two = io::listen(one.local(), {.reuse_port = true});
    EXPECT_EQ(one.local().port(), two.local().port());
    io::listener alone = io::listen("127.0.0.1:0");
    EXPECT_THROW(static_cast<void>(io::listen(alone.local(), {.reuse_port = true})), tutti::os_error);
    co_return;
  });
}

TEST_F(SpecListen, AcceptCanBeEndedInEveryWay) {
  expect_it_can_be_ended("accept", []() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    static_cast<void>(co_await at.accept());
  });
  on_a_loop([]() -> task<> {
    for (const bool destroyed : {false, true}) {
      std::optional<io::listener> at(io::listen("unix:@tutti_spec_" + std::to_string(::getpid())));
      std::string end;
      co_await task_group::run([&](task_group& group) -> task<> {
        group.spawn(note(end, [&]() -> task<> { static_cast<void>(co_await at->accept()); }));
        co_await some_turns();
        EXPECT_EQ(co_await how([&] { return at->accept(); }), "logic_error");
        EXPECT_EQ(end, "begun");
        if (destroyed) {
          at.reset();
        } else {
          at->close();
        }
      });
      EXPECT_EQ(end, "closed");
    }
    io::listener at = io::listen("127.0.0.1:0");
    EXPECT_EQ(co_await how([&] { return at.accept(1ms); }), "timed_out");
    io::stream s = co_await io::connect(at.local());
    EXPECT_EQ(co_await how([&] { return at.accept(); }), "value");
  });
}

TEST_F(SpecListen, ConnectionThatIsGoneBeforeItIsAccepted) {
  on_a_loop([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    for (int i = 0; i < 50; ++i) {
      io::stream s = co_await io::connect(at.local());
      if (i % 2 == 0) will_reset(s.descriptor());
    }
    io::stream last = co_await io::connect(at.local());
    co_await last.write("the last");
    for (;;) {  // those that are gone are given, or skipped; none ends the accepting
      io::stream s = co_await at.accept(10s);
      const std::string got = co_await how([&] { return s.read_exactly(8, 10s); });
      if (got == "value") break;
    }
  });
}

TEST_F(SpecConnect, Refused) {
  on_a_loop([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const io::endpoint gone = at.local();
    at.close();
    EXPECT_EQ(co_await how([&] { return io::connect(gone); }), "os_error ECONNREFUSED");
    EXPECT_EQ(co_await how([&] { return io::connect(gone.text()); }), "os_error ECONNREFUSED");
    EXPECT_EQ(co_await how([&] { return io::connect("unix:@nobody_is_here_tutti_spec"); }), "os_error ECONNREFUSED");
    EXPECT_NE(co_await how([&] { return io::connect(io::endpoint()); }), "value");
    for (const char* bad : {"", "127.0.0.1", "127.0.0.1:99999", ":80", "[::1:80", "unix:", "a b:80"})
      EXPECT_NE(co_await how([&] { return io::connect(bad); }), "value") << bad;
    EXPECT_EQ(co_await how([&] { return io::connect("no-such-name.invalid:80"); }), "dns_error");
    EXPECT_EQ(co_await how([&] { return io::resolve("no-such-name.invalid", 80); }), "dns_error");
    EXPECT_EQ(co_await how([&] { return io::resolve(std::string(5000, 'x'), 80); }), "dns_error");
    EXPECT_EQ(co_await how([&] { return io::resolve(std::string("127.0.0.1\0evil", 14), 80); }), "dns_error");
  });
}

/// A listener whose backlog is full: who connects waits.
struct black_hole {
  explicit black_hole(const io::endpoint& at) : listening(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(::bind(listening.get(), at.data(), at.size()), 0);
    EXPECT_EQ(::listen(listening.get(), 0), 0);
    ::sockaddr_storage address{};
    ::socklen_t size = sizeof address;
    ::getsockname(listening.get(), reinterpret_cast<::sockaddr*>(&address), &size);
    place = io::endpoint(reinterpret_cast<::sockaddr*>(&address), size);
    for (;;) {
      tutti::unique_fd one(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (::connect(one.get(), place.data(), place.size()) != 0) {
        if (errno == EAGAIN) break;
        ::pollfd ask{one.get(), POLLOUT, 0};
        if (::poll(&ask, 1, 100) == 0) {  // its SYN was dropped
          waiting.push_back(std::move(one));
          break;
        }
      }
      waiting.push_back(std::move(one));
    }
  }
  tutti::unique_fd listening;
  io::endpoint place;
  std::vector<tutti::unique_fd> waiting;
};

TEST_F(SpecConnect, ToATcpListenerThatNeverAcceptsCanBeEnded) {
  const black_hole hole(io::endpoint::parse("127.0.0.1:0"));
  expect_it_can_be_ended("connect, TCP", [&]() -> task<> { static_cast<void>(co_await io::connect(hole.place)); });
  on_a_loop([&]() -> task<> {
    EXPECT_EQ(co_await how([&] { return io::connect(hole.place, {.limit = 1ms}); }), "timed_out");
    EXPECT_EQ(co_await how([&] { return io::connect(hole.place.text(), {.limit = 1ms}); }), "timed_out");
  });
}

TEST_F(SpecConnect, ToAUnixListenerThatNeverAcceptsCanBeEnded) {
  const black_hole hole(io::endpoint::parse("unix:@tutti_spec_hole_" + std::to_string(::getpid())));
  expect_it_can_be_ended("connect, Unix", [&]() -> task<> { static_cast<void>(co_await io::connect(hole.place)); });
  on_a_loop([&]() -> task<> {
    EXPECT_EQ(co_await how([&] { return io::connect(hole.place, {.limit = 1ms}); }), "timed_out");
  });
}

TEST_F(SpecConnect, ToAUnixListenerWaitsForItsTurn) {
  black_hole hole(io::endpoint::parse("unix:@tutti_spec_turn_" + std::to_string(::getpid())));
  on_a_loop([&]() -> task<> {
    std::string end;
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn(note(end, [&]() -> task<> { static_cast<void>(co_await io::connect(hole.place, {.limit = 20s})); }));
      co_await some_turns();
      EXPECT_EQ(end, "begun");
      io::listener at = io::listener::adopt(std::move(hole.listening));
      for (std::size_t i = 0; i <= hole.waiting.size(); ++i) static_cast<void>(co_await at.accept(20s));
    });
    EXPECT_EQ(end, "value");
  });
}

TEST_F(SpecConnect, ResolveCanBeEnded) {
  on_a_loop([]() -> task<> {
    // Not one that asks others: the system may hold a socket for that longer than this test waits.
    for (int i = 0; i < 8; ++i) {
      const std::string end = co_await how([] { return tutti::with_timeout(io::resolve("localhost", 1), 0ns); });
      EXPECT_TRUE(end == "timed_out" || end == "value") << end;
    }
    const auto one = co_await io::resolve("127.0.0.1", 7);
    EXPECT_EQ(one.size(), 1U);
    EXPECT_EQ(one.at(0).text(), "127.0.0.1:7");
    const auto six = co_await io::resolve("::1", 7);
    EXPECT_EQ(six.at(0).text(), "[::1]:7");
    EXPECT_GE((co_await io::resolve("localhost", 7)).size(), 1U);
  });
}

}  // namespace
