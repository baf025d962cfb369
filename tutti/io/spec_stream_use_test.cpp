// What stream.hpp promises of writing, of two at once, of closing, of resets and of every way to end a wait.
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/un.h>

#include <optional>
#include <string>
#include <tests/support/io_spec.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <vector>

namespace {

using tutti::task;
using tutti::task_group;
using namespace tutti_test;
using namespace std::chrono_literals;
namespace io = tutti::io;

class SpecStreamUse : public io_spec {};
class SpecStreamCancel : public io_spec {};

TEST_F(SpecStreamUse, SecondReaderAndSecondWriterAreRefused) {
  on_a_loop([]() -> task<> {
    auto pair = co_await tcp_pair();
    co_await fill(pair.first);
    co_await task_group::run([&](task_group& group) -> task<> {
      std::string reads, writes;
      group.spawn(note(reads, [&]() -> task<> { static_cast<void>(co_await pair.first.read_exactly(4)); }));
      group.spawn(note(writes, [&]() -> task<> { co_await pair.first.write(std::string_view("more")); }));
      co_await some_turns();
      EXPECT_EQ(reads, "begun");
      EXPECT_EQ(writes, "begun");
      std::array<char, 4> room{};
      EXPECT_EQ(co_await how([&] { return pair.first.read_some(room); }), "logic_error");
      EXPECT_EQ(co_await how([&] { return pair.first.read_exactly(room); }), "logic_error");
      EXPECT_EQ(co_await how([&] { return pair.first.read_exactly(2); }), "logic_error");
      EXPECT_EQ(co_await how([&] { return pair.first.read_line(); }), "logic_error");
      EXPECT_EQ(co_await how([&] { return pair.first.read_until("x"); }), "logic_error");
      EXPECT_EQ(co_await how([&] { return pair.first.read_all(10); }), "logic_error");
      EXPECT_EQ(co_await how_void([&] { return pair.first.write("x"); }), "logic_error");
      EXPECT_EQ(co_await how_void([&] { return pair.first.flush(); }), "logic_error");
      EXPECT_EQ(co_await how_void([&] { return pair.first.shutdown_write(); }), "logic_error");
      EXPECT_EQ(reads, "begun");
      EXPECT_EQ(writes, "begun");
      co_await pair.second.write("abcd");  // the first ones go on unharmed
      for (std::string some(65536, '?'); writes == "begun";) static_cast<void>(co_await pair.second.read_some(some));
      while (reads == "begun") co_await tutti::yield_now();
      EXPECT_EQ(reads, "value");
      EXPECT_EQ(writes, "value");
    });
  });
}

TEST_F(SpecStreamUse, ReaderAndWriterAreTwo) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> { EXPECT_EQ(co_await pair.first.read_exactly(3), "abc"); });
      co_await some_turns();
      co_await pair.first.write("xyz");
      EXPECT_EQ(co_await pair.second.read_exactly(3), "xyz");
      co_await pair.second.write("abc");
    });
  });
}

TEST_F(SpecStreamUse, OffItsLoopItIsRefused) {
  EXPECT_THROW(static_cast<void>(io::stream_pair()), std::logic_error);
  EXPECT_THROW(static_cast<void>(io::listen("127.0.0.1:0")), std::logic_error);
  EXPECT_THROW(static_cast<void>(io::udp::bind("127.0.0.1:0")), std::logic_error);
  EXPECT_THROW(static_cast<void>(io::signals({SIGUSR1})), std::logic_error);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  EXPECT_THROW(static_cast<void>(io::stream::adopt(tutti::unique_fd(ends[0]))), std::logic_error);
  ::close(ends[1]);
}

TEST_F(SpecStreamUse, OnAnotherLoopOrPoolItIsRefused) {
  io::loop owner;
  std::pair<io::stream, io::stream> pair;
  const auto make = [&]() -> task<> {
    pair = io::stream_pair();
    co_return;
  };
  owner.run(make());
  std::array<char, 4> room{};
  const auto use = [&]() -> task<> {
    EXPECT_EQ(co_await how([&] { return pair.first.read_some(room); }), "logic_error");
    EXPECT_EQ(co_await how([&] { return pair.first.read_line(); }), "logic_error");
    EXPECT_EQ(co_await how_void([&] { return pair.first.write("x"); }), "logic_error");
    EXPECT_EQ(co_await how_void([&] { return pair.first.shutdown_write(); }), "logic_error");
  };
  io::run(use());
  {
    tutti::thread_pool pool(1);
    pool.submit(use()).get();
  }
  const auto works = [&]() -> task<> {
    co_await pair.first.write("good");
    EXPECT_EQ(co_await pair.second.read_exactly(4), "good");
  };
  owner.run(works());
  pair = {};
}

TEST_F(SpecStreamUse, EmptyStreamSaysSo) {
  on_a_loop([]() -> task<> {
    io::stream none;
    EXPECT_FALSE(none);
    EXPECT_EQ(none.descriptor(), -1);
    EXPECT_EQ(none.describe(), "no stream");
    std::array<char, 4> room{};
    EXPECT_EQ(co_await how([&] { return none.read_some(room); }), "closed");
    EXPECT_EQ(co_await how([&] { return none.read_line(); }), "closed");
    EXPECT_EQ(co_await how_void([&] { return none.write("x"); }), "closed");
    EXPECT_EQ(co_await how_void([&] { return none.shutdown_write(); }), "closed");
    none.close();
    io::listener nobody;
    EXPECT_EQ(co_await how([&] { return nobody.accept(); }), "closed");
    EXPECT_THROW(static_cast<void>(nobody.local()), tutti::closed);
  });
}

/// What waits for `pair.first` in each way, with what it needs.
std::vector<std::pair<std::string, std::function<task<>(io::stream&)>>> waits() {
  return {
      {"read_some",
       [](io::stream& s) -> task<> {
         std::array<char, 4> room{};
         static_cast<void>(co_await s.read_some(room));
       }},
      {"read_exactly", [](io::stream& s) -> task<> { static_cast<void>(co_await s.read_exactly(10)); }},
      {"read_until", [](io::stream& s) -> task<> { static_cast<void>(co_await s.read_until("\n")); }},
      {"read_line", [](io::stream& s) -> task<> { static_cast<void>(co_await s.read_line()); }},
      {"read_all", [](io::stream& s) -> task<> { static_cast<void>(co_await s.read_all(100)); }},
      {"write",
       [](io::stream& s) -> task<> {
         const std::string much(20'000'000, 'w');
         co_await s.write(much);
       }},
      {"flush",
       [](io::stream& s) -> task<> {
         s.buffer_writes(30'000'000);
         co_await s.write(std::string(20'000'000, 'k'));
         co_await s.flush();
       }},
      {"shutdown_write",
       [](io::stream& s) -> task<> {
         s.buffer_writes(30'000'000);
         co_await s.write(std::string(20'000'000, 'k'));
         co_await s.shutdown_write();
       }},
      {"read_frame",
       [](io::stream& s) -> task<> {
         io::frames in(std::move(s));
         static_cast<void>(co_await in.read_frame());
       }},
      {"write_frame",
       [](io::stream& s) -> task<> {
         io::frames out(std::move(s), 100'000'000);
         co_await out.write_frame(std::string(20'000'000, 'w'));
       }},
      {"write_line", [](io::stream& s) -> task<> { co_await io::write_line(s, std::string(20'000'000, 'w')); }},
  };
}

TEST_F(SpecStreamCancel, EveryWaitOfAUnixStream) {
  for (const auto& wait : waits())
    expect_it_can_be_ended(wait.first + ", Unix", [&]() -> task<> {
      auto pair = io::stream_pair();
      co_await wait.second(pair.first);
    });
}

TEST_F(SpecStreamCancel, EveryWaitOfATcpStream) {
  for (const auto& wait : waits())
    expect_it_can_be_ended(wait.first + ", TCP", [&]() -> task<> {
      auto pair = co_await tcp_pair();
      co_await wait.second(pair.first);
    });
}

TEST_F(SpecStreamCancel, ClosedWhileWaitedFor) {
  for (const auto& wait : waits()) {
    if (wait.first.find("frame") != std::string::npos) continue;  // those own theirs
    for (const bool destroyed : {false, true}) {
      SCOPED_TRACE(wait.first);
      on_a_loop([&]() -> task<> {
        auto pair = io::stream_pair();
        std::optional<io::stream> waited(std::move(pair.first));
        std::string end;
        co_await task_group::run([&](task_group& group) -> task<> {
          group.spawn(note(end, [&] { return wait.second(*waited); }));
          co_await some_turns();
          EXPECT_EQ(end, "begun");
          if (destroyed) {
            waited.reset();
          } else {
            waited->close();
          }
        });
        EXPECT_EQ(end, "closed");
      });
    }
  }
}

TEST_F(SpecStreamUse, MovedWhileWaitedForItGoesOn) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    io::stream moved;
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> { EXPECT_EQ(co_await pair.first.read_line(), "after the move"); });
      co_await some_turns();
      moved = std::move(pair.first);
      co_await pair.second.write("after the move\n");
    });
    EXPECT_TRUE(static_cast<bool>(moved));
  });
}

TEST_F(SpecStreamUse, ResetWhileReadAndWritten) {
  on_a_loop([]() -> task<> {
    auto reads = co_await tcp_pair(), writes = co_await tcp_pair();
    std::string read_end, write_end;
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn(note(read_end, [&]() -> task<> { static_cast<void>(co_await reads.first.read_line()); }));
      group.spawn(note(write_end, [&]() -> task<> {
        const std::string much(50'000'000, 'w');
        co_await writes.first.write(much);
      }));
      co_await some_turns();
      for (io::stream* s : {&reads.second, &writes.second}) {
        will_reset(s->descriptor());
        s->close();
      }
    });
    EXPECT_EQ(read_end, "os_error ECONNRESET");
    EXPECT_TRUE(write_end == "os_error ECONNRESET" || write_end == "os_error EPIPE") << write_end;
    const std::string again = co_await how_void([&] { return writes.first.write("x"); });
    EXPECT_TRUE(again == "os_error ECONNRESET" || again == "os_error EPIPE") << again;
  });
}

TEST_F(SpecStreamUse, WhatArrivedBeforeTheEndIsReadWhenThePeerIsGone) {
  on_a_loop([]() -> task<> {
    auto pair = co_await tcp_pair();
    co_await pair.second.write("one\ntwo");
    pair.second.close();
    EXPECT_EQ(co_await pair.first.read_line(), "one");
    EXPECT_EQ(co_await pair.first.read_all(10), "two");
  });
}

TEST_F(SpecStreamUse, HalfOpenInBothDirections) {
  on_a_loop([]() -> task<> {
    auto pair = co_await tcp_pair();
    co_await pair.first.shutdown_write();
    co_await pair.first.shutdown_write();  // again: nothing
    EXPECT_EQ(co_await pair.second.read_all(10), "");
    co_await pair.second.write("still here");
    EXPECT_EQ(co_await pair.first.read_exactly(10), "still here");
    EXPECT_EQ(co_await how_void([&] { return pair.first.write("x"); }), "os_error EPIPE");
    pair.second.close();
    EXPECT_EQ(co_await pair.first.read_line(), std::nullopt);
  });
}

TEST_F(SpecStreamUse, WriteBufferKeepsUntilFlushOrFull) {
  for (const std::size_t size : {9U, 10U, 11U}) {
    SCOPED_TRACE(size);
    on_a_loop([&]() -> task<> {
      auto pair = io::stream_pair();
      pair.first.buffer_writes(10);
      const std::string text(size, 'b');
      for (const char c : text) co_await pair.first.write(std::string(1, c));
      int arrived = 0;
      EXPECT_EQ(::ioctl(pair.second.descriptor(), FIONREAD, &arrived), 0);
      EXPECT_TRUE(size > 9 || arrived == 0) << arrived;
      if (size <= 9) {
        EXPECT_THROW(pair.first.buffer_writes(0), std::logic_error);
      }
      co_await pair.first.flush();
      EXPECT_EQ(co_await pair.second.read_exactly(size), text);
      pair.first.buffer_writes(0);
      co_await pair.first.write("!");
      EXPECT_EQ(co_await pair.second.read_exactly(1), "!");
    });
  }
}

TEST_F(SpecStreamUse, BufferedAndLargeWritesKeepTheirOrder) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    pair.first.buffer_writes(100);
    std::string expected;
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        for (std::size_t i = 0; i < 60; ++i) {
          const std::string part(i * i * 37 % 1000 * (i % 10 == 9 ? 700 : 1), static_cast<char>('a' + i % 26));
          expected += part;
          co_await pair.first.write(part);
        }
        co_await pair.first.shutdown_write();
      });
      const std::string got = co_await pair.second.read_all(100'000'000);
      EXPECT_TRUE(got == expected);
    });
  });
}

TEST_F(SpecStreamUse, FilesCannotBeAdoptedPipesAndTerminalsCan) {
  on_a_loop([]() -> task<> {
    EXPECT_THROW(static_cast<void>(io::stream::adopt(tutti::unique_fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)))),
                 tutti::os_error);
    EXPECT_THROW(static_cast<void>(io::stream::adopt(tutti::unique_fd())), tutti::os_error);
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    io::stream in = io::stream::adopt(tutti::unique_fd(ends[0])), out = io::stream::adopt(tutti::unique_fd(ends[1]));
    co_await out.write("through a pipe\n");
    EXPECT_EQ(co_await in.read_line(), "through a pipe");
    in.close();
    EXPECT_EQ(co_await how_void([&] { return out.write("x"); }), "os_error EPIPE");
  });
}

TEST_F(SpecStreamUse, PeerThatNeverReadsHoldsUpItsWriterOnly) {
  on_a_loop([]() -> task<> {
    auto stuck = co_await tcp_pair();
    std::string end;
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn(note(end, [&]() -> task<> {
        const std::string much(100'000, 'w');
        for (;;) co_await stuck.first.write(much);
      }));
      auto busy = co_await tcp_pair();
      for (int i = 0; i < 1000; ++i) {
        co_await busy.first.write("ping");
        EXPECT_EQ(co_await busy.second.read_exactly(4), "ping");
      }
      EXPECT_EQ(end, "begun");
      group.stop();
    });
    EXPECT_EQ(end, "cancelled");
  });
}

}  // namespace
