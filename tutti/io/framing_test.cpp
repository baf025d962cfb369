// Framing: messages come out as they went in, whatever pieces the stream makes of them.
#include <gtest/gtest.h>
#include <tutti/io/connect.hpp>
#include <tutti/io/framing.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/task/task_group.hpp>

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace std::string_view_literals;
namespace io = tutti::io;

struct two_ends {
  io::frames a, b;
};
two_ends make_ends(std::size_t most = 1 << 20) {
  auto both = io::stream_pair();
  return {io::frames(std::move(both.first), most), io::frames(std::move(both.second), most)};
}

TEST(frames, come_out_as_they_went_in) {
  io::run([]() -> tutti::task<> {
    two_ends ends = make_ends();
    co_await ends.a.write_frame("one");
    co_await ends.a.write_frame("");
    co_await ends.a.write_frame("with\0zero"s);
    EXPECT_EQ(co_await ends.b.read_frame(), "one");
    EXPECT_EQ(co_await ends.b.read_frame(), "");
    EXPECT_EQ(co_await ends.b.read_frame(), "with\0zero"s);
  }());
}

TEST(frames, are_a_length_with_the_most_significant_byte_first_and_the_bytes) {
  io::run([]() -> tutti::task<> {
    auto both = io::stream_pair();
    io::frames a(std::move(both.first));
    co_await a.write_frame(std::string(258, 'x'));
    const std::string head = co_await both.second.read_exactly(4);
    EXPECT_EQ(head, "\0\0\1\2"s);
    const std::string body = co_await both.second.read_exactly(258);
    EXPECT_EQ(body, std::string(258, 'x'));
  }());
}

TEST(frames, large_ones_both_ways_at_once) {
  io::run([]() -> tutti::task<> {
    two_ends ends = make_ends(3'000'000);
    static constexpr std::array<std::size_t, 4> sizes{3'000'000, 0, 65'536, 1};
    const auto exchange = [](io::frames& own, char mine, char others) -> tutti::task<> {
      co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
        group.spawn([&]() -> tutti::task<> {
          for (const std::size_t size : sizes) co_await own.write_frame(std::string(size, mine));
        });
        for (const std::size_t size : sizes) {
          const auto got = co_await own.read_frame();
          EXPECT_TRUE(got == std::string(size, others)) << size;
        }
      });
    };
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(exchange(ends.a, 'a', 'b'));
      co_await exchange(ends.b, 'b', 'a');
    });
  }());
}

TEST(frames, the_end_between_them_is_nothing) {
  io::run([]() -> tutti::task<> {
    two_ends ends = make_ends();
    co_await ends.a.write_frame("last");
    ends.a.carrier().close();
    EXPECT_EQ(co_await ends.b.read_frame(), "last");
    EXPECT_EQ(co_await ends.b.read_frame(), std::nullopt);
    EXPECT_EQ(co_await ends.b.read_frame(), std::nullopt);
  }());
}

tutti::task<std::string> error_after(std::string bytes) {
  auto both = io::stream_pair();
  io::frames from(std::move(both.second), 100);
  co_await both.first.write(bytes);
  both.first.close();
  try {
    co_await from.read_frame();
  } catch (const tutti::closed& e) {
    co_return e.what();
  }
  co_return "none";
}

TEST(frames, the_end_inside_one_is_an_error) {
  EXPECT_EQ(io::run(error_after("\0\0"s)),
            "reading from a socket of a pair: the end came inside a message, after 2 of 4 or more bytes");
  EXPECT_EQ(io::run(error_after("\0\0\0\5abcd"s)),
            "reading from a socket of a pair: the end came inside a message, after 8 of 9 bytes");
}

TEST(frames, more_than_the_limit_is_refused_on_both_sides) {
  io::run([]() -> tutti::task<> {
    auto both = io::stream_pair();
    io::frames from(std::move(both.second), 100);
    co_await both.first.write("\xff\xff\xff\xff");
    std::string said;
    try {
      co_await from.read_frame();
    } catch (const io::too_long& e) {
      said = e.what();
    }
    EXPECT_EQ(said, "reading from a socket of a pair: a message of 4294967295 bytes is announced; the limit is 100");
    said.clear();
    try {
      co_await from.write_frame(std::string(101, 'x'));
    } catch (const io::too_long& e) {
      said = e.what();
    }
    EXPECT_EQ(said, "writing to a socket of a pair: a message of 101 bytes; the limit is 100");
    co_await from.write_frame(std::string(100, 'x'));
    const std::string head = co_await both.first.read_exactly(4);
    EXPECT_EQ(head, "\0\0\0\x64"s) << "nothing of the refused one was written";
  }());
}

TEST(frames, the_limit_fits_the_length) {
  io::run([]() -> tutti::task<> {
    auto both = io::stream_pair();
    io::frames fits(std::move(both.first), 0xffffffffU);
    EXPECT_THROW(io::frames(std::move(both.second), std::size_t{1} << 32), std::invalid_argument);
    co_return;
  }());
}

TEST(frames, a_wait_that_ends_early_loses_nothing) {
  io::run([]() -> tutti::task<> {
    auto both = io::stream_pair();
    io::frames from(std::move(both.second));
    for (const std::string_view piece : {"\0\0"sv, "\0\5ab"sv, "cd"sv}) {
      co_await both.first.write(piece);
      bool late = false;
      try {
        co_await from.read_frame(1ms);
      } catch (const tutti::timed_out&) {
        late = true;
      }
      EXPECT_TRUE(late);
    }
    co_await both.first.write("e\0\0\0\1f"sv);
    EXPECT_EQ(co_await from.read_frame(), "abcde");
    EXPECT_EQ(co_await from.read_frame(), "f");
  }());
}

TEST(lines, are_what_read_line_gives_back) {
  io::run([]() -> tutti::task<> {
    auto both = io::stream_pair();
    co_await io::write_line(both.first, "one");
    co_await io::write_line(both.first, "");
    co_await io::write_line(both.first, "a\rb");
    EXPECT_EQ(co_await both.second.read_line(), "one");
    EXPECT_EQ(co_await both.second.read_line(), "");
    EXPECT_EQ(co_await both.second.read_line(), "a\rb");
  }());
}

TEST(lines, what_is_none_is_refused) {
  io::run([]() -> tutti::task<> {
    auto both = io::stream_pair();
    for (const std::string text : {"two\nlines", "\n", "end\r"}) {
      bool refused = false;
      try {
        co_await io::write_line(both.first, text);
      } catch (const std::invalid_argument&) {
        refused = true;
      }
      EXPECT_TRUE(refused) << text;
    }
    both.first.close();
    EXPECT_EQ(co_await both.second.read_line(), std::nullopt) << "nothing was written";
  }());
}

}  // namespace
