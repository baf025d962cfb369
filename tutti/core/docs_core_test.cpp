// docs_core_test: what docs/core.md and docs/ARCHITECTURE.md show, compiled and run.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/core.hpp>
#include <utility>
#include <vector>

namespace docs_core {

using namespace std::chrono_literals;

// ---------------------------------------------------------------- functions that the snippets call

long divisors(long n) {
  long count = 0;
  for (long d = 1; d <= n; ++d) count += n % d == 0 ? 1 : 0;
  return count;
}

double inverse(double x) {
  if (x == 0) throw std::domain_error("0 has no inverse");
  return 1 / x;
}

struct server_busy : tutti::retryable {
  using retryable::retryable;
};

// ---------------------------------------------------------------- what the pages show

TEST(docs_core, first) {
  tutti::thread_pool pool;                            // as many threads as this process may use
  tutti::future<long> n = pool.submit<divisors>(36);  // a function by name: works on every executor
  int a = 1, b = 2;
  tutti::future<int> sum = pool.submit([&] { return a + b; });  // threads share memory, so they take anything callable
  long total = 0;
  for (long d : pool.map<divisors>(std::views::iota(1, 101))) total += d;  // results in input order
  total += n.get() + sum.get();                                            // blocks; throws what the call threw

  EXPECT_EQ(total, 482 + 9 + 3);
}

// Written once, for any place where code runs.
double sum_of_inverses(tutti::executor& where, const std::vector<double>& numbers) {
  double sum = 0;
  for (double x : where.map<inverse>(numbers)) sum += x;
  return sum;
}

TEST(docs_core, anywhere) {
  for (const char* spec : {"inline", "threads", "threads:3"}) {
    auto where = tutti::make_executor(spec);
    EXPECT_DOUBLE_EQ(sum_of_inverses(*where, {1, 2, 4}), 1.75);
  }
}

TEST(docs_core, unknown_executor) {
  try {
    auto pool = tutti::make_executor("thread:4");
    FAIL();
  } catch (const tutti::bad_spec& e) {
    const std::string what = e.what();
    EXPECT_EQ(what.find("unknown executor \"thread:4\"; known: inline, threads[:N], "), 0U) << what;
  }
  EXPECT_THROW(static_cast<void>(tutti::make_executor("threads:0")), tutti::bad_spec);
}

TEST(docs_core, options) {
  tutti::thread_pool pool{1};
  std::atomic<int> tries{0};
  auto ask_the_server = [&] { return ++tries < 3 ? throw server_busy("try again") : 42; };

  tutti::future<int> answer =
      pool.with({.name = "ask", .priority = 1, .timeout = 30s, .retries = 3}).submit(ask_the_server);

  EXPECT_EQ(answer.get(), 42);
  EXPECT_EQ(tries, 3);
}

TEST(docs_core, waiting_inside_a_task) {
  tutti::thread_pool pool{1};  // one thread is enough
  auto outer = pool.submit([&] {
    auto inner = pool.submit([] { return 20; });
    return inner.get() + 1;  // the worker runs the inner task itself
  });
  EXPECT_EQ(outer.get(), 21);
}

TEST(docs_core, continuations) {
  tutti::thread_pool pool;
  tutti::future<std::string> text = pool.submit([] { return 6 * 7; }).then([](int n) { return std::to_string(n); });

  tutti::future<double> safe = pool.submit<inverse>(0).then([](tutti::future<double> f) {
    try {
      return f.get();
    } catch (const std::domain_error&) {
      return 0.0;
    }
  });
  EXPECT_EQ(text.get(), "42");
  EXPECT_EQ(safe.get(), 0.0);
}

TEST(docs_core, several) {
  tutti::thread_pool pool;
  std::vector<tutti::future<long>> futures;
  for (long n : {12, 36, 60}) futures.push_back(pool.submit<divisors>(n));

  std::vector<long> seen;
  for (auto& f : tutti::as_completed(futures)) seen.push_back(f.get());  // whichever is done first

  std::ranges::sort(seen);
  EXPECT_EQ(seen, (std::vector<long>{6, 9, 12}));

  auto name = pool.submit([] { return std::string("seven"); });
  auto [number, word] = tutti::when_all(pool.submit<divisors>(7), std::move(name)).get();

  EXPECT_EQ(number, 2);
  EXPECT_EQ(word, "seven");
}

TEST(docs_core, map_goes_on_after_an_error) {
  tutti::thread_pool pool;
  std::vector<double> numbers{1, 0, 4};
  double sum = 0;
  int bad = 0;
  auto results = pool.map<inverse>(numbers);
  for (auto it = results.begin(); it != results.end(); ++it) {
    try {
      sum += *it;
    } catch (const std::domain_error&) {
      ++bad;  // only this element failed
    }
  }
  EXPECT_EQ(sum, 1.25);
  EXPECT_EQ(bad, 1);
}

TEST(docs_core, map_of_tuples) {
  tutti::thread_pool pool;
  std::map<std::string, double> prices{{"bread", 3.0}, {"milk", 1.5}};
  std::vector<std::string> labels;
  auto label = [](const std::string& what, double price) { return what + (price < 2 ? ": cheap" : ": dear"); };
  for (auto& text : pool.map(prices, label)) labels.push_back(text);  // a pair becomes two arguments

  EXPECT_EQ(labels, (std::vector<std::string>{"bread: dear", "milk: cheap"}));
}

TEST(docs_core, cancelling) {
  tutti::thread_pool pool{1};
  std::atomic<bool> running{false};
  auto search = pool.submit([&] {
    running = true;
    while (!tutti::this_task::stop_requested()) std::this_thread::yield();  // a step of the real work
    throw tutti::cancelled("search given up");
  });
  auto report = pool.submit([] { return 1; });
  while (!running) std::this_thread::yield();

  bool first = report.cancel();   // true: it never begins, get() throws tutti::cancelled
  bool second = search.cancel();  // false: it runs, and is asked to stop

  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
  EXPECT_THROW(search.get(), tutti::cancelled);
  EXPECT_THROW(report.get(), tutti::cancelled);
}

// Forks down to the last call: an idle worker takes the largest piece that is left, a busy machine takes none.
long fib(int n) {
  if (n < 2) return n;
  auto [a, b] = tutti::fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

TEST(docs_core, fork_join) { EXPECT_EQ(fib(20), 6765); }

TEST(docs_core, per_worker) {
  tutti::thread_pool pool;
  std::vector<std::string> words{"one", "two", "one", "three", "two", "one"};
  tutti::per_worker<std::map<std::string, int>> tables;
  pool.submit_bulk(words, [&](const std::string& word) { ++tables.local()[word]; }).get();
  std::map<std::string, int> all;
  tables.for_each([&](const auto& table) {
    for (auto& [word, count] : table) all[word] += count;
  });
  EXPECT_EQ(all["one"], 3);
  EXPECT_EQ(all["two"], 2);
}

const tutti::task_local<std::string> request{"none"};  // with static storage

TEST(docs_core, values_that_follow) {
  tutti::thread_pool pool;
  tutti::future<std::string> seen;
  {
    auto bound = request.bind("r-17");  // until the end of the scope
    seen = pool.submit([] { return request.get(); });
  }
  EXPECT_EQ(seen.get(), "r-17");
  EXPECT_EQ(request.get(), "none");
}

TEST(docs_core, timers_in_a_test) {
  tutti::virtual_clock clock;  // time stands still until the test moves it
  bool rang = false;
  tutti::call_later(10min, [&] { rang = true; });
  clock.advance(9min);
  EXPECT_FALSE(rang);
  clock.advance(1min);
  EXPECT_TRUE(rang);
}

TEST(docs_core, calls_again_and_again) {
  tutti::virtual_clock clock;
  const auto start = tutti::now();
  const auto seconds_since = [](auto time) {
    return std::chrono::duration_cast<std::chrono::seconds>(tutti::now() - time);
  };

  std::vector<std::chrono::seconds> beats;
  tutti::timer heart = tutti::call_every(20s, [&] { beats.push_back(seconds_since(start)); }, {.first = 5s});
  clock.advance(1min);  // stops wherever a timer is due: each call sees its own time
  heart.cancel();
  EXPECT_EQ(beats, (std::vector{5s, 25s, 45s}));
}

TEST(docs_core, promises) {
  tutti::promise<int> reading;
  tutti::future<int> value = reading.get_future();
  std::thread device([p = std::move(reading)]() mutable { p.set_value(21); });  // a thread that is not ours
  EXPECT_EQ(value.get(), 21);
  device.join();
}

TEST(docs_core, shutting_down) {
  tutti::thread_pool pool{2};
  auto last = pool.submit([] { return 1; });
  pool.shutdown();  // finishes everything; shutdown(tutti::cancel) completes what has not begun with `cancelled`
  EXPECT_EQ(last.get(), 1);
  EXPECT_THROW(static_cast<void>(pool.submit([] { return 2; })), tutti::closed);
}

TEST(docs_core, looking_inside) {
  tutti::thread_pool pool{{.threads = 2, .name = "render"}};
  pool.submit([] {}).get();

  tutti::pool_stats stats = pool.stats();
  std::ostringstream out;
  tutti::dump(out);  // every pool, what its workers run, who waits for what and where

  EXPECT_EQ(stats.submitted, 1U);
  EXPECT_NE(out.str().find("pool \"render\": 2 threads"), std::string::npos);
}

TEST(docs_core, free_form) {
  tutti::inline_executor here;
  tutti::future<double> half = submit(here, tutti::fn<inverse>, 2);
  EXPECT_EQ(half.get(), 0.5);
}

}  // namespace docs_core
