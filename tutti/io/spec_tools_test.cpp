// What file.hpp, udp.hpp, framing.hpp and tls.hpp promise: ends, limits, stops, peers that say nothing or nonsense.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <tests/support/certificates.hpp>
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

class SpecFile : public io_spec {};
class SpecUdp : public io_spec {};
class SpecFrames : public io_spec {};
class SpecTls : public io_spec {};

TEST_F(SpecFile, LinesWithLimitsAndEnds) {
  const text_file text("one\r\n\ntwo\r\r\n12345678\nlast");
  on_a_loop([&]() -> task<> {
    io::file f = co_await io::file::open(text.path());
    EXPECT_EQ(co_await f.read_line(), "one");
    EXPECT_EQ(f.position(), 5U);
    EXPECT_EQ(co_await f.read_line(), "");
    EXPECT_EQ(co_await f.read_line(), "two\r");
    const std::uint64_t before = f.position();
    EXPECT_EQ(co_await how([&] { return f.read_line(8); }), "too_long");
    EXPECT_EQ(f.position(), before);
    EXPECT_EQ(co_await f.read_line(9), "12345678");
    EXPECT_EQ(co_await f.read_line(5), "last");
    EXPECT_EQ(co_await f.read_line(), std::nullopt);
    std::array<char, 3> room{};
    EXPECT_EQ(co_await f.read_some(room), 0U);
    f.seek(1);
    EXPECT_EQ(co_await f.read_some(room), 3U);
    EXPECT_EQ(co_await f.read_at(room, 22), 3U);
    EXPECT_EQ(co_await f.read_at(room, 1'000'000), 0U);
  });
}

TEST_F(SpecFile, LastLineMayBeAsLongAsTheLimit) {
  const text_file text("last");
  on_a_loop([&]() -> task<> {
    io::file f = co_await io::file::open(text.path());
    EXPECT_EQ(co_await f.read_line(4), "last");
  });
}

TEST_F(SpecFile, ErrorsAndUseAfterTheEnd) {
  const fresh_path where;
  on_a_loop([&]() -> task<> {
    EXPECT_EQ(co_await how([&] { return io::file::open(where.path()); }), "os_error ENOENT");
    EXPECT_EQ(co_await how([&] { return io::file::open("/tmp"); }), "os_error EISDIR");
    EXPECT_EQ(co_await how([&] { return io::file::open("/dev/null/x"); }), "os_error ENOTDIR");
    io::file f = co_await io::file::open(where.path(), io::file_mode::create);
    EXPECT_EQ(co_await how([&] { return io::file::open(where.path(), io::file_mode::create); }), "os_error EEXIST");
    co_await f.write("hello");
    co_await f.write_at("J", 0);
    EXPECT_EQ(co_await f.size(), 5U);
    co_await f.truncate(2);
    co_await f.sync();
    co_await f.close();
    EXPECT_FALSE(f);
    EXPECT_EQ(f.descriptor(), -1);
    EXPECT_EQ(co_await how([&] { return f.size(); }), "closed");
    EXPECT_EQ(co_await how_void([&] { return f.write("x"); }), "closed");
    EXPECT_EQ(co_await io::read_file(where.path(), 2), "Je");
    EXPECT_EQ(co_await how([&] { return io::read_file(where.path(), 1); }), "too_long");
    io::file readonly = co_await io::file::open(where.path());
    EXPECT_EQ(co_await how_void([&] { return readonly.write("x"); }), "os_error EBADF");
    io::file append = co_await io::file::open(where.path(), io::file_mode::append);
    EXPECT_EQ(co_await how_void([&] { return append.write_at("x", 0); }), "logic_error");
    co_await append.write("!");
    EXPECT_EQ(co_await io::read_file(where.path(), 100), "Je!");
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    EXPECT_EQ(co_await how([&] { return io::file::open("/proc/self/fd/" + std::to_string(ends[0])); }),
              "os_error EPERM");
    ::close(ends[0]), ::close(ends[1]);
    EXPECT_EQ(co_await how_void([&] { return io::write_file("/no/such/folder/x", "y"); }), "os_error ENOENT");
    EXPECT_EQ(co_await how([&] { return io::read_file("/proc/self/status", 1 << 20); }), "value");  // its size is 0
  });
}

TEST_F(SpecFile, ReplacedInOneStepAndNothingIsLeftBeside) {
  const fresh_path where;
  on_a_loop([&]() -> task<> {
    co_await io::write_file(where.path(), "old");
    EXPECT_EQ(::chmod(where.path().c_str(), 0640), 0);
    co_await io::write_file(where.path(), std::string(100'000, 'n'));
    EXPECT_EQ(co_await io::read_file(where.path(), 100'000), std::string(100'000, 'n'));
    struct ::stat about{};
    EXPECT_EQ(::stat(where.path().c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777U, 0640U);
    for (int i = 0; i < 20; ++i) {
      const std::string end =
          co_await how_void([&] { return tutti::with_timeout(io::write_file(where.path(), "new"), 0ns); });
      EXPECT_TRUE(end == "timed_out" || end == "value") << end;
    }
    co_await io::write_file(where.path(), "last");
    int files = 0;
    do {
      files = 0;
      for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(where.path()).parent_path()))
        files += entry.exists() ? 1 : 0;
      co_await tutti::yield_now();
    } while (files != 1);
  });
}

TEST_F(SpecFile, StopsAreHeededAndPositionUsersAreOne) {
  const text_file text(std::string(100'000, 'x'));
  on_a_loop([&]() -> task<> {
    io::file f = co_await io::file::open(text.path());
    std::array<char, 10> room{};
    for (int i = 0; i < 50; ++i) {
      f.seek(0);
      const std::string end = co_await how([&] { return tutti::with_timeout(f.read_some(room), 0ns); });
      EXPECT_TRUE(end == "timed_out" || end == "value") << end;
      EXPECT_TRUE(end == "value" || f.position() == 0) << f.position();
    }
    std::string other;
    co_await task_group::run([&](task_group& group) -> task<> {
      std::string one;
      group.spawn(note(one, [&]() -> task<> { static_cast<void>(co_await f.read_line(1 << 20)); }));
      group.spawn(note(other, [&]() -> task<> { static_cast<void>(co_await f.read_some(room)); }));
      while (one.empty() || one == "begun" || other.empty() || other == "begun") co_await tutti::yield_now();
      EXPECT_EQ(one, "value");
    });
    EXPECT_EQ(other, "logic_error");
  });
}

TEST_F(SpecUdp, SizesTruncationAndStops) {
  expect_it_can_be_ended("receive_from", []() -> task<> {
    io::udp u = io::udp::bind("127.0.0.1:0");
    std::array<char, 10> room{};
    static_cast<void>(co_await u.receive_from(room));
  });
  on_a_loop([]() -> task<> {
    io::udp a = io::udp::bind("127.0.0.1:0"), b = io::udp::bind("127.0.0.1:0");
    std::string room(65536, '\0');
    for (const std::size_t size : {0U, 1U, 1500U, 65507U}) {
      co_await a.send_to(std::string(size, 'u'), b.local());
      const io::datagram d = co_await b.receive_from(room, 20s);
      EXPECT_EQ(d.size, size);
      EXPECT_FALSE(d.truncated);
      EXPECT_TRUE(d.from == a.local());
    }
    const std::string too_long(65508, 'u');
    EXPECT_EQ(co_await how_void([&] { return a.send_to(too_long, b.local()); }), "os_error EMSGSIZE");
    std::array<char, 4> small{};
    for (const std::size_t size : {3U, 4U, 5U}) {
      co_await a.send_to(std::string(size, 'u'), b.local());
      const io::datagram d = co_await b.receive_from(small, 20s);
      EXPECT_EQ(d.size, std::min<std::size_t>(size, 4));
      EXPECT_EQ(d.truncated, size == 5);
    }
    EXPECT_EQ(co_await how_void([&] { return a.send("x"); }), "os_error EDESTADDRREQ");
  });
}

TEST_F(SpecUdp, ClosedWhileWaitedForAndSecondReceiver) {
  on_a_loop([]() -> task<> {
    io::udp u = io::udp::bind("127.0.0.1:0");
    std::string end;
    std::array<char, 10> room{};
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn(note(end, [&]() -> task<> {
        std::array<char, 10> own{};
        static_cast<void>(co_await u.receive_from(own));
      }));
      co_await some_turns();
      EXPECT_EQ(co_await how([&] { return u.receive_from(room); }), "logic_error");
      u.close();
    });
    EXPECT_EQ(end, "closed");
    EXPECT_EQ(co_await how([&] { return u.receive_from(room); }), "closed");
    io::udp connected = io::udp::connected("127.0.0.1:1");  // nobody is there
    co_await connected.send("x");
    EXPECT_EQ(co_await how([&] { return connected.receive(room, 20s); }), "os_error ECONNREFUSED");
  });
}

TEST_F(SpecFrames, EveryCutLimitAndEnd) {
  const std::string bytes = std::string("\0\0\0\5hello\0\0\0\0\0\0\0\1x", 18);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    on_a_loop([&]() -> task<> {
      auto pair = io::stream_pair();
      io::frames in(std::move(pair.first), 5);
      co_await pair.second.write(std::string_view(bytes).substr(0, cut));
      std::vector<std::string> got;
      std::string end;
      do {
        end = co_await how([&]() -> task<int> {
          const std::optional<std::string> m = co_await tutti::with_timeout(in.read_frame(), 0ns);
          if (m) got.push_back(*m);
          co_return 0;
        });
      } while (end == "value");
      EXPECT_EQ(end, "timed_out");
      co_await pair.second.write(std::string_view(bytes).substr(cut));
      co_await pair.second.shutdown_write();
      for (;;) {
        const std::optional<std::string> m = co_await in.read_frame();
        if (!m) break;
        got.push_back(*m);
      }
      EXPECT_EQ(got, (std::vector<std::string>{"hello", "", "x"})) << cut;
      // an end there
      auto other = io::stream_pair();
      io::frames cut_off(std::move(other.first), 5);
      co_await other.second.write(std::string_view(bytes).substr(0, cut));
      other.second.close();
      end = "value";
      bool over = false;
      while (end == "value" && !over)
        end = co_await how([&]() -> task<int> {
          over = !(co_await cut_off.read_frame()).has_value();
          co_return 0;
        });
      const bool between = cut == 0 || cut == 9 || cut == 13 || cut == 18;
      EXPECT_EQ(end, between ? "value" : "closed") << cut;
    });
  }
  on_a_loop([&]() -> task<> {
    for (const std::string& lie :
         {std::string("\0\0\0\6", 4), std::string("\xff\xff\xff\xff", 4), std::string("\x80\0\0\0", 4)}) {
      auto pair = io::stream_pair();
      io::frames in(std::move(pair.first), 5);
      co_await pair.second.write(lie);
      EXPECT_EQ(co_await how([&] { return in.read_frame(); }), "too_long");
      EXPECT_EQ(co_await how_void([&] { return in.write_frame("123456"); }), "too_long");
      co_await in.write_frame("12345");
      EXPECT_EQ(co_await pair.second.read_exactly(9), std::string("\0\0\0\5", 4) + "12345");
    }
    EXPECT_THROW(io::frames(io::stream(), std::size_t(1) << 32U), std::invalid_argument);
    auto pair = io::stream_pair();
    for (const char* bad : {"a\nb", "a\r", "\n"})
      EXPECT_EQ(co_await how_void([&] { return io::write_line(pair.first, bad); }), "invalid_argument");
    co_await io::write_line(pair.first, "a\rb");
    EXPECT_EQ(co_await pair.second.read_line(), "a\rb");
  });
}

io::tls_context server_context() {
  const identity& own = test_trust().server;
  return io::tls_context::server({.certificate = own.certificate, .key = own.key});
}
io::tls_context client_context() {
  return io::tls_context::client({.authorities = test_trust().authority.certificate});
}

/// Both ends of a TLS connection.
task<std::pair<io::stream, io::stream>> tls_pair() {
  auto pair = co_await tcp_pair();
  io::stream server, client;
  co_await task_group::run([&](task_group& group) -> task<> {
    group.spawn([&]() -> task<> { server = co_await io::tls_accept(std::move(pair.second), server_context(), 20s); });
    client = co_await io::tls_connect(std::move(pair.first), "localhost", client_context(), 20s);
  });
  co_return std::pair(std::move(client), std::move(server));
}

TEST_F(SpecTls, HandshakesAndWaitsCanBeEnded) {
  static_cast<void>(server_context()), static_cast<void>(client_context());
  expect_it_can_be_ended("tls_connect", []() -> task<> {
    auto pair = co_await tcp_pair();
    static_cast<void>(co_await io::tls_connect(std::move(pair.first), "localhost", client_context()));
  });
  expect_it_can_be_ended("tls_accept", []() -> task<> {
    auto pair = co_await tcp_pair();
    static_cast<void>(co_await io::tls_accept(std::move(pair.first), server_context()));
  });
  expect_it_can_be_ended("connect_tls", []() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    static_cast<void>(co_await io::connect_tls(at.local().text(), client_context()));
  });
  expect_it_can_be_ended("reading", []() -> task<> {
    auto pair = co_await tls_pair();
    static_cast<void>(co_await pair.first.read_line());
  });
  expect_it_can_be_ended("writing", []() -> task<> {
    auto pair = co_await tls_pair();
    const std::string much(50'000'000, 'w');
    co_await pair.first.write(much);
  });
}

TEST_F(SpecTls, GarbageTruncationAndReset) {
  on_a_loop([]() -> task<> {
    for (const std::string& garbage : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(10'000, '\0'),
                                       std::string("\x16\x03\x01\xff\xff", 5), std::string()}) {
      for (const bool accepts : {false, true}) {
        auto pair = co_await tcp_pair();
        co_await pair.second.write(garbage);
        co_await pair.second.shutdown_write();
        const std::string end = co_await how([&]() -> task<int> {
          if (accepts) {
            static_cast<void>(co_await io::tls_accept(std::move(pair.first), server_context(), 20s));
          } else {
            static_cast<void>(co_await io::tls_connect(std::move(pair.first), "localhost", client_context(), 20s));
          }
          co_return 0;
        });
        EXPECT_TRUE(end == "tls_error" || (garbage.empty() && end == "closed")) << end;
      }
    }
    auto cut = co_await tls_pair();  // gone without a word
    co_await cut.second.write("data\n");
    EXPECT_EQ(::shutdown(cut.second.descriptor(), SHUT_WR), 0);
    EXPECT_EQ(co_await cut.first.read_line(), "data");
    EXPECT_EQ(co_await how([&] { return cut.first.read_line(); }), "tls_error");
    auto polite = co_await tls_pair();
    co_await polite.second.write("data\n");
    polite.second.close();
    EXPECT_EQ(co_await polite.first.read_all(100), "data\n");
    auto half = co_await tls_pair();
    co_await half.first.shutdown_write();
    EXPECT_EQ(co_await half.second.read_all(10), "");
    co_await half.second.write("still here");
    EXPECT_EQ(co_await half.first.read_exactly(10), "still here");
  });
}

TEST_F(SpecTls, ReadsThatEndEarlyLoseNothingAndWritesThatDoEndIt) {
  on_a_loop([]() -> task<> {
    auto pair = co_await tls_pair();
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(co_await how([&] { return tutti::with_timeout(pair.first.read_line(), 0ns); }), "timed_out");
      co_await pair.second.write("x");
    }
    co_await pair.second.write("\n");
    EXPECT_EQ(co_await pair.first.read_line(), std::string(20, 'x'));
    const std::string much(50'000'000, 'w');
    EXPECT_EQ(co_await how_void([&] { return pair.first.write(much, 5ms); }), "timed_out");
    EXPECT_EQ(co_await how_void([&] { return pair.first.write("x"); }), "closed");
  });
}

}  // namespace
