#include <gtest/gtest.h>
#include <mutex>
#include <thread>
#include <tutti/base/trace.hpp>
#include <vector>

namespace {

struct event {
  tutti::trace_kind kind;
  std::uint64_t a, b;
};

class collector final : public tutti::trace_sink {
 public:
  void record(tutti::trace_kind kind, std::uint64_t a, std::uint64_t b) noexcept override {
    const std::lock_guard guard(lock_);
    events_.push_back({kind, a, b});
  }
  std::vector<event> events() const {
    const std::lock_guard guard(lock_);
    return events_;
  }

 private:
  mutable std::mutex lock_;
  std::vector<event> events_;
};

TEST(trace, reaches_the_sink_only_while_there_is_one) {
  collector sink;
  tutti::trace_point(tutti::trace_kind::mark, tutti::trace_text("before"));
  EXPECT_FALSE(tutti::tracing());
  EXPECT_EQ(tutti::set_trace_sink(&sink), nullptr);
  EXPECT_TRUE(tutti::tracing());
  tutti::trace_point(tutti::trace_kind::steal, 2, 3);
  tutti::trace_point(tutti::trace_kind::park, &sink);
  EXPECT_EQ(tutti::set_trace_sink(nullptr), &sink);
  tutti::trace_point(tutti::trace_kind::mark, tutti::trace_text("after"));
  const auto events = sink.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, tutti::trace_kind::steal);
  EXPECT_EQ(events[0].a, 2u);
  EXPECT_EQ(events[0].b, 3u);
  EXPECT_EQ(events[1].a, reinterpret_cast<std::uintptr_t>(&sink));
}

TEST(trace, from_many_threads) {
  collector sink;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([] {
        for (std::uint64_t n = 0; n < 1000; ++n) tutti::trace_point(tutti::trace_kind::mark, tutti::trace_text("n"), n);
      });
    }
    tutti::set_trace_sink(&sink);
  }
  tutti::set_trace_sink(nullptr);
  EXPECT_LE(sink.events().size(), 4000u);
}

TEST(trace, kinds_have_names) {
  EXPECT_EQ(to_string(tutti::trace_kind::task_begin), "task_begin");
  for (std::size_t kind = 0; kind < tutti::trace_kinds; ++kind) {
    EXPECT_NE(to_string(static_cast<tutti::trace_kind>(kind)), "unknown");
  }
}

}  // namespace
