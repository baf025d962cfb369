// Streams: what is written on one side is read on the other, in whatever pieces.
#include <gtest/gtest.h>
#include <tutti/io/io.hpp>
#include <tutti/task/sleep.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/with_timeout.hpp>

#include <array>
#include <string>
#include <type_traits>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;

// A literal is written without its zero; of an array of chars it is not known where it ends.
static_assert(std::is_convertible_v<const char (&)[4], io::const_buffer>);
static_assert(!std::is_convertible_v<char (&)[4], io::const_buffer>);
static_assert(std::is_convertible_v<char (&)[4], io::mutable_buffer>);

TEST(stream, reads_what_the_other_end_writes) {
  const std::string got = io::run([]() -> tutti::task<std::string> {
    auto [a, b] = io::stream_pair();
    co_await a.write("hello");
    std::array<char, 16> room{};
    const std::size_t n = co_await b.read_some(room);
    co_return std::string(room.data(), n);
  }());
  EXPECT_EQ(got, "hello");
}

TEST(stream, reads_the_end_when_the_other_end_is_closed) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    a.close();
    std::array<char, 16> room{};
    const std::size_t n = co_await b.read_some(room);
    EXPECT_EQ(n, 0U);
  }());
}

TEST(stream, waits_for_what_comes_later) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        const std::string all = co_await b.read_exactly(300'000);
        EXPECT_EQ(all, std::string(300'000, 'x'));
      });
      co_await a.write(std::string(300'000, 'x'));
    });
  }());
}

TEST(stream, a_wait_ends_at_its_limit_and_loses_nothing) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    std::array<char, 4> room{};
    bool late = false;
    try {
      co_await b.read_some(room, 1ms);
    } catch (const tutti::timed_out& e) {
      late = true;
      EXPECT_STREQ(e.what(), "reading from a socket of a pair took longer than the limit of 1 ms");
    }
    EXPECT_TRUE(late);
    co_await a.write("abcd");
    co_await b.read_exactly(room);
    EXPECT_EQ(std::string(room.data(), 4), "abcd");
  }());
}

TEST(stream, a_task_that_is_stopped_leaves_its_read) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        std::array<char, 4> room{};
        co_await b.read_some(room);
        ADD_FAILURE();
      });
      co_await tutti::sleep_for(1ms);
      group.stop();
    });
  }());
}

TEST(stream, lines) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    co_await a.write("one\r\ntwo\n\nlast");
    co_await a.shutdown_write();
    EXPECT_EQ(co_await b.read_line(), "one");
    EXPECT_EQ(co_await b.read_line(), "two");
    EXPECT_EQ(co_await b.read_line(), "");
    EXPECT_EQ(co_await b.read_line(), "last");
    EXPECT_EQ(co_await b.read_line(), std::nullopt);
  }());
}

TEST(stream, limits_are_told_as_they_were_given) {
  using io::detail::in_words;
  EXPECT_EQ(in_words(1ns), "1 ns");
  EXPECT_EQ(in_words(999ns), "999 ns");
  EXPECT_EQ(in_words(1us), "1 us");
  EXPECT_EQ(in_words(999'400ns), "999 us");
  EXPECT_EQ(in_words(999'999ns), "1 ms");  // what is left of a millisecond when the wait begins
  EXPECT_EQ(in_words(1500ms), "1.5 s");
  EXPECT_EQ(in_words(120s), "120 s");
  EXPECT_EQ(in_words(0ns), "0 ns");
}

TEST(stream, a_limit_beyond_all_time_is_none) {
  io::run([]() -> tutti::task<> {
    auto ends = io::stream_pair();
    io::stream &a = ends.first, &b = ends.second;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        std::array<char, 1> room{};
        EXPECT_EQ(co_await b.read_some(room, std::chrono::hours::max()), 1U);
        EXPECT_EQ(co_await b.read_line(10, std::chrono::hours::max()), "");
      });
      co_await tutti::yield_now();
      co_await a.write("x\n", std::chrono::hours::max());
    });
  }());
}

}  // namespace
