#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <tutti/core/concurrency.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace thread_pool_test {

std::size_t letters(const std::string& text) { return text.size(); }
std::unique_ptr<int> twice(std::unique_ptr<int> n) { return std::make_unique<int>(2 * *n); }
std::string name_of_this_task(int) { return std::string(tutti::this_task::name()); }

}  // namespace thread_pool_test

namespace {

using namespace thread_pool_test;
using tutti::thread_pool;

TEST(thread_pool, has_the_size_it_was_given) {
  for (const int n : {1, 2, 7}) {
    const thread_pool pool{n};
    EXPECT_EQ(pool.concurrency(), n);
  }
  const thread_pool sized_by_machine;
  EXPECT_EQ(sized_by_machine.concurrency(), tutti::default_concurrency());
  const thread_pool zero{0};
  EXPECT_EQ(zero.concurrency(), tutti::default_concurrency());
}

TEST(thread_pool, rejects_sizes_that_make_no_sense) {
  EXPECT_THROW(thread_pool{-1}, std::invalid_argument);
  EXPECT_THROW(thread_pool{4097}, std::invalid_argument);
  EXPECT_THROW(thread_pool{std::numeric_limits<int>::max()}, std::invalid_argument);
  EXPECT_THROW(thread_pool{std::numeric_limits<int>::min()}, std::invalid_argument);
  try {
    const thread_pool pool{-3};
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("-3"), std::string::npos) << e.what();
  }
}

TEST(thread_pool, runs_callables_of_all_kinds) {
  thread_pool pool{2};
  EXPECT_EQ(pool.submit([] { return 6 * 7; }).get(), 42);
  bool ran = false;
  pool.submit([&] { ran = true; }).get();
  EXPECT_TRUE(ran);
  auto owned = std::make_unique<int>(5);
  EXPECT_EQ(*pool.submit([n = std::move(owned)]() mutable { return std::move(n); }).get(), 5);
  // A result that is a reference arrives as a value.
  int number = 9;
  auto copied = pool.submit([&]() -> int& { return number; });
  static_assert(std::is_same_v<decltype(copied), tutti::future<int>>);
  EXPECT_EQ(copied.get(), 9);
  // By name, with conversions and with types that no other process could be sent.
  EXPECT_EQ(pool.submit<letters>("four").get(), 4U);
  EXPECT_EQ(*pool.submit<twice>(std::make_unique<int>(21)).get(), 42);
  EXPECT_EQ(tutti::submit(pool, tutti::fn<letters>, "three").get(), 5U);
}

TEST(thread_pool, copies_the_callable_and_destroys_it) {
  auto counted = std::make_shared<int>(1);
  {
    thread_pool pool{1};
    const auto g = [counted] { return *counted; };
    auto f = pool.submit(g);
    EXPECT_EQ(f.get(), 1);
    pool.post(g);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

TEST(thread_pool, posts_run_before_the_pool_is_gone) {
  std::atomic<int> ran{0};
  {
    thread_pool pool{3};
    for (int i = 0; i < 1000; ++i) pool.post([&] { ran.fetch_add(1, std::memory_order_relaxed); });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(thread_pool, bulk_owns_a_range_that_is_handed_over) {
  std::latch gate(1);
  thread_pool pool{1};
  pool.post([&] { gate.wait(); });
  std::vector<std::string> lvalue;
  for (int i = 0; i < 100; ++i) lvalue.push_back(std::string(50, static_cast<char>('a' + i % 26)));
  auto from_rvalue = pool.submit_bulk(std::vector<std::string>(lvalue), [](const std::string& s) { return s; });
  auto from_lvalue = pool.submit_bulk(lvalue, [](const std::string& s) { return &s; });
  auto empty = pool.submit_bulk(std::vector<int>(), [](int i) { return i; });
  auto nothing = pool.submit_bulk(lvalue, [](std::string& s) { s += '!'; });
  static_assert(std::is_same_v<decltype(nothing), tutti::future<void>>);
  gate.count_down();
  nothing.get();
  EXPECT_TRUE(empty.get().empty());
  const auto copies = from_rvalue.get();
  const auto addresses = from_lvalue.get();
  for (std::size_t i = 0; i < lvalue.size(); ++i) {
    EXPECT_EQ(copies.at(i) + "!", lvalue[i]);
    EXPECT_EQ(addresses.at(i), &lvalue[i]);
  }
}

TEST(thread_pool, really_runs_as_many_at_once) {
  constexpr int n = 5;
  thread_pool pool{n};
  std::latch all(n);  // passes only when all n run at the same time
  std::set<std::thread::id> threads;
  std::mutex mutex;
  std::vector<tutti::future<void>> futures;
  for (int i = 0; i < n; ++i) {
    futures.push_back(pool.submit([&] {
      all.arrive_and_wait();
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    }));
  }
  for (auto& f : futures) f.get();
  EXPECT_EQ(threads.size(), static_cast<std::size_t>(n));
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST(thread_pool, names_its_tasks_and_threads) {
  thread_pool pool{{.threads = 1, .name = "kitchen-of-the-house"}};
  EXPECT_EQ(pool.name(), "kitchen-of-the-house");
  const auto task_name = [] { return std::string(tutti::this_task::name()); };
  EXPECT_EQ(pool.with({.name = "soup"}).submit(task_name).get(), "soup");
  EXPECT_EQ(pool.submit(task_name).get(), "");
  const std::string thread_name = pool.submit([] {
                                        char name[32] = {};
                                        pthread_getname_np(pthread_self(), name, sizeof name);
                                        return std::string(name);
                                      })
                                      .get();
  EXPECT_EQ(thread_name.substr(0, 10), "kitchen-of");
  EXPECT_EQ(tutti::this_task::name(), "");
}

TEST(thread_pool, names_tasks_after_their_function) {
  thread_pool pool{1};
  EXPECT_EQ(pool.submit<name_of_this_task>(1).get(), "thread_pool_test::name_of_this_task");
  EXPECT_EQ((pool.submit<tutti::named<"calc.x", name_of_this_task>>(1).get()), "calc.x");
  EXPECT_EQ(pool.submit_bulk<name_of_this_task>(std::vector{1}).get()[0], "thread_pool_test::name_of_this_task");
  for (const std::string& name : pool.map<name_of_this_task>(std::vector{1}))
    EXPECT_EQ(name, "thread_pool_test::name_of_this_task");
}

TEST(thread_pool, an_option_text_may_be_gone_after_submit) {
  std::latch gate(1);
  thread_pool pool{1};
  pool.post([&] { gate.wait(); });
  tutti::future<std::string> f;
  {
    std::string name(100, 'n');
    f = pool.with({.name = name}).submit([] { return std::string(tutti::this_task::name()); });
    name.assign(100, 'x');
  }
  gate.count_down();
  EXPECT_EQ(f.get(), std::string(100, 'n'));
}

TEST(thread_pool, counts_what_it_does) {
  std::latch running(2), gate(1);
  thread_pool pool{2};
  std::vector<tutti::future<void>> futures;
  for (int i = 0; i < 2; ++i) {
    futures.push_back(pool.submit([&] {
      running.count_down();
      gate.wait();
    }));
  }
  running.wait();
  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit([] {}));
  auto stats = pool.stats();
  EXPECT_EQ(stats.submitted, 12U);
  EXPECT_EQ(stats.run, 2U);
  EXPECT_EQ(stats.queue_depth, 10U);
  gate.count_down();
  for (auto& f : futures) f.get();
  pool.shutdown();
  stats = pool.stats();
  EXPECT_EQ(stats.submitted, 12U);
  EXPECT_EQ(stats.run, 12U);
  EXPECT_EQ(stats.queue_depth, 0U);
  EXPECT_EQ(stats.spare_threads, 0U);
  EXPECT_GT(stats.busy.count(), 0);
}

TEST(thread_pool, handles_share_one_set_of_threads) {
  auto first = std::make_unique<thread_pool>(2);
  const std::unique_ptr<tutti::executor> second = first->share();
  EXPECT_EQ(second->concurrency(), 2);
  EXPECT_EQ(second->submit<letters>("abc").get(), 3U);
  first.reset();  // not the last one: nothing ends
  EXPECT_EQ(second->submit<letters>("abcd").get(), 4U);
  const std::unique_ptr<tutti::executor> third = second->share();
  second->shutdown();
  EXPECT_THROW((void)third->submit<letters>("abc"), tutti::closed);
}

TEST(thread_pool, default_pool_is_one) {
  EXPECT_EQ(&tutti::default_pool(), &tutti::default_pool());
  EXPECT_EQ(tutti::default_pool().concurrency(), tutti::default_concurrency());
  EXPECT_EQ(tutti::default_pool().submit([] { return 3; }).get(), 3);
  const auto same = tutti::make_executor("threads");
  const auto before = tutti::default_pool().stats().submitted;
  EXPECT_EQ(same->submit<letters>("ab").get(), 2U);
  EXPECT_GT(tutti::default_pool().stats().submitted, before);
}

TEST(thread_pool, survives_a_hundred_thousand_tasks_that_submit_tasks) {
  constexpr int n = 100'000;
  std::atomic<int> ran{0};
  {
    thread_pool pool{3};
    for (int i = 0; i < n; ++i) {
      pool.post([&] { pool.post([&] { ran.fetch_add(1, std::memory_order_relaxed); }); });
    }
  }
  EXPECT_EQ(ran, n);
}

struct relay {  // each runner submits the next
  thread_pool& pool;
  std::latch& end;
  int left;
  void operator()() const {
    if (left == 0) return end.count_down();
    pool.post(relay{pool, end, left - 1});
  }
};

TEST(thread_pool, survives_a_relay_of_a_hundred_thousand) {
  std::latch end(1);
  thread_pool pool{2};
  pool.post(relay{pool, end, 100'000});
  end.wait();
}

TEST(thread_pool, takes_more_than_any_queue_from_one_task) {
  std::atomic<int> ran{0};
  thread_pool pool{1};
  auto total = pool.submit([&] {
    std::vector<tutti::future<int>> futures;
    for (int i = 0; i < 50'000; ++i) futures.push_back(pool.submit([&] { return ran.fetch_add(1) >= 0 ? 1 : 0; }));
    int sum = 0;
    for (auto& f : futures) sum += f.get();
    return sum;
  });
  EXPECT_EQ(total.get(), 50'000);
  EXPECT_EQ(pool.stats().spare_threads, 0U);  // what had not begun was run by the one who waited
}

TEST(thread_pool, inside_tasks_are_shared_out) {
  thread_pool pool{2};
  std::latch both(2);  // the submitter never waits for the pool, so somebody else must come for the second
  pool.submit([&] {
        pool.post([&] { both.count_down(); });
        both.arrive_and_wait();
      })
      .get();
}

TEST(thread_pool_death, destroying_a_pool_from_its_own_worker_is_named) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto* pool = new thread_pool({.threads = 1, .name = "ouroboros"});
        pool->submit([&] { delete pool; }).wait();
      },
      "ouroboros");
}

TEST(thread_pool_death, also_when_the_last_handle_is_a_shared_one) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto pool = std::make_unique<thread_pool>(tutti::thread_pool_options{.threads = 2, .name = "hydra"});
        std::latch gate(1);
        std::unique_ptr<tutti::executor> handle = pool->share();
        auto f = pool->submit([&] {
          gate.wait();
          handle.reset();
        });
        pool.reset();
        gate.count_down();
        f.wait();
      },
      "hydra");
}

}  // namespace
