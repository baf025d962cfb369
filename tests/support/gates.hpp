// gates: what a test waits for instead of time: a condition, a wait that shows, a stop, a worker held back.
#pragma once
#include <latch>
#include <string_view>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/thread_record.hpp>
#include <vector>

namespace tutti_test {

/// Returns once the condition holds.
template <class Condition>
void until(Condition condition) {
  while (!condition()) std::this_thread::yield();
}

/// For a task: returns once it is asked to stop.
inline void until_stopped() { until(tutti::this_task::stop_requested); }

/// How many of the threads that wait at this moment `which` accepts.
template <class Which>
int count_waiting(Which which) {
  int n = 0;
  for (const tutti::thread_record::view& one : tutti::thread_record::all_waiting()) n += which(one) ? 1 : 0;
  return n;
}
/// How many threads wait for what is called so.
inline int waiting_for(std::string_view what) {
  return count_waiting([what](const auto& one) { return one.waits_for == what; });
}
/// Whether a task of that name waits.
inline bool task_waits(std::string_view name) {
  return count_waiting([name](const auto& one) { return one.task == name; }) != 0;
}

/// Submits from outside until the pool says no: its shutdown has begun.
inline void wait_until_closed(tutti::thread_pool& pool) {
  for (;;) {
    try {
      pool.post([] {});
    } catch (const tutti::closed&) {
      return;
    }
    std::this_thread::yield();
  }
}

/// Returns once the pool has done what it was handed before: each of its workers has come to a task of now.
inline void run_dry(tutti::thread_pool& pool) {
  std::latch all(pool.concurrency());  // passes only when they are all here
  std::vector<tutti::future<void>> workers;
  for (int i = 0; i < pool.concurrency(); ++i) workers.push_back(pool.submit([&all] { all.arrive_and_wait(); }));
  for (auto& worker : workers) worker.get();
}

/// A pool whose only worker is busy until the gate opens.
class held_pool {
  std::latch started_{1}, gate_{1};  // outlive the pool's thread

 public:
  held_pool() {
    pool.post([this] {
      started_.count_down();
      gate_.wait();
    });
    started_.wait();
  }
  ~held_pool() { open(); }
  held_pool(const held_pool&) = delete;
  held_pool& operator=(const held_pool&) = delete;

  void open() {
    if (!gate_.try_wait()) gate_.count_down();
  }
  /// Opens, and returns when all is done.
  void run_all() {
    open();
    pool.shutdown();
  }
  tutti::thread_pool pool{1};
};

}  // namespace tutti_test
