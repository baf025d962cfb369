// oneTBB: task_arena::enqueue for tasks to other threads, task_group for many tasks from within.
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <future>
#include <vector>

#include "../harness/machine.hpp"
#include "systems.hpp"

namespace bench::submit {

namespace {

// enqueue calls its task as const, but moves it: no need to share the promise.
struct fulfil {
  mutable std::promise<void> result;
  void operator()() const { result.set_value(); }
};

class tbb_system : public system {
 public:
  // No slot is kept for the caller, who only hands work in: all `threads` slots belong to workers.
  explicit tbb_system(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads) + 1),
        arena_(threads, 0) {}

  bool post_outside(std::size_t count) override {
    for (std::size_t i = 0; i < count; ++i) arena_.enqueue([this] { done_.count(); });
    done_.wait(expected_ += count);
    return true;
  }

  bool post_inside(std::size_t count) override {
    std::promise<void> finished;
    arena_.enqueue([&] {
      tbb::task_group group;
      for (std::size_t i = 0; i < count; ++i) group.run([this] { done_.count(); });
      group.wait();
      finished.set_value();
    });
    finished.get_future().wait();
    expected_ += count;
    return true;
  }

  bool futures(std::size_t count) override {
    std::vector<std::future<void>> results;
    results.reserve(count);
    for (std::size_t i = 0; i < count; ++i) results.push_back(submit());
    for (auto& r : results) r.get();
    return true;
  }

  bool bulk(std::size_t count) override {
    std::promise<void> finished;
    arena_.enqueue([&] {
      // A grain of one and the simple partitioner: each element is a task of its own, as in a bulk submission.
      tbb::parallel_for(
          tbb::blocked_range<std::size_t>(0, count, 1),
          [this](const tbb::blocked_range<std::size_t>& part) {
            for (std::size_t i = part.begin(); i < part.end(); ++i) done_.count();
          },
          tbb::simple_partitioner{});
      finished.set_value();
    });
    finished.get_future().wait();
    expected_ += count;
    return true;
  }

  bool round_trip() override {
    submit().get();
    return true;
  }

  bool pin_worker(int cpu) override {
    std::promise<void> pinned;
    arena_.enqueue([&] {
      pin(cpu);
      pinned.set_value();
    });
    pinned.get_future().wait();
    return true;
  }

 private:
  std::future<void> submit() {
    std::promise<void> result;
    std::future<void> future = result.get_future();
    arena_.enqueue(fulfil{std::move(result)});
    return future;
  }

  tally done_;
  std::size_t expected_ = 0;
  tbb::global_control limit_;
  tbb::task_arena arena_;
};

}  // namespace

std::unique_ptr<system> make_tbb(int threads) { return std::make_unique<tbb_system>(threads); }

}  // namespace bench::submit
