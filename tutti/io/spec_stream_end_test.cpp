// What stream.hpp promises of streams that are destroyed in the worst moment: their bytes are there, who waits for them
// has not gone on yet.
#include <gtest/gtest.h>

#include <optional>
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

class SpecStreamEnd : public io_spec {};

using use = std::function<task<>(io::stream&)>;

/// Streams `one` and `two`, ready in the same turn after `go`: who reads the first, or flushes it, destroys the second,
/// which is used by `second`, before that goes on. Gives how that ended.
task<std::string> destroyed_while_ready(io::stream& one, bool reads, std::optional<io::stream>& two, use second,
                                        std::function<void()> go) {
  std::string end;
  co_await task_group::run([&](task_group& group) -> task<> {
    group.spawn([&]() -> task<> {
      std::array<char, 1> room{};
      if (reads) {
        static_cast<void>(co_await one.read_some(room));
      } else {
        co_await one.flush();
      }
      two.reset();
    });
    group.spawn(note(end, [&] { return second(*two); }));
    co_await some_turns();
    EXPECT_TRUE(two.has_value());
    EXPECT_EQ(end, "begun");
    go();
    co_await some_turns();  // a loop that is busy looks at all that is ready at once
  });
  co_return end;
}

TEST_F(SpecStreamEnd, DestroyedWhenItsBytesHaveArrivedButItsReaderHasNotGoneOn) {
  const use some = [](io::stream& s) -> task<> {
    std::array<char, 4> room{};
    static_cast<void>(co_await s.read_some(room));
  };
  const std::vector<use> all = {
      some,
      [](io::stream& s) -> task<> { static_cast<void>(co_await s.read_exactly(10)); },
      [](io::stream& s) -> task<> { static_cast<void>(co_await s.read_until("\n")); },
      [](io::stream& s) -> task<> { static_cast<void>(co_await s.read_line()); },
      [](io::stream& s) -> task<> { static_cast<void>(co_await s.read_all(100)); },
  };
  for (const std::string& bytes : std::vector<std::string>{"a", "a\n"})
    for (const use& second : all)
      on_a_loop([&]() -> task<> {
        auto one = io::stream_pair(), two = io::stream_pair();
        std::optional<io::stream> read(std::move(two.first));
        const std::string end = co_await destroyed_while_ready(one.first, true, read, second, [&] {
          for (io::stream* s : {&one.second, &two.second})
            EXPECT_EQ(::write(s->descriptor(), bytes.data(), bytes.size()), static_cast<::ssize_t>(bytes.size()));
        });
        EXPECT_TRUE(end == "value" || end == "closed") << end;
      });
}

TEST_F(SpecStreamEnd, DestroyedWhenItsBytesHaveGoneButItsWriterHasNotGoneOn) {
  const use flush = [](io::stream& s) -> task<> { co_await s.flush(); };
  const std::vector<use> all = {
      flush,
      [](io::stream& s) -> task<> { co_await s.shutdown_write(); },
      [](io::stream& s) -> task<> { co_await s.write(std::string(1000, 'x')); },
      [](io::stream& s) -> task<> { co_await io::write_line(s, std::string(1000, 'x')); },
  };
  for (const use& second : all)
    on_a_loop([&]() -> task<> {
      auto one = io::stream_pair(), two = io::stream_pair();
      for (io::stream* s : {&one.first, &two.first}) {
        co_await fill(*s);
        s->buffer_writes(100);
        co_await s->write("kept");
      }
      std::optional<io::stream> written(std::move(two.first));
      const std::string end = co_await destroyed_while_ready(one.first, false, written, second, [&] {
        std::string room(1'000'000, '\0');
        for (io::stream* s : {&one.second, &two.second})
          while (::recv(s->descriptor(), room.data(), room.size(), MSG_DONTWAIT) > 0) {
          }
      });
      EXPECT_TRUE(end == "value" || end == "closed") << end;
    });
}

}  // namespace
