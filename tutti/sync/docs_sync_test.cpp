// docs_sync_test: what docs/sync.md and README.md show of synchronisation, compiled and run.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/thread_pool.hpp>
#include <tutti/sync/sync.hpp>
#include <tutti/task/task.hpp>
#include <utility>
#include <vector>

namespace docs_sync {

using namespace std::chrono_literals;

class docs_sync : public testing::Test {
  tutti_test::watchdog dog_;
};

// ---------------------------------------------------------------- first

struct account {
  explicit account(std::string_view name) : lock(name) {}
  tutti::mutex lock;
  long balance = 100;
};

void transfer(account& from, account& to, long amount) {
  tutti::guard both(from.lock, to.lock);  // in one order, whoever calls: cannot deadlock
  from.balance -= amount;
  to.balance += amount;
}

TEST_F(docs_sync, first) {
  account savings("savings"), daily("daily");
  tutti::thread_pool pool(2);
  auto there = pool.submit([&] { transfer(savings, daily, 30); });
  auto back = pool.submit([&] { transfer(daily, savings, 10); });
  there.get();
  back.get();
  EXPECT_EQ(savings.balance, 80);
  EXPECT_EQ(daily.balance, 120);
}

// ---------------------------------------------------------------- forms

TEST_F(docs_sync, forms) {
  tutti::semaphore connections(2, "connections");
  std::stop_source source;
  std::stop_token stop = source.get_token();
  {
    connections.acquire();                                     // blocks the thread
    if (connections.try_acquire()) connections.release();      // never blocks
    if (connections.acquire_for(10ms)) connections.release();  // false when the time is up
    connections.acquire(stop);                                 // throws tutti::cancelled when stop is requested first
    connections.release(2);
  }
  EXPECT_TRUE(connections.try_acquire(2));
}

tutti::task<> visit(tutti::semaphore& connections) {
  co_await connections.acquire_async();  // holds no thread while it waits
  connections.release();
  const bool in_time = co_await connections.acquire_for_async(10ms);
  if (in_time) connections.release();
}

TEST_F(docs_sync, forms_of_coroutines) {
  tutti::semaphore connections(1);
  tutti::sync_wait(visit(connections));
  EXPECT_TRUE(connections.try_acquire());
}

// ---------------------------------------------------------------- locks

tutti::task<> count_word(std::map<std::string, int>& counts, tutti::mutex& lock, std::string word) {
  auto held = co_await lock.lock_async();  // unlocked by the guard's destructor, wherever that runs
  ++counts[word];
}

TEST_F(docs_sync, lock_async) {
  std::map<std::string, int> counts;
  tutti::mutex lock;
  tutti::thread_pool pool(2);
  auto a = pool.submit(count_word(counts, lock, "fork"));
  auto b = pool.submit(count_word(counts, lock, "fork"));
  a.get();
  b.get();
  EXPECT_EQ(counts["fork"], 2);
}

class phone_book {
 public:
  std::string find(const std::string& name) const {
    const std::shared_lock reading(lock_);  // many at once
    const auto found = numbers_.find(name);
    return found == numbers_.end() ? "" : found->second;
  }
  void add(std::string name, std::string number) {
    const std::lock_guard writing(lock_);  // alone
    numbers_[std::move(name)] = std::move(number);
  }

 private:
  mutable tutti::shared_mutex lock_{tutti::shared_policy::fair, "phone book"};
  std::map<std::string, std::string> numbers_;
};

TEST_F(docs_sync, shared_mutex) {
  phone_book book;
  book.add("Ann", "12");
  EXPECT_EQ(book.find("Ann"), "12");
}

TEST_F(docs_sync, not_owner) {
  tutti::mutex m("till");
  EXPECT_THROW(m.unlock(), tutti::not_owner);
  m.lock();
  EXPECT_THROW(m.lock(), tutti::deadlock);
  m.unlock();
}

// ---------------------------------------------------------------- signals

class mailbox {
 public:
  void put(std::string letter) {
    {
      const std::lock_guard held(lock_);
      letters_.push_back(std::move(letter));
    }
    arrived_.notify_one();
  }
  std::string take() {
    std::unique_lock held(lock_);
    arrived_.wait(held, [&] { return !letters_.empty(); });  // there is no wait without a condition
    std::string letter = std::move(letters_.front());
    letters_.pop_front();
    return letter;
  }

 private:
  tutti::mutex lock_;
  tutti::condition arrived_;
  std::deque<std::string> letters_;
};

TEST_F(docs_sync, condition) {
  mailbox box;
  tutti::thread postman("postman", [&] { box.put("hello"); });
  EXPECT_EQ(box.take(), "hello");
  postman.join();
}

TEST_F(docs_sync, event) {
  tutti::event start;
  std::atomic<int> running{0};
  std::vector<tutti::thread> runners;
  for (int i = 0; i < 3; ++i) {
    runners.emplace_back("runner", [&] {
      start.wait();
      ++running;
    });
  }
  start.set();  // all of them, and all who come later
  for (auto& runner : runners) runner.join();
  EXPECT_EQ(running, 3);
}

TEST_F(docs_sync, barrier) {
  int rounds = 0;
  tutti::barrier round(2, [&] { ++rounds; });  // run by the last to arrive, while the others wait
  const auto works = [&] {
    for (int i = 0; i < 10; ++i) round.arrive_and_wait();
  };
  tutti::thread other("other", works);
  works();
  other.join();
  EXPECT_EQ(rounds, 10);
}

TEST_F(docs_sync, latch) {
  tutti::latch loaded(3, "parts to load");
  tutti::thread_pool pool(2);
  for (int part = 0; part < 3; ++part) pool.post([&] { loaded.count_down(); });
  loaded.wait();
  EXPECT_TRUE(loaded.try_wait());
}

tutti::once opened;
int opens = 0;

void log_line(const std::string&) {
  opened.call([] { ++opens; });  // by the first; the others wait until it is done
}

TEST_F(docs_sync, once) {
  log_line("a");
  log_line("b");
  EXPECT_EQ(opens, 1);
}

TEST_F(docs_sync, thread) {
  tutti::thread worker(
      "parser",
      [](std::stop_token stop, int limit) {
        for (int i = 0; i < limit && !stop.stop_requested(); ++i) {
        }
        throw std::runtime_error("line 7 is not a number");
      },
      1000);
  EXPECT_THROW(worker.join(), std::runtime_error);  // the exception arrives here
}

// ---------------------------------------------------------------- watch

TEST_F(docs_sync, watch) {
  tutti::watch watching;  // or TUTTI_WATCH=deadlock in the environment
  tutti::mutex left("left fork"), right("right fork");
  std::barrier both_have_one(2);
  std::atomic<int> refused{0};
  const auto dine = [&](tutti::mutex& first, tutti::mutex& second) {
    const std::lock_guard one(first);
    both_have_one.arrive_and_wait();
    try {
      const std::lock_guard other(second);
    } catch (const tutti::deadlock& report) {
      ++refused;  // report.what() says who waits for what, held by whom
    }
  };
  tutti::thread plato("Plato", dine, std::ref(left), std::ref(right));
  tutti::thread kant("Kant", dine, std::ref(right), std::ref(left));
  plato.join();
  kant.join();
  EXPECT_EQ(refused, 1);
}

}  // namespace docs_sync
