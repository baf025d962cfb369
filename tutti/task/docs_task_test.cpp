// docs_task_test: what docs/task.md and README.md show of coroutines, compiled and run.
#include <gtest/gtest.h>

#include <atomic>
#include <exception>
#include <future>
#include <memory>
#include <ranges>
#include <set>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/core.hpp>
#include <tutti/core/stall_watch.hpp>
#include <tutti/task/task.hpp>
#include <utility>
#include <variant>
#include <vector>

namespace docs_task {

using namespace std::chrono_literals;

// Most of them run by a clock that moves on when nothing is left to do.
class docs_task : public testing::Test {
 protected:
  std::chrono::nanoseconds elapsed() const { return tutti::now() - start_; }

 private:
  tutti::virtual_clock clock_{tutti::virtual_clock::when_idle};
  std::chrono::steady_clock::time_point start_ = tutti::now();
};

// ---------------------------------------------------------------- first

tutti::task<int> price(std::string item) {  // asks a shop, which takes a second
  co_await tutti::sleep_for(1s);            // waits, and holds no thread meanwhile
  co_return static_cast<int>(item.size());
}

tutti::task<int> total() {
  auto [bread, milk] = co_await tutti::when_all(price("bread"), price("milk"));  // both at once
  co_return bread + milk;
}

TEST_F(docs_task, first) {
  int sum = tutti::sync_wait(total());  // after one second, not two

  EXPECT_EQ(sum, 9);
  EXPECT_EQ(elapsed(), 1s);
}

TEST_F(docs_task, on_a_pool) {
  tutti::thread_pool pool;
  tutti::future<int> sum = pool.submit(total());  // on the pool's threads, beside this one

  EXPECT_EQ(tutti::sync_wait(std::move(sum)), 9);
}

tutti::task<int> bread_and_milk() {
  tutti::future<int> bread = tutti::spawn(price("bread"));  // a task of its own: runs beside this one
  int milk = co_await price("milk");                        // a part of this one, as a called function is
  co_return milk + co_await std::move(bread);
}

TEST_F(docs_task, beside_and_inside) {
  EXPECT_EQ(tutti::sync_wait(bread_and_milk()), 9);
  EXPECT_EQ(elapsed(), 1s);
}

TEST_F(docs_task, lazy) {
  bool ran = false;
  auto work = [&]() -> tutti::task<> {
    ran = true;
    co_return;
  };
  {
    tutti::task<> never = work();
  }
  EXPECT_FALSE(ran);

  tutti::task<> once = work();
  tutti::sync_wait(std::move(once));
  EXPECT_TRUE(ran);
  EXPECT_FALSE(once.valid());
  EXPECT_THROW(tutti::sync_wait(std::move(once)), std::logic_error);
}

// What was spawned and not awaited is finished by sync_wait, not stopped.
TEST_F(docs_task, sync_wait_waits_for_the_rest) {
  bool done = false;
  auto child = [&]() -> tutti::task<> {
    co_await tutti::sleep_for(5s);
    done = true;
  };
  auto body = [&]() -> tutti::task<> {
    static_cast<void>(tutti::spawn(child()));
    co_return;
  };
  tutti::sync_wait(body());
  EXPECT_TRUE(done);
}

// ---------------------------------------------------------------- several

tutti::task<> show(std::string item, std::vector<std::string>& shown) {
  int cost = co_await price(item);
  shown.push_back(item + " " + std::to_string(cost));  // in the order in which the answers come
}

TEST_F(docs_task, as_they_come) {
  std::vector<std::string> shown;
  tutti::sync_wait(tutti::when_all(show("bread", shown), show("milk", shown)));
  EXPECT_EQ(shown, (std::vector<std::string>{"bread 5", "milk 4"}));
}

tutti::task<int> refused() {
  throw std::runtime_error("sold out");
  co_return 0;
}

TEST_F(docs_task, settled) {
  std::string text;
  auto body = [&]() -> tutti::task<> {
    std::vector<tutti::task<int>> asked;
    asked.push_back(price("bread"));
    asked.push_back(refused());
    for (tutti::outcome<int>& one : co_await tutti::when_all_settled(std::move(asked))) {
      try {
        text += std::to_string(one.value()) + ";";
      } catch (const std::exception& error) {
        text += std::string(error.what()) + ";";
      }
    }
  };
  tutti::sync_wait(body());
  EXPECT_EQ(text, "5;sold out;");
}

tutti::task<int> until_read(tutti::future<int> result) { co_return co_await std::move(result); }

TEST_F(docs_task, tasks_beside_futures) {
  auto body = [&]() -> tutti::task<> {
    tutti::future<int> asked = tutti::spawn(price("bread"));
    auto [milk, bread] = co_await tutti::when_all(price("milk"), until_read(std::move(asked)));
    EXPECT_EQ(milk + bread, 9);

    asked = tutti::spawn(price("bread"));
    auto [eggs, more] = co_await tutti::when_all(tutti::spawn(price("eggs")), std::move(asked));
    EXPECT_EQ(eggs + more, 9);
  };
  tutti::sync_wait(body());
  EXPECT_EQ(elapsed(), 2s);
}

TEST_F(docs_task, what_when_any_gives) {
  auto pause = []() -> tutti::task<> { co_await tutti::sleep_for(2s); };
  auto body = [&]() -> tutti::task<> {
    tutti::first_done<std::variant<std::monostate, int>> one = co_await tutti::when_any(pause(), price("bread"));
    EXPECT_EQ(one.index, 1U);
    EXPECT_EQ(std::get<1>(one.value), 5);

    std::vector<tutti::task<int>> asked;
    asked.push_back(price("bread"));
    tutti::first_done<int> other = co_await tutti::when_any(std::move(asked));
    EXPECT_EQ(other.value, 5);
  };
  tutti::sync_wait(body());
}

tutti::task<> until_done(const tutti::shared_future<int>& result) { co_await result; }

TEST_F(docs_task, first_of_several_that_go_on) {
  auto after = [](std::chrono::seconds delay) -> tutti::task<int> {
    co_await tutti::sleep_for(delay);
    co_return 1;
  };
  auto body = [&]() -> tutti::task<> {
    const tutti::shared_future<int> a = tutti::spawn(after(1s)).share();
    const tutti::shared_future<int> b = tutti::spawn(after(3s)).share();
    co_await tutti::when_any(until_done(a), until_done(b));  // stops the waiting for b, not b

    EXPECT_EQ(elapsed(), 1s);
    EXPECT_FALSE(b.done());
    co_await b;
    EXPECT_EQ(elapsed(), 3s);
  };
  tutti::sync_wait(body());
}

TEST_F(docs_task, group) {
  std::atomic<int> served{0};
  auto serve = [&](int customer) -> tutti::task<> {
    co_await tutti::sleep_for(std::chrono::seconds(customer));
    ++served;
  };
  int customers = 0;
  auto next_customer = [&]() -> tutti::task<int> {
    co_await tutti::sleep_for(1s);
    co_return ++customers;
  };

  auto shop = [&](tutti::task_group& group) -> tutti::task<> {
    while (customers < 3) {
      int customer = co_await next_customer();
      group.spawn(serve(customer), {.name = "customer"});
    }
  };  // who is still being served is waited for
  tutti::sync_wait(tutti::task_group::run(shop));

  EXPECT_EQ(served, 3);
  EXPECT_EQ(elapsed(), 6s);
}

TEST_F(docs_task, a_group_that_fails) {
  bool stopped = false;
  auto patient = [&]() -> tutti::task<> {
    try {
      co_await tutti::sleep_for(1h);
    } catch (const tutti::cancelled&) {
      stopped = true;
      throw;
    }
  };
  auto fails = [](tutti::task_group& group) -> tutti::task<> {
    group.spawn([]() -> tutti::task<> {
      co_await tutti::sleep_for(1s);
      throw std::runtime_error("no connection");
    });
    co_await tutti::sleep_for(1h);
  };
  auto body = [&]() -> tutti::task<> {
    auto with_patient = [&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(patient());
      co_await fails(group);
    };
    co_await tutti::task_group::run(with_patient);
  };
  EXPECT_THROW(tutti::sync_wait(body()), std::runtime_error);
  EXPECT_TRUE(stopped);
  EXPECT_EQ(elapsed(), 1s);
}

TEST_F(docs_task, a_childs_error_is_the_groups_too) {
  bool caught = false, stopped = false;
  auto body = [&](tutti::task_group& group) -> tutti::task<> {
    tutti::future<int> child = group.spawn(refused());
    try {
      static_cast<void>(co_await std::move(child));
    } catch (const std::runtime_error&) {
      caught = true;
    }
    try {
      co_await tutti::sleep_for(1h);
    } catch (const tutti::cancelled&) {
      stopped = true;
      throw;
    }
  };
  EXPECT_THROW(tutti::sync_wait(tutti::task_group::run(body)), std::runtime_error);
  EXPECT_TRUE(caught);
  EXPECT_TRUE(stopped);
  EXPECT_EQ(elapsed(), 0s);
}

TEST_F(docs_task, at_most_three) {
  std::vector<std::string> urls{"a", "b", "c", "d", "e", "f", "g"};
  int now = 0, most = 0;
  auto download = [&](const std::string& url) -> tutti::task<> {
    most = std::max(most, ++now);
    co_await price(url);
    --now;
  };
  tutti::sync_wait(tutti::for_each_async(urls, 3, download));  // the next one begins when one of the three has ended
  EXPECT_EQ(most, 3);
  EXPECT_EQ(elapsed(), 3s);
}

// ---------------------------------------------------------------- stopping

struct session {
  std::string log;
  tutti::task<> open() {
    log += "open ";
    co_await tutti::sleep_for(1s);
  }
  tutti::task<> use() {
    log += "use ";
    co_await tutti::sleep_for(1h);
  }
  tutti::task<> close() {
    co_await tutti::sleep_for(1s);
    log += "close ";
  }
};

tutti::task<> visit(session& at) {
  co_await at.open();
  std::exception_ptr failed;
  try {
    co_await at.use();
  } catch (...) {
    failed = std::current_exception();  // C++ has no co_await in a catch block
  }
  co_await tutti::shield(at.close());  // runs to its end, also when this task is being stopped
  if (failed != nullptr) std::rethrow_exception(failed);
}

TEST_F(docs_task, cleaning_up) {
  session s;
  EXPECT_THROW(tutti::sync_wait(tutti::with_timeout(visit(s), 5s)), tutti::timed_out);
  EXPECT_EQ(s.log, "open use close ");
  EXPECT_EQ(elapsed(), 6s);
}

TEST_F(docs_task, stays_stopped) {
  int told = 0;
  auto stubborn = [&]() -> tutti::task<> {
    for (int i = 0; i < 3; ++i) {
      try {
        co_await tutti::sleep_for(1h);
      } catch (const tutti::cancelled&) {
        ++told;  // each wait from now on throws again
      }
    }
  };
  auto body = [&]() -> tutti::task<> {
    tutti::future<void> work = tutti::spawn(stubborn());
    co_await tutti::sleep_for(1s);
    work.cancel();
    co_await std::move(work);  // it has swallowed them all
  };
  tutti::sync_wait(body());
  EXPECT_EQ(told, 3);
  EXPECT_EQ(elapsed(), 1s);
}

bool is_prime(long n) {
  for (long d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return n > 1;
}

tutti::task<long> count_primes(long below) {
  long count = 0;
  for (long n = 2; n < below; ++n) {
    if (n % 1'000 == 0) co_await tutti::yield_now();  // others get the thread; throws `cancelled` once it is to stop
    if (is_prime(n)) ++count;
  }
  co_return count;
}

TEST_F(docs_task, computing) {
  EXPECT_EQ(tutti::sync_wait(count_primes(10'000)), 1229);

  auto body = [&]() -> tutti::task<> {
    tutti::future<long> never = tutti::spawn(count_primes(1'000'000'000));
    EXPECT_TRUE(never.cancel()) << "had not begun";

    tutti::future<long> counting = tutti::spawn(count_primes(1'000'000'000));
    co_await tutti::yield_now();
    EXPECT_FALSE(counting.cancel()) << "was asked to stop";
    co_await std::move(counting);
  };
  EXPECT_THROW(tutti::sync_wait(body()), tutti::cancelled);
}

TEST_F(docs_task, owned_futures_are_waited_for) {
  tutti::thread_pool pool{1};
  std::atomic<bool> let_go{false};
  std::atomic<bool> begun{false}, asked{false};
  auto slow = [&] {
    begun = true;
    while (!tutti::this_task::stop_requested()) std::this_thread::yield();
    asked = true;
    while (!let_go) std::this_thread::yield();
    return 1;
  };
  auto body = [&]() -> tutti::task<int> {
    auto f = pool.submit(slow);
    co_return co_await std::move(f);
  };
  auto all = [&]() -> tutti::task<> {
    tutti::future<int> waits = tutti::spawn(body());
    while (!begun) co_await tutti::yield_now();
    waits.cancel();
    while (!asked) co_await tutti::yield_now();
    EXPECT_FALSE(waits.done()) << "its function uses what lives in it";
    let_go = true;
    const int n = co_await std::move(waits);
    EXPECT_EQ(n, 1) << "a result that comes all the same is given";
  };
  tutti::sync_wait(all());
}

TEST(docs_task_in_a_test, functions_with_a_limit_of_their_own) {
  tutti::virtual_clock clock;
  std::atomic<bool> let_go{false};
  auto read_file = [&] {
    while (!let_go) std::this_thread::yield();
    return std::string("text");
  };
  tutti::thread_pool pool{1};
  std::string text;
  auto body = [&]() -> tutti::task<> {
    tutti::future<std::string> reading = pool.with({.timeout = 2s}).submit(read_file);  // a function that blocks
    try {
      text = co_await std::move(reading);
    } catch (const tutti::timed_out&) {
      text = "too slow";  // the function runs on; its result is dropped
    }
  };
  tutti::future<void> done = tutti::default_pool().submit(body());
  while (!done.done()) {
    clock.advance(1s);
    std::this_thread::yield();
  }
  done.get();
  EXPECT_EQ(text, "too slow");
  let_go = true;
}

// ---------------------------------------------------------------- time limits, retry

TEST_F(docs_task, time_limits) {
  auto slow = [](std::chrono::seconds s) -> tutti::task<int> {
    co_await tutti::sleep_for(s);
    co_return 7;
  };
  std::string text;
  auto body = [&]() -> tutti::task<> {
    try {
      int answer = co_await tutti::with_timeout(slow(20s), 5s);
      text = std::to_string(answer);
    } catch (const tutti::timed_out& late) {
      text = late.what();  // names the task, and what it waited for; it has ended
    }
  };
  tutti::sync_wait(body());
  EXPECT_NE(text.find("5000 ms; it waited in sleep_for"), std::string::npos) << text;
  EXPECT_EQ(elapsed(), 5s);
}

TEST_F(docs_task, deadline_is_the_task_s_own) {
  bool own = false, awaited = false, child = true;
  auto look = [](bool& seen) -> tutti::task<> {
    seen = tutti::this_task::deadline().has_value();
    co_return;
  };
  auto limited = [&]() -> tutti::task<> {
    own = tutti::this_task::deadline().has_value();
    co_await look(awaited);
    co_await tutti::when_all(look(child));
  };
  tutti::sync_wait(tutti::with_timeout(limited(), 5s));
  EXPECT_TRUE(own);
  EXPECT_TRUE(awaited);
  EXPECT_FALSE(child);
}

struct server_busy : tutti::retryable {
  using retryable::retryable;
};

TEST_F(docs_task, retry) {
  int calls = 0;
  auto ask = [&]() -> tutti::task<int> {
    ++calls;
    if (calls == 1) co_await tutti::sleep_for(1h);
    if (calls < 4) throw server_busy("try again");
    co_return 42;
  };
  auto ask_in_time = [&]() -> tutti::task<int> {
    return tutti::with_timeout(ask(), 2s);  // a limit for each attempt
  };
  constexpr tutti::retry_options patient{.attempts = 5, .first_delay = 100ms, .retry_if = tutti::any_error};
  int answer = tutti::sync_wait(tutti::with_timeout(tutti::retry(ask_in_time, patient), 10s));  // and one for all

  EXPECT_EQ(answer, 42);
  EXPECT_EQ(calls, 4);
  EXPECT_GE(elapsed(), 2s + (100ms + 200ms + 400ms) / 2);
  EXPECT_LE(elapsed(), 2s + 100ms + 200ms + 400ms);
}

// ---------------------------------------------------------------- sequences

tutti::generator<long> fibonacci() {
  for (long a = 0, b = 1;; a = std::exchange(b, a + b)) co_yield a;
}

tutti::async_generator<int> ticks(std::chrono::seconds distance) {
  for (int i = 1;; ++i) {
    co_await tutti::sleep_for(distance);
    co_yield i;
  }
}

tutti::task<int> sum_of_ticks() {
  int sum = 0;
  auto source = ticks(1s);
  while (std::optional<int> tick = co_await source.next()) {
    sum += *tick;
    if (sum > 5) break;  // the generator ends with `source`
  }
  co_return sum;
}

TEST_F(docs_task, sequences) {
  long sum = 0;
  for (long n : fibonacci() | std::views::take_while([](const long& x) { return x < 100; })) sum += n;
  EXPECT_EQ(sum, 232);

  EXPECT_EQ(tutti::sync_wait(sum_of_ticks()), 6);
  EXPECT_EQ(elapsed(), 3s);
}

// ---------------------------------------------------------------- values

const tutti::task_local<std::string> request{"none"};

tutti::task<std::string> which_request() {
  co_await tutti::sleep_for(1s);
  co_return request.get();
}

tutti::task<std::vector<std::string>> two_requests() {
  std::vector<tutti::future<std::string>> asked;
  for (const char* id : {"r-17", "r-18"}) {
    auto bound = request.bind(id);  // until the end of the block, also across awaits
    asked.push_back(tutti::spawn(which_request()));
  }
  std::vector<std::string> seen;
  for (auto& one : asked) seen.push_back(co_await std::move(one));
  co_return seen;
}

TEST_F(docs_task, values_that_follow) {
  EXPECT_EQ(tutti::sync_wait(two_requests()), (std::vector<std::string>{"r-17", "r-18"}));
}

// ---------------------------------------------------------------- where

TEST_F(docs_task, moving) {
  tutti::thread_pool pool;
  std::thread::id shown_on, computed_on;
  auto compute = [&]() -> tutti::task<int> {
    co_await tutti::resume_on(pool);  // this coroutine goes on on the pool
    computed_on = std::this_thread::get_id();
    co_return 42;
  };
  auto show = [&]() -> tutti::task<> {
    int answer = co_await compute();
    shown_on = std::this_thread::get_id();  // who awaits it goes on where it was: on the thread of sync_wait
    EXPECT_EQ(answer, 42);
  };
  tutti::sync_wait(show());
  EXPECT_EQ(shown_on, std::this_thread::get_id());
  EXPECT_NE(computed_on, std::this_thread::get_id());
}

TEST_F(docs_task, a_loop_on_the_main_thread) {
  tutti::thread_pool pool;
  std::vector<int> seen;
  tutti::run_loop loop;
  auto work = [&]() -> tutti::task<> {
    auto square = pool.submit([] { return 6 * 7; });
    int answer = co_await std::move(square);
    loop.post([&, answer] { seen.push_back(answer); });  // from any thread: runs in loop.run()
    loop.shutdown();                                     // run() returns when all is done
  };
  tutti::future<void> done = pool.submit(work());
  loop.run();
  EXPECT_EQ(seen, std::vector{42});
  done.wait();
}

TEST_F(docs_task, from_callbacks) {
  auto request_square = [](int x, std::function<void(int)> done) {
    tutti::call_later(1s, [x, done = std::move(done)] { done(x * x); });
  };
  auto square = [&](int x) {
    auto answer = std::make_shared<tutti::promise<int>>();
    request_square(x, [answer](int value) { answer->set_value(value); });
    return answer->get_future();  // to be awaited
  };
  auto body = [&]() -> tutti::task<int> { co_return co_await square(6); };
  EXPECT_EQ(tutti::sync_wait(body()), 36);
}

// ---------------------------------------------------------------- lifetimes

tutti::task<std::string> greet(std::string name) { co_return "hello " + name; }

TEST_F(docs_task, lifetimes) {
  tutti::thread_pool pool;
  std::string name = "Ada";

  tutti::future<std::string> a = pool.submit(greet(name));  // the string is a parameter, by value
  tutti::future<std::string> b = pool.submit([name]() -> tutti::task<std::string> {
    co_await tutti::yield_now();
    co_return "hello " + name;  // submit keeps the lambda, and so the capture, until the coroutine has ended
  });

  EXPECT_EQ(a.get(), "hello Ada");
  EXPECT_EQ(b.get(), "hello Ada");
}

TEST_F(docs_task, variables_first) {
  tutti::thread_pool pool;
  auto body = [&]() -> tutti::task<std::size_t> {
    std::string text = "some text";
    auto counted = pool.submit([text] { return text.size(); });  // a variable first,
    co_return co_await std::move(counted);                       // then the await
  };
  EXPECT_EQ(tutti::sync_wait(body()), 9U);
}

// ---------------------------------------------------------------- shutdown

TEST_F(docs_task, shutting_down) {
  tutti::thread_pool pool{1};
  auto patient = []() -> tutti::task<> { co_await tutti::sleep_for(1h); };
  tutti::future<void> sleeping = pool.submit(patient());
  pool.submit([] {}).get();

  pool.shutdown(tutti::cancel);  // those that wait are stopped; shutdown() would wait for the hour to pass

  EXPECT_TRUE(sleeping.done());
  EXPECT_THROW(sleeping.get(), tutti::cancelled);
}

TEST(docs_task_by_steady_clock, finish_waits_for_those_that_wait) {
  tutti::thread_pool pool{1};
  auto patient = []() -> tutti::task<int> {
    co_await tutti::sleep_for(1ms);
    co_return 1;
  };
  tutti::future<int> sleeping = pool.submit(patient());
  pool.shutdown();
  EXPECT_TRUE(sleeping.done());
  EXPECT_EQ(sleeping.get(), 1);
}

TEST(docs_task_by_steady_clock, inline_runs_it_to_its_end) {
  tutti::inline_executor here;
  std::thread::id ran_on;
  auto patient = [&]() -> tutti::task<> {
    co_await tutti::sleep_for(1ms);
    ran_on = std::this_thread::get_id();
  };
  tutti::future<void> done = here.submit(patient());
  EXPECT_TRUE(done.done());
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

// ---------------------------------------------------------------- tests, looking inside

TEST(docs_task_in_a_test, time_that_moves_when_idle) {
  tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const auto start = tutti::now();
  int sum = tutti::sync_wait(total());
  EXPECT_EQ(sum, 9);
  EXPECT_EQ(tutti::now() - start, 1s);  // exactly, and in no time
}

tutti::task<> fetch(std::string url) {
  static_cast<void>(url);
  co_await tutti::sleep_for(10s);
}
tutti::task<> front_page() { co_await fetch("http://example.org/"); }

TEST_F(docs_task, looking_inside) {
  tutti::thread_pool pool{{.threads = 2, .name = "web"}};
  tutti::future<void> page = pool.with({.name = "front page"}).submit(front_page());
  pool.submit([] {}).get();
  std::ostringstream out;
  while (out.str().find("\"front page\": waits") == std::string::npos) {
    out.str("");
    tutti::dump(out);
  }
  const std::string text = out.str();
  EXPECT_NE(text.find("task \"front page\": waits in sleep_for for "), std::string::npos) << text;
  EXPECT_NE(text.find("    docs_task::fetch at "), std::string::npos) << text;
  EXPECT_NE(text.find("    docs_task::front_page at "), std::string::npos) << text;
  pool.shutdown(tutti::cancel);
}

TEST(docs_task_by_steady_clock, stalls) {
  std::promise<std::string> reported;
  auto report = [&](const tutti::stall& found) { reported.set_value(found.task + " on " + found.pool); };

  tutti::stall_watch watch{{.limit = 50ms}, report};  // to the log, when no function is given
  tutti::thread_pool pool{{.threads = 1, .name = "web"}};
  tutti::promise<int> answer;
  auto blocks = [&]() -> tutti::task<int> {
    co_return answer.get_future().get();  // blocks the worker: should be co_await answer.get_future()
  };
  tutti::future<int> stalled = pool.with({.name = "blocking"}).submit(blocks());

  EXPECT_EQ(reported.get_future().get(), "blocking on web");
  answer.set_value(1);
  EXPECT_EQ(stalled.get(), 1);
}

}  // namespace docs_task
