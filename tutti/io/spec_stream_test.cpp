// What stream.hpp promises of reading: pieces, delimiters, limits and ends in every place.
#include <gtest/gtest.h>

#include <string>
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

class SpecStreamRead : public io_spec {};

/// Writes `text` in two pieces, the second when others have had the first.
task<> write_in_two(io::stream& to, std::string text, std::size_t cut) {
  co_await to.write(std::string_view(text).substr(0, cut));
  co_await some_turns();
  co_await to.write(std::string_view(text).substr(cut));
}

TEST_F(SpecStreamRead, DelimiterIsFoundWhereverItIsCut) {
  for (const std::string delimiter : {"\n", "\r\n", "\r\n\r\n", "aab", "abcabd", "--boundary--"}) {
    // what looks like the delimiter and is none stands before it
    const std::string message = delimiter.substr(0, delimiter.size() - 1) + "x" + delimiter;
    std::string first = message;
    first.resize(message.find(delimiter) + delimiter.size());
    const std::string text = message + "rest";
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      SCOPED_TRACE(delimiter + " cut at " + std::to_string(cut));
      on_a_loop([&]() -> task<> {
        auto pair = io::stream_pair();
        co_await task_group::run([&](task_group& group) -> task<> {
          group.spawn(write_in_two(pair.second, text, cut));
          EXPECT_EQ(co_await pair.first.read_until(delimiter, text.size()), first);
          EXPECT_EQ(co_await pair.first.read_exactly(text.size() - first.size()), text.substr(first.size()));
        });
      });
    }
  }
}

TEST_F(SpecStreamRead, SelfOverlappingDelimiterIsFoundAtItsFirstPlace) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    for (const char c : std::string("aaaaab")) {
      co_await pair.second.write(std::string(1, c));
      const std::string end = co_await how([&] { return tutti::with_timeout(pair.first.read_until("aab"), 0ns); });
      EXPECT_EQ(end, c == 'b' ? "value" : "timed_out");
    }
  });
}

TEST_F(SpecStreamRead, ReadThatEndsEarlyLosesNothingAtAnyCut) {
  const std::string text = "first line\r\nsecond\nthird";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    SCOPED_TRACE(cut);
    on_a_loop([&]() -> task<> {
      auto pair = io::stream_pair();
      co_await pair.second.write(std::string_view(text).substr(0, cut));
      std::vector<std::string> ends;
      if (cut < text.find('\n') + 1)
        ends.push_back(co_await how([&] { return tutti::with_timeout(pair.first.read_line(), 0ns); }));
      if (cut < text.size()) {
        ends.push_back(co_await how([&] { return tutti::with_timeout(pair.first.read_all(1000), 0ns); }));
        ends.push_back(co_await how([&] { return pair.first.read_until("no such", 1000, 1ms); }));
      }
      for (const std::string& end : ends) EXPECT_EQ(end, "timed_out");
      co_await pair.second.write(std::string_view(text).substr(cut));
      co_await pair.second.shutdown_write();
      EXPECT_EQ(co_await pair.first.read_line(), "first line");
      EXPECT_EQ(co_await pair.first.read_line(), "second");
      EXPECT_EQ(co_await pair.first.read_line(), "third");
      EXPECT_EQ(co_await pair.first.read_line(), std::nullopt);
      EXPECT_EQ(co_await pair.first.read_line(), std::nullopt);
    });
  }
}

TEST_F(SpecStreamRead, ExactlyIntoRoomThatTimesOutLosesNothing) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    co_await pair.second.write("abc");
    std::array<char, 6> room{};
    EXPECT_EQ(co_await how([&] { return pair.first.read_exactly(room, 1ms); }), "timed_out");
    co_await pair.second.write("def");
    co_await pair.second.shutdown_write();
    EXPECT_EQ(co_await pair.first.read_all(100), "abcdef");
  });
}

TEST_F(SpecStreamRead, ExactlyIntoStringThatIsCancelledLosesNothing) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    co_await pair.second.write("abc");
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(co_await how([&] { return tutti::with_timeout(pair.first.read_exactly(6), 0ns); }), "timed_out");
    co_await pair.second.write("def");
    co_await pair.second.shutdown_write();
    EXPECT_EQ(co_await pair.first.read_all(100), "abcdef");
  });
}

TEST_F(SpecStreamRead, UntilLimitCountsTheDelimiter) {
  for (const std::string delimiter : {"\n", "\r\n"}) {
    for (int more = -1; more <= 1; ++more) {  // the message less one, exactly, and one more than the limit
      for (const bool in_pieces : {false, true}) {
        const std::string text =
            std::string(20 - delimiter.size() + static_cast<std::size_t>(more + 1) - 1, 'x') + delimiter;
        const std::size_t most = 20;
        SCOPED_TRACE(text.size());
        on_a_loop([&]() -> task<> {
          auto pair = io::stream_pair();
          co_await task_group::run([&](task_group& group) -> task<> {
            group.spawn(write_in_two(pair.second, text + "after", in_pieces ? text.size() - 1 : 0));
            const std::string end = co_await how([&] { return pair.first.read_until(delimiter, most, 10s); });
            EXPECT_EQ(end, more <= 0 ? "value" : "too_long");
            if (more > 0) {  // what was read is there for the next read
              EXPECT_EQ(co_await pair.first.read_until(delimiter, text.size()), text);
            }
            EXPECT_EQ(co_await pair.first.read_exactly(5), "after");
          });
        });
      }
    }
  }
}

TEST_F(SpecStreamRead, LimitIsAppliedWithoutADelimiterInSight) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    co_await pair.second.write(std::string(9, 'x'));
    EXPECT_EQ(co_await how([&] { return pair.first.read_until("\n", 10, 1ms); }), "timed_out");
    co_await pair.second.write("x");  // ten without an end: it can only be longer
    EXPECT_EQ(co_await how([&] { return pair.first.read_until("\n", 10); }), "too_long");
    EXPECT_EQ(co_await how([&] { return pair.first.read_until("\n", 0); }), "too_long");
    EXPECT_EQ(co_await how([&] { return pair.first.read_line(10, 1ms); }), "timed_out");  // it may be the last line
    co_await pair.second.write("x");
    EXPECT_EQ(co_await how([&] { return pair.first.read_line(10); }), "too_long");
    EXPECT_EQ(co_await pair.first.read_exactly(11), std::string(11, 'x'));
  });
}

TEST_F(SpecStreamRead, LineLimitCountsItsEnd) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    co_await pair.second.write("12345678\r\nabc\nx");
    EXPECT_EQ(co_await how([&] { return pair.first.read_line(9); }), "too_long");
    EXPECT_EQ(co_await pair.first.read_line(10), "12345678");
    EXPECT_EQ(co_await how([&] { return pair.first.read_line(3); }), "too_long");
    EXPECT_EQ(co_await pair.first.read_line(4), "abc");
    co_await pair.second.shutdown_write();
    EXPECT_EQ(co_await pair.first.read_line(2), "x");  // the last one has no end
    EXPECT_EQ(co_await pair.first.read_line(1), std::nullopt);
  });
}

/// A line of as many bytes as the limit allows, with its end, which it has not: the stream's.
TEST_F(SpecStreamRead, LastLineMayBeAsLongAsTheLimit) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    co_await pair.second.write("abc");
    co_await pair.second.shutdown_write();
    EXPECT_EQ(co_await pair.first.read_line(3), "abc");
  });
}

TEST_F(SpecStreamRead, LinesKeepWhatIsNoEnd) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    co_await pair.second.write(std::string_view("\n\r\na\rb\r\n\r\r\n\0x\nlast\r", 19));
    co_await pair.second.shutdown_write();
    EXPECT_EQ(co_await pair.first.read_line(), "");
    EXPECT_EQ(co_await pair.first.read_line(), "");
    EXPECT_EQ(co_await pair.first.read_line(), "a\rb");
    EXPECT_EQ(co_await pair.first.read_line(), "\r");
    EXPECT_EQ(co_await pair.first.read_line(), std::string("\0x", 2));
    EXPECT_EQ(co_await pair.first.read_line(), "last\r");  // without "\n" it is no end
    EXPECT_EQ(co_await pair.first.read_line(), std::nullopt);
  });
}

TEST_F(SpecStreamRead, AllIsLimitedExactly) {
  for (const std::size_t size : {0U, 1U, 99U, 100U, 101U, 70'000U}) {
    for (const bool ahead : {false, true}) {
      SCOPED_TRACE(size);
      on_a_loop([&]() -> task<> {
        auto pair = io::stream_pair();
        const std::string text(size, 'a');
        co_await pair.second.write("begin\n" + text);
        co_await pair.second.shutdown_write();
        if (ahead) {
          EXPECT_EQ(co_await how([&] { return pair.first.read_until("no such thing", 6); }), "too_long");
        }
        EXPECT_EQ(co_await pair.first.read_line(), "begin");
        const std::string end = co_await how([&] { return pair.first.read_all(100); });
        EXPECT_EQ(end, size <= 100 ? "value" : "too_long");
      });
    }
  }
}

TEST_F(SpecStreamRead, AllGivesAll) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    std::string text(300'000, '?');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 256);
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        co_await pair.second.write(text);
        pair.second.close();
      });
      const std::string got = co_await pair.first.read_all(text.size());
      EXPECT_TRUE(got == text);
      EXPECT_EQ(co_await pair.first.read_all(0), "");
    });
  });
}

TEST_F(SpecStreamRead, EndInEveryPlace) {
  const std::string whole = "abcdefgh\r\n";
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    SCOPED_TRACE(cut);
    on_a_loop([&]() -> task<> {
      const std::string part = whole.substr(0, cut);
      auto one = io::stream_pair(), two = io::stream_pair(), three = io::stream_pair(), four = io::stream_pair();
      for (io::stream* s : {&one.second, &two.second, &three.second, &four.second}) {
        co_await s->write(part);
        s->close();
      }
      EXPECT_EQ(co_await how([&] { return one.first.read_until("\r\n"); }), "closed");
      std::array<char, 10> room{};
      EXPECT_EQ(co_await how([&] { return two.first.read_exactly(room); }), "closed");
      EXPECT_EQ(co_await how([&] { return three.first.read_exactly(whole.size()); }), "closed");
      if (cut == 0) {
        EXPECT_EQ(co_await four.first.read_line(), std::nullopt);
      } else {
        EXPECT_EQ(co_await four.first.read_line(), part);
      }
      EXPECT_EQ(co_await four.first.read_some(room), 0U);
    });
  }
}

TEST_F(SpecStreamRead, NothingToReadInto) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    EXPECT_EQ(co_await pair.first.read_some(io::mutable_buffer()), 0U);
    EXPECT_EQ(co_await pair.first.read_exactly(io::mutable_buffer()), 0U);
    EXPECT_EQ(co_await pair.first.read_exactly(std::size_t(0)), "");
    co_await pair.first.write("");
    co_await pair.first.flush();
    co_await pair.first.write("x");
    EXPECT_EQ(co_await pair.second.read_exactly(1), "x");
  });
}

TEST_F(SpecStreamRead, MixedReadsSeeOneSequence) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    std::string text;
    for (int i = 0; i < 2000; ++i) text += "line " + std::to_string(i) + "\r\n";
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        for (std::size_t at = 0, size = 1; at < text.size(); at += size, size = size * 7 % 613 + 1)
          co_await pair.second.write(std::string_view(text).substr(at, size));
        co_await pair.second.shutdown_write();
      });
      std::string got;
      for (int turn = 0;; ++turn) {
        std::array<char, 13> room{};
        std::size_t n = 0;
        if (turn % 4 == 0) {
          n = co_await pair.first.read_some(room);
          got.append(room.data(), n);
          if (n == 0) break;
        } else if (turn % 4 == 1) {
          const auto line = co_await pair.first.read_line();
          if (!line) break;
          got += *line + "\r\n";
        } else if (turn % 4 == 2 && got.size() + 3 < text.size()) {
          got += co_await pair.first.read_exactly(3);
        } else if (got.size() + 100 < text.size()) {
          got += co_await pair.first.read_until("\n");
        }
      }
      EXPECT_EQ(got.size(), text.size());
    });
  });
}

TEST_F(SpecStreamRead, EmptyDelimiterIsRefused) {
  on_a_loop([]() -> task<> {
    auto pair = io::stream_pair();
    co_await pair.second.write("x");
    const std::string end = co_await how([&] { return pair.first.read_until("", 10, 1s); });
    EXPECT_TRUE(end == "invalid_argument" || end == "logic_error") << end;
  });
}

}  // namespace
