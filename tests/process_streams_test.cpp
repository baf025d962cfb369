// Pipes of processes as streams: what a process writes is read on a loop, and what is written there is its input.
#include <gtest/gtest.h>
#include <tutti/io/io.hpp>
#include <tutti/process/process.hpp>
#include <tutti/task/task_group.hpp>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

namespace {

namespace io = tutti::io;

constexpr tutti::process_options piped{.in = tutti::stdio::pipe(), .out = tutti::stdio::pipe()};

TEST(process_streams, output_is_read_line_by_line) {
  const auto work = []() -> tutti::task<std::vector<std::string>> {
    const std::vector<std::string> command{"sh", "-c", "echo one; echo two; printf last"};
    tutti::process p = tutti::process::exec(command, {.out = tutti::stdio::pipe()});
    io::stream out = io::stream::adopt(std::move(p.out()));
    std::vector<std::string> lines;
    for (;;) {
      std::optional<std::string> line = co_await out.read_line();
      if (!line) break;
      lines.push_back(*std::move(line));
    }
    const tutti::exit_status status = co_await p.join_async();
    EXPECT_TRUE(status.success());
    co_return lines;
  };
  EXPECT_EQ(io::run(work()), (std::vector<std::string>{"one", "two", "last"}));
}

TEST(process_streams, input_and_output_at_once_and_more_than_pipes_hold) {
  const auto work = []() -> tutti::task<> {
    const std::vector<std::string> command{"cat"};
    tutti::process p = tutti::process::exec(command, piped);
    io::stream in = io::stream::adopt(std::move(p.in())), out = io::stream::adopt(std::move(p.out()));
    const std::string much(1'000'000, 'x');
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        co_await in.write(much);
        co_await in.shutdown_write();  // a pipe says so by being closed
      });
      const std::string all = co_await out.read_all(much.size());
      EXPECT_TRUE(all == much);
    });
    const tutti::exit_status status = co_await p.join_async();
    EXPECT_TRUE(status.success());
  };
  io::run(work());
}

TEST(process_streams, lines_are_answered_one_by_one) {
  const auto work = []() -> tutti::task<> {
    const std::vector<std::string> command{"sh", "-c", "while read -r line; do echo \"got $line\"; done"};
    tutti::process p = tutti::process::exec(command, piped);
    io::stream in = io::stream::adopt(std::move(p.in())), out = io::stream::adopt(std::move(p.out()));
    for (const std::string word : {"one", "two", "three"}) {
      co_await io::write_line(in, word);
      EXPECT_EQ(co_await out.read_line(), "got " + word);
    }
    in.close();
    EXPECT_EQ(co_await out.read_line(), std::nullopt);
    co_await p.join_async();
  };
  io::run(work());
}

TEST(process_streams, a_process_that_is_killed_ends_them) {
  const auto work = []() -> tutti::task<> {
    const std::vector<std::string> command{"sh", "-c", "echo ready; exec cat"};
    tutti::process p = tutti::process::exec(command, piped);
    io::stream in = io::stream::adopt(std::move(p.in())), out = io::stream::adopt(std::move(p.out()));
    EXPECT_EQ(co_await out.read_line(), "ready");
    p.kill();
    EXPECT_EQ(co_await out.read_line(), std::nullopt);
    co_await p.join_async();
    int code = 0;
    try {
      co_await in.write("anybody?");  // no SIGPIPE
    } catch (const tutti::os_error& e) {
      code = e.code();
    }
    EXPECT_EQ(code, EPIPE);
  };
  io::run(work());
}

}  // namespace
