// How an executor dies: nothing is left pending, whatever it was doing and whoever submits meanwhile.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <tests/support/gates.hpp>
#include <thread>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace {

using tutti::future;
using tutti::promise;
using tutti::thread_pool;
using tutti_test::until_stopped;
using tutti_test::wait_until_closed;

TEST(rules_shutdown, of_an_idle_pool) {
  for (int i = 0; i < 200; ++i) const thread_pool pool{1 + i % 4};
  thread_pool pool{2};
  pool.shutdown();
  pool.shutdown();
  EXPECT_THROW((void)pool.submit([] {}), tutti::closed);
  EXPECT_THROW(pool.post([] {}), tutti::closed);
  EXPECT_THROW(pool.with({.priority = 1}).post([] {}), tutti::closed);
  EXPECT_EQ(pool.concurrency(), 2);
}

TEST(rules_shutdown, others_get_closed_after_a_cancel_too) {
  thread_pool pool{2};
  pool.shutdown(tutti::cancel);
  EXPECT_THROW((void)pool.submit([] {}), tutti::closed);
  EXPECT_THROW(pool.post([] {}), tutti::closed);
  EXPECT_THROW(pool.with({.priority = 1}).post([] {}), tutti::closed);
  pool.shutdown();
}

TEST(rules_shutdown, by_destruction_finishes_what_is_queued) {
  std::vector<future<int>> futures;
  {
    thread_pool pool{2};
    for (int i = 0; i < 1000; ++i) futures.push_back(pool.submit([i] { return i; }));
  }
  for (int i = 0; i < 1000; ++i) {
    auto& f = futures[static_cast<std::size_t>(i)];
    EXPECT_TRUE(f.done());
    EXPECT_EQ(f.get(), i);
  }
}

TEST(rules_shutdown, finish_waits_for_what_runs) {
  std::latch started(1), gate(1);
  std::atomic<bool> ended{false};
  auto pool = std::make_unique<thread_pool>(1);
  auto f = pool->submit([&] {
    started.count_down();
    gate.wait();
    ended = true;
  });
  started.wait();
  std::jthread opener([&] { gate.count_down(); });
  pool.reset();
  EXPECT_TRUE(ended);
  f.get();
}

TEST(rules_shutdown, finish_waits_for_what_waits) {
  promise<int> p;
  const auto shared = p.get_future().share();
  std::latch waiting(6);
  std::vector<future<int>> futures;
  auto pool = std::make_unique<thread_pool>(2);
  for (int i = 0; i < 6; ++i) {
    futures.push_back(pool->submit([&waiting, shared] {
      waiting.count_down();
      return shared.get();
    }));
  }
  waiting.wait();
  std::jthread setter([&] {
    wait_until_closed(*pool);
    p.set_value(4);
  });
  pool->shutdown();
  setter.join();
  for (auto& f : futures) EXPECT_EQ(f.get(), 4);
}

TEST(rules_shutdown, during_finish_own_tasks_may_submit_and_others_may_not) {
  std::latch gate(1);
  std::atomic<int> ran{0};
  thread_pool pool{2};
  auto f = pool.submit([&] {
    gate.wait();
    auto inner = pool.submit([&] {  // from inside
      auto innermost = pool.submit([&] { return ++ran, 1; });
      return innermost.get() + 1;
    });
    pool.post([&] { pool.post([&] { pool.post([&] { ++ran; }); }); });
    for (const int n : pool.map(std::vector<int>{1, 2}, [](int i) { return i; })) ran += n;
    tutti::fork_join([&] { ++ran; }, [&] { ++ran; });
    return inner.get() + 1;
  });
  std::jthread closer([&] { pool.shutdown(); });
  wait_until_closed(pool);  // from outside
  gate.count_down();
  EXPECT_EQ(f.get(), 3);
  closer.join();
  EXPECT_EQ(ran, 7);
}

TEST(rules_shutdown, a_relay_within_finish_runs_to_its_end) {
  struct relay {
    thread_pool& pool;
    std::atomic<int>& ran;
    int left;
    void operator()() const {
      ++ran;
      if (left > 0) pool.post(relay{pool, ran, left - 1});
    }
  };
  std::atomic<int> ran{0};
  {
    thread_pool pool{2};
    for (int i = 0; i < 4; ++i) pool.post(relay{pool, ran, 9'999});
  }
  EXPECT_EQ(ran, 40'000);
}

TEST(rules_shutdown, continuations_are_part_of_what_is_finished) {
  future<int> f;
  {
    thread_pool pool{2};
    f = pool.submit([] { return 1; }).then([](int n) { return n + 1; }).then([](int n) { return n + 1; });
  }
  // The links may have met a closed pool; they must not be left pending.
  try {
    EXPECT_EQ(f.get(), 3);
  } catch (const tutti::closed&) {
  }
}

TEST(rules_shutdown, cancel_completes_the_unstarted_and_asks_the_rest) {
  std::latch started(1);
  thread_pool pool{1};
  bool ran = false;
  auto running = pool.submit([&] {
    started.count_down();
    until_stopped();
    return 1;
  });
  started.wait();
  std::vector<future<void>> queued;
  for (int i = 0; i < 100; ++i) {
    queued.push_back(pool.with({.priority = i % 3 - 1}).submit([&] { ran = true; }));
  }
  pool.post([&] { ran = true; });
  pool.shutdown(tutti::cancel);
  EXPECT_EQ(running.get(), 1);
  for (auto& f : queued) {
    EXPECT_TRUE(f.done());
    EXPECT_THROW(f.get(), tutti::cancelled);
  }
  EXPECT_FALSE(ran);
}

TEST(rules_shutdown, cancel_reaches_what_tasks_have_submitted) {
  std::latch submitted(1);
  thread_pool pool{1};
  future<int> inner;
  auto outer = pool.submit([&] {
    inner = pool.submit([] { return 1; });  // on the worker's own queue
    submitted.count_down();
    until_stopped();
  });
  submitted.wait();
  pool.shutdown(tutti::cancel);
  outer.get();
  EXPECT_TRUE(inner.done());
  EXPECT_THROW(inner.get(), tutti::cancelled);
}

TEST(rules_shutdown, submitting_during_cancel_leaves_nothing_pending) {
  for (int round = 0; round < 50; ++round) {
    std::latch started(1);
    thread_pool pool{2};
    std::vector<future<int>> inner;
    auto outer = pool.submit([&] {
      started.count_down();
      until_stopped();
      for (int i = 0; i < 10; ++i) {
        try {
          inner.push_back(pool.submit([] { return 1; }));
        } catch (const tutti::closed&) {
        }
      }
    });
    started.wait();
    pool.shutdown(tutti::cancel);
    outer.get();
    for (auto& f : inner) {
      EXPECT_TRUE(f.done());
      try {
        EXPECT_EQ(f.get(), 1);
      } catch (const tutti::cancelled&) {
      } catch (const tutti::closed&) {
      }
    }
  }
}

TEST(rules_shutdown, cancel_while_tasks_wait_for_each_other) {
  for (int round = 0; round < 30; ++round) {
    std::vector<future<int>> outer;
    {
      std::latch some_run(2);
      thread_pool pool{2};
      for (int i = 0; i < 20; ++i) {
        outer.push_back(pool.submit([&, i] {
          if (i < 2) some_run.count_down();
          std::vector<future<int>> inner;
          for (int k = 0; k < 20; ++k) inner.push_back(pool.submit([k] { return k; }));
          int sum = 0;
          for (auto& f : inner) sum += f.get();
          return sum;
        }));
      }
      some_run.wait();
      pool.shutdown(tutti::cancel);
    }
    for (auto& f : outer) {
      EXPECT_TRUE(f.done());
      try {
        EXPECT_EQ(f.get(), 190);
      } catch (const tutti::cancelled&) {
      } catch (const tutti::closed&) {
      }
    }
  }
}

TEST(rules_shutdown, cancel_overtakes_finish) {
  std::latch started(1);
  thread_pool pool{1};
  auto running = pool.submit([&] {
    started.count_down();
    until_stopped();
  });
  started.wait();
  auto queued = pool.submit([] {});
  std::jthread finisher([&] { pool.shutdown(); });
  wait_until_closed(pool);
  pool.shutdown(tutti::cancel);
  finisher.join();
  running.get();
  EXPECT_THROW(queued.get(), tutti::cancelled);
}

TEST(rules_shutdown, from_several_threads_at_once) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ran{0};
    thread_pool pool{2};
    for (int i = 0; i < 100; ++i) pool.post([&] { ++ran; });
    std::vector<std::jthread> closers;
    for (int i = 0; i < 4; ++i) {
      closers.emplace_back([&] {
        pool.shutdown();
        EXPECT_EQ(ran, 100);  // whoever returns finds all complete
      });
    }
  }
}

TEST(rules_shutdown, races_with_submits_from_outside) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> accepted{0}, ran{0};
    std::latch begun(3);
    thread_pool pool{2};
    std::vector<std::jthread> submitters;
    for (int i = 0; i < 3; ++i) {
      submitters.emplace_back([&] {
        begun.count_down();
        try {
          for (;;) {
            auto f = pool.submit([&] { ++ran; });
            ++accepted;
            if (accepted % 3 == 0) f.get();
          }
        } catch (const tutti::closed&) {
        }
      });
    }
    begun.wait();
    pool.shutdown();
    submitters.clear();
    EXPECT_EQ(ran, accepted);
  }
}

TEST(rules_shutdown, futures_outlive_the_pool) {
  future<int> f, failed;
  tutti::shared_future<int> shared;
  {
    thread_pool pool{1};
    f = pool.submit([] { return 1; });
    failed = pool.submit([]() -> int { throw std::domain_error("later"); });
    shared = pool.submit([] { return 3; }).share();
  }
  EXPECT_FALSE(f.cancel());
  EXPECT_EQ(f.get(), 1);
  EXPECT_THROW(failed.get(), std::domain_error);
  EXPECT_EQ(shared.get(), 3);
}

TEST(rules_shutdown, a_continuation_of_a_dead_pools_future_is_not_left_pending) {
  future<int> f;
  {
    thread_pool pool{1};
    f = pool.submit([] { return 1; });
  }
  auto after = f.then([](int n) { return n + 1; });
  try {
    EXPECT_EQ(after.get(), 2);
  } catch (const tutti::closed&) {
  }
}

TEST(rules_shutdown, of_an_inline_executor) {
  tutti::inline_executor here;
  int inner = 0;
  here.submit([&] { here.post([&] { ++inner; }); }).get();
  EXPECT_EQ(inner, 1);
  here.shutdown();
  here.shutdown(tutti::cancel);
  EXPECT_THROW((void)here.submit([] {}), tutti::closed);
  EXPECT_THROW(here.post([] {}), tutti::closed);
}

TEST(rules_shutdown, pools_within_pools) {
  thread_pool outer{2};
  std::vector<future<int>> futures;
  for (int i = 0; i < 20; ++i) {
    futures.push_back(outer.submit([] {
      thread_pool inner{2};
      return inner.submit([&] { return inner.submit([] { return 1; }).get(); }).get();
    }));
  }
  int sum = 0;
  for (auto& f : futures) sum += f.get();
  EXPECT_EQ(sum, 20);
}

TEST(rules_shutdown, destroyed_by_a_worker_of_another_pool) {
  thread_pool other{1};
  auto doomed = std::make_unique<thread_pool>(1);
  auto f = doomed->submit([] { return 1; });
  auto end = other.submit([&] { doomed.reset(); });
  end.get();
  EXPECT_EQ(f.get(), 1);
}

}  // namespace
