#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <latch>
#include <stdexcept>
#include <tests/support/forks.hpp>
#include <thread>
#include <tutti/base/log.hpp>

namespace {

using testing::ElementsAre;
using tutti::log;
using tutti::log_level;

TEST(log, names_and_values) {
  tutti::log_capture capture;
  log(log_level::warn, "worker died", {{"pid", 17}, {"signal", 9u}, {"load", 0.5}, {"ok", false}, {"name", "a b\"\n"}});
  log(log_level::trace, "plain");
  log(log_level::info, "texts",
      {{"literal", "x"}, {"empty", ""}, {"string", std::string("y")}, {"big", ~std::uint64_t{0}}});
  EXPECT_THAT(capture.lines(),
              ElementsAre("warn: worker died pid=17 signal=9 load=0.5 ok=false name=\"a b\\\"\\n\"", "trace: plain",
                          "info: texts literal=x empty=\"\" string=y big=18446744073709551615"));
  EXPECT_TRUE(capture.contains("signal=9"));
  EXPECT_FALSE(capture.contains("signal=10"));
}

TEST(log, the_level_decides) {
  tutti::log_capture capture;
  tutti::set_log_level(log_level::error);
  EXPECT_FALSE(tutti::log_enabled(log_level::warn));
  log(log_level::warn, "no");
  log(log_level::error, "yes");
  tutti::set_log_level(log_level::off);
  log(log_level::error, "no");
  log(log_level::off, "never");
  EXPECT_THAT(capture.lines(), ElementsAre("error: yes"));
}

TEST(log, a_capture_puts_things_back) {
  const log_level before = tutti::detail::log_threshold.load();
  {
    const tutti::log_capture capture;
  }
  EXPECT_EQ(tutti::detail::log_threshold.load(), before);
}

class throwing_sink final : public tutti::log_sink {
 public:
  void write(const tutti::log_record& record) override {
    if (on_line.exchange(static_cast<int>(record.where.line)) == 0) file = record.where.file;  // by the first
    throw std::runtime_error("disk full");
  }
  std::atomic<int> on_line{0};
  std::string file;
};

TEST(log, a_sink_that_throws_harms_nobody) {
  const auto sink = std::make_shared<throwing_sink>();
  tutti::set_log_sink(sink);
  log(log_level::error, "x");
  tutti::set_log_sink(nullptr);
  EXPECT_THAT(sink->file, testing::EndsWith("log_test.cpp"));
  EXPECT_EQ(sink.use_count(), 1);
}

TEST(log, sinks_change_while_threads_write) {
  tutti::log_capture capture;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([] {
      for (int n = 0; n < 500; ++n) log(log_level::info, "line", {{"n", n}});
    });
  }
  for (int i = 0; i < 20; ++i) tutti::set_log_sink(std::make_shared<throwing_sink>());
  threads.clear();
  EXPECT_LE(capture.lines().size(), 1500u);
}

struct forking_sink final : tutti::log_sink {
  void write(const tutti::log_record&) override {
    EXPECT_EQ(tutti_test::in_child([] { return 7; }), 7);
    ++forks;
  }
  std::atomic<int> forks{0};
};

TEST(log, a_sink_may_fork) {
  EXPECT_EQ(tutti_test::in_child([] {  // a process of its own, which may hang
              const auto sink = std::make_shared<forking_sink>();
              tutti::set_log_sink(sink);
              log(log_level::error, "x");
              return sink->forks.load();
            }),
            1);
}

struct held_sink final : tutti::log_sink {
  void write(const tutti::log_record&) override {
    inside.count_down();
    gate.wait();
    left = true;
  }
  std::latch inside{1}, gate{1};
  std::atomic<bool> left{false};
};

TEST(log, who_changes_the_sink_waits_for_those_inside) {
  const auto sink = std::make_shared<held_sink>();
  tutti::set_log_sink(sink);
  std::jthread writer([] { log(log_level::error, "x"); });
  sink->inside.wait();
  std::jthread changer([&] {
    tutti::set_log_sink(nullptr);
    EXPECT_TRUE(sink->left);
  });
  sink->gate.count_down();
}

TEST(log, a_fork_does_not_wait_for_a_sink_and_its_child_logs_elsewhere) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  EXPECT_EQ(tutti_test::in_child([] {  // a process of its own, which may hang
              const auto sink = std::make_shared<held_sink>();
              tutti::set_log_sink(sink);
              std::jthread writer([] { log(log_level::error, "x"); });
              sink->inside.wait();
              const int lines = tutti_test::in_child([] {
                const tutti::log_capture capture;
                log(log_level::error, "y");
                return static_cast<int>(capture.lines().size());
              });
              sink->gate.count_down();
              return lines;
            }),
            1);
}

TEST(log, standard_error) {
  testing::internal::CaptureStderr();
  log(log_level::error, "to the terminal", {{"n", 1}});
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_THAT(written, testing::HasSubstr("to the terminal n=1 at="));
  EXPECT_THAT(written, testing::HasSubstr("log_test.cpp:"));
}

// What this very program says on standard error when started with TUTTI_LOG=`value`; it then stops at once.
std::string started_with(const std::string& value) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  FILE* output = ::popen(("TUTTI_LOG=" + value + " '" + self + "' --tutti-worker=nobody 2>&1").c_str(), "r");
  if (output == nullptr) return "popen failed";
  std::string text;
  for (int c = 0; (c = std::fgetc(output)) != EOF;) text += static_cast<char>(c);
  ::pclose(output);
  return text;
}

TEST(log, an_unknown_level_is_told) {
  EXPECT_THAT(started_with("loud"),
              testing::AllOf(testing::HasSubstr("value=loud"), testing::HasSubstr("known: trace")));
  EXPECT_THAT(started_with("debug"), testing::Not(testing::HasSubstr("TUTTI_LOG")));
}

}  // namespace
