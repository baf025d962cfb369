// What calls of a pool write to standard output and error arrives on the program's, once, and disturbs nothing.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <string>
#include <tests/support/programs.hpp>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_stdout {

int by_printf(int n) {
  std::printf("<p%d>", n);  // no line, not flushed
  return n;
}
int by_cout(int n) {
  std::cout << "<c" << n << '>';
  return n;
}
int by_write(int n) {
  const std::string text = "<w" + std::to_string(n) + '>';
  return ::write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? n : -1;
}
int by_all(int n) { return by_printf(n) + by_cout(n) + by_write(n); }
int to_error(int n) {
  std::cerr << "<e" << n << '>';
  std::fprintf(stderr, "<f%d>", n);
  std::clog << "<g" << n << '>';
  return n;
}
std::size_t much(std::size_t bytes) {
  std::printf("[%s]", std::string(bytes, 'x').c_str());
  return bytes;
}
int zeroes(int n) {
  // Not text, and what a protocol may look like.
  const char bytes[] = {'{', 0, 0, 0, 1, '\xff', '\xfe', '\n', '}'};
  std::fwrite(bytes, 1, sizeof bytes, stdout);
  return n;
}
int nested(int n) {
  std::printf("<n%d>", n);  // still in the buffer when other processes begin
  tutti::process_pool inner(1);
  return inner.submit<by_printf>(n).get();
}
int throwing(int n) {
  std::printf("<t%d>", n);
  throw std::out_of_range("as expected");
}
int closes_output(int n) {
  ::close(STDOUT_FILENO);
  return n;
}
int own_file(const std::string& path) {
  // The descriptor of the standard output, for another file.
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(fd, STDOUT_FILENO);
  if (fd != STDOUT_FILENO) ::close(fd);
  return 1;
}
void load(int n) { std::printf("<i%d>", n); }
void killed_after_flush(int n) {
  std::printf("<k%d>", n);
  std::fflush(stdout);
  ::raise(SIGKILL);
}
void exits_with_text(int n) {
  std::printf("<x%d>", n);
  std::exit(n);
}

// What follows are programs.

void each_way(tutti::start_method start) {
  std::printf("<m0>");  // ours, in the buffer while workers begin
  tutti::process_pool pool({.workers = 2, .start = start});
  std::vector<int> all(20);
  std::iota(all.begin(), all.end(), 0);
  int sum = 0;
  for (int n : pool.map<by_all>(all, {.chunk = 1})) sum += n;
  if (sum != 3 * 190) std::abort();
}
void one(const std::string& what) {
  tutti::process_pool pool(1);
  bool good = true;
  if (what == "nested") good = pool.submit<nested>(1).get() == 1;
  if (what == "much") good = pool.submit<much>(300'000u).get() == 300'000;
  if (what == "zeroes") {
    for (int i = 0; i < 10; ++i) good = good && pool.submit<zeroes>(i).get() == i;
  }
  if (what == "throwing") {
    try {
      pool.submit<throwing>(1).get();
      good = false;
    } catch (const std::out_of_range&) {
    }
  }
  if (what == "killed") {
    try {
      pool.submit<killed_after_flush>(1).get();
      good = false;
    } catch (const tutti::worker_lost&) {
    }
  }
  if (what == "exits") {
    try {
      pool.submit<exits_with_text>(3).get();
      good = false;
    } catch (const tutti::worker_lost& e) {
      good = e.exit_code() == 3;
    }
  }
  if (what == "error") {
    for (int i = 0; i < 5; ++i) good = good && pool.submit<to_error>(i).get() == i;
  }
  good = good && pool.submit<by_write>(99).get() == 99;
  if (!good) std::abort();
}
void replaced() {
  tutti::process_pool pool({.workers = 1, .max_tasks_per_worker = 1}, tutti::fn<load>, 1);
  for (int i = 0; i < 4; ++i) {
    if (pool.submit<by_printf>(i).get() != i) std::abort();
  }
}
void at_the_latest_when_over() {
  // Not at the end of the worker: what is read here must be there while the worker lives.
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  ::dup2(ends[1], STDOUT_FILENO);
  ::close(ends[1]);
  tutti::process_pool pool(1);
  static_cast<void>(pool.submit<by_printf>(5).get());
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  char text[5] = {};
  if (::read(ends[0], text, 4) != 4 || std::string(text) != "<p5>") std::abort();
  ::dup2(STDERR_FILENO, STDOUT_FILENO);  // the pipe has no reader soon
}
void without_streams() {
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  tutti::process_pool pool(2);  // its own descriptors may get these numbers
  for (int i = 0; i < 20; ++i) {
    static_cast<void>(pool.submit<by_all>(i).get());
    if (pool.submit<to_error>(i).get() != i) std::abort();
  }
}
void with_a_full_pipe_nobody_reads() {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  ::dup2(ends[1], STDOUT_FILENO);
  ::close(ends[0]);
  ::close(ends[1]);
  ::signal(SIGPIPE, SIG_IGN);
  tutti::process_pool pool(1);
  for (int i = 0; i < 20; ++i) {
    try {
      static_cast<void>(pool.with({.retries = 0}).submit<by_all>(i).get());
    } catch (const tutti::worker_lost& e) {
      if (e.signal() != SIGPIPE) std::abort();  // as everywhere
    }
  }
}
void closed_and_given_away(const std::string& path) {
  tutti::process_pool pool(1);
  if (pool.submit<closes_output>(1).get() != 1) std::abort();
  for (int i = 0; i < 5; ++i) {
    if (pool.submit<by_printf>(i).get() != i) std::abort();  // into nothing, or wherever
  }
  if (pool.submit<own_file>(path).get() != 1) std::abort();
  for (int i = 10; i < 15; ++i) {
    if (pool.submit<by_write>(i).get() != i) std::abort();
  }
}

}  // namespace spec_stdout

namespace tutti {
namespace {

using namespace spec_stdout;
using testing::HasSubstr;

int times(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class SpecPoolStdout : public tutti_test::tidy_test {
 protected:
  template <class Function, class... A>
  static process_output run(Function f, A&&... arguments) {
    process p({.out = stdio::pipe(), .err = stdio::pipe()}, f, std::forward<A>(arguments)...);
    process_output said = p.communicate();
    EXPECT_TRUE(said.status.success()) << to_string(said.status) << '\n' << said.out << '\n' << said.err;
    return said;
  }
};

TEST_F(SpecPoolStdout, ArrivesOnceByEachWay) {
  for (start_method start : {start_method::fork, start_method::exec}) {
    const std::string out = run(fn<each_way>, start).out;
    EXPECT_EQ(times(out, "<m0>"), 1) << out;
    for (int n = 0; n < 20; ++n) {
      for (const char* way : {"<p", "<c", "<w"})
        EXPECT_EQ(times(out, way + std::to_string(n) + '>'), 1) << way << n << '\n' << out;
    }
    EXPECT_EQ(out.size(), 4 + 3 * (10 * 4 + 10 * 5u)) << out;  // and nothing else
  }
}

// The same in a program that is started as users do, not as a process of this one.
TEST(SpecStdoutProgram, DISABLED_EachWay) { each_way(start_method::fork); }
TEST_F(SpecPoolStdout, ArrivesOnceFromAProgram) {
  process p = process::exec(tutti_test::program_of("SpecStdoutProgram.DISABLED_EachWay"), {.out = stdio::pipe()});
  const process_output said = p.communicate();
  EXPECT_TRUE(said.status.success()) << said.out;
  EXPECT_EQ(times(said.out, "<m0>"), 1) << said.out;
  for (int n = 0; n < 20; ++n) {
    for (const char* way : {"<p", "<c", "<w"}) EXPECT_EQ(times(said.out, way + std::to_string(n) + '>'), 1) << said.out;
  }
}

TEST_F(SpecPoolStdout, IsNotDoubledByAPoolInACall) {
  const std::string out = run(fn<one>, "nested").out;
  for (const char* part : {"<n1>", "<p1>", "<w99>"}) EXPECT_EQ(times(out, part), 1) << out;
  EXPECT_EQ(out.size(), 13u) << out;
}

TEST_F(SpecPoolStdout, MayBeMoreThanAPipeHolds) {
  EXPECT_EQ(run(fn<one>, "much").out, '[' + std::string(300'000, 'x') + "]<w99>");
}

TEST_F(SpecPoolStdout, MayBeAnyBytes) {
  const std::string out = run(fn<one>, "zeroes").out;
  EXPECT_EQ(out.size(), 10 * 9 + 5u);
  EXPECT_EQ(times(out, std::string("{\0\0\0\1\xff\xfe\n}", 9)), 10);
}

TEST_F(SpecPoolStdout, ArrivesFromACallThatThrows) { EXPECT_EQ(run(fn<one>, "throwing").out, "<t1><w99>"); }
TEST_F(SpecPoolStdout, IsThereWhenFlushedBeforeAKill) { EXPECT_EQ(run(fn<one>, "killed").out, "<k1><w99>"); }
TEST_F(SpecPoolStdout, IsFlushedByExit) { EXPECT_EQ(run(fn<one>, "exits").out, "<x3><w99>"); }

TEST_F(SpecPoolStdout, OfErrorsToo) {
  const process_output said = run(fn<one>, "error");
  EXPECT_EQ(said.out, "<w99>");
  for (int n = 0; n < 5; ++n) {
    for (const char* way : {"<e", "<f", "<g"}) EXPECT_EQ(times(said.err, way + std::to_string(n) + '>'), 1) << said.err;
  }
}

TEST_F(SpecPoolStdout, ArrivesFromInitializersAndReplacedWorkers) {
  const std::string out = run(fn<replaced>).out;
  for (int n = 0; n < 4; ++n) EXPECT_EQ(times(out, "<p" + std::to_string(n) + '>'), 1) << out;
  EXPECT_GE(times(out, "<i1>"), 4) << out;
}

TEST_F(SpecPoolStdout, ArrivesBeforeTheResult) { run(fn<at_the_latest_when_over>); }

TEST_F(SpecPoolStdout, MayBeClosedInTheProgram) {
  process p(fn<without_streams>);
  EXPECT_EQ(p.join(), exit_status::exited(0));
  if (p.failure() != nullptr) std::rethrow_exception(p.failure());
}

TEST_F(SpecPoolStdout, MayHaveNoReader) {
  process p(fn<with_a_full_pipe_nobody_reads>);
  EXPECT_EQ(p.join(), exit_status::exited(0));
}

TEST_F(SpecPoolStdout, MayBeClosedOrReplacedByACall) {
  const tutti_test::fresh_path file;
  run(fn<closed_and_given_away>, file.path());
  std::ifstream in(file.path());
  std::string text;
  std::getline(in, text);
  EXPECT_EQ(text, "<w10><w11><w12><w13><w14>");
}

}  // namespace
}  // namespace tutti
