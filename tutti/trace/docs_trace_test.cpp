// docs_trace_test: what docs/trace.md shows, compiled and run.
#include <gtest/gtest.h>
#include <tutti/core/core.hpp>
#include <tutti/trace/trace.hpp>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace docs_trace {

long work(int n) {
  long sum = 0;
  for (int i = 0; i < n; ++i) sum += i;
  return sum;
}

TEST(docs_trace, first) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "docs_trace_first";
  std::filesystem::create_directories(folder);
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder);

  tutti::thread_pool pool(2);
  tutti::trace_recorder recorder;
  recorder.start();
  std::vector<tutti::future<long>> sums;
  for (int i = 0; i < 8; ++i) sums.push_back(pool.with({.name = "sum"}).submit<work>(1000 * i));
  for (auto& sum : sums) sum.get();
  recorder.stop();
  recorder.write("timeline.json");

  EXPECT_TRUE(std::filesystem::exists("timeline.json"));
  std::filesystem::current_path(before);
  std::filesystem::remove_all(folder);
}

TEST(docs_trace, own_phases) {
  tutti::trace_recorder recorder;
  recorder.start();
  std::vector<int> queue(3);
  std::string name = "request 17";
  {
    tutti::trace_span loading("load");                   // to the end of the scope
    tutti::trace_span request{tutti::trace_name(name)};  // a name made at run time is kept for ever
    tutti::trace_mark("first byte", 4096);               // a moment, with a number
    tutti::trace_count("queue", std::ssize(queue));      // a curve
  }
  recorder.stop();
  EXPECT_GE(recorder.collect().slices.size(), 2U);
}

TEST(docs_trace, flight_recorder) {
  std::ostringstream file;

  static tutti::trace_recorder recorder({.bytes_per_thread = 1 << 20, .max_threads = 64});
  recorder.start();  // and let it run
  tutti::trace_mark("all is well");
  // When something took too long: the last moments, while everything goes on.
  recorder.write(file);

  recorder.stop();
  EXPECT_NE(file.str().find("all is well"), std::string::npos);
}

TEST(docs_trace, figures) {
  std::ostringstream out;
  tutti::trace_recorder recorder;
  recorder.start();
  tutti::default_pool().with({.name = "sum"}).submit<work>(100'000).get();
  recorder.stop();

  tutti::trace_summary summary = tutti::summarise(recorder.collect());
  for (const auto& task : summary.names) out << task.name << ": " << task.count << ", " << task.total << " ns\n";
  double no_faster_than = summary.parallelism();  // work / critical path

  EXPECT_NE(out.str().find("sum: 1, "), std::string::npos);
  EXPECT_GE(no_faster_than, 1.0 - 1e-9);
}

}  // namespace docs_trace
