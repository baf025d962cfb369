// The code of docs/channel.md.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <tutti/core/core.hpp>
#include <tutti/task/task.hpp>
#include <vector>

namespace docs_channel {

using namespace std::chrono_literals;

class docs_channel : public testing::Test {
  tutti_test::watchdog dog_;
};

TEST_F(docs_channel, first) {
  auto [out, in] = tutti::make_channel<std::string>(64);  // room for 64

  std::jthread producer([words = std::move(out)]() mutable {
    for (const char* word : {"to", "be", "or", "not"}) words.send(word);  // waits while it is full
  });                                                                     // the writer ends here, and so the channel

  std::size_t letters = 0;
  for (const std::string& word : in) letters += word.size();  // until it is closed and empty
  EXPECT_EQ(letters, 9U);
}

// ---------------------------------------------------------------- sharing

TEST_F(docs_channel, sharing) {
  auto work = [](int x) { return x * x; };
  auto [jobs, todo] = tutti::make_channel<int>(16);
  auto [done, results] = tutti::make_channel<int>(16);
  std::vector<std::jthread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&work, in = todo.share(), out = done.share()]() mutable {
      for (int job : in) out.send(work(job));
    });
  }
  todo.close();  // the workers have their own
  done.close();
  std::jthread feeder([out = std::move(jobs)]() mutable {
    for (int i = 1; i <= 100; ++i) out.send(i);
  });
  int sum = 0;
  for (int result : results) sum += result;  // ends with the last worker
  EXPECT_EQ(sum, 338'350);
}

TEST_F(docs_channel, one_object) {
  tutti::channel<int> numbers(8, "numbers");  // any number on both sides; must outlive them
  std::jthread sender([&] {
    for (int i = 0; i < 100; ++i) numbers.send(i);
    numbers.close();
  });
  int n = 0;
  while (std::optional<int> x = numbers.next()) ++n;
  EXPECT_EQ(n, 100);
}

// ---------------------------------------------------------------- coroutines

tutti::task<> count(tutti::writer<int> out, int n) {
  for (int i = 0; i < n; ++i) co_await out.send_async(i);
}

tutti::task<int> sum_of(tutti::reader<int> in) {
  int sum = 0;
  while (std::optional<int> x = co_await in.next_async()) sum += *x;
  co_return sum;
}

TEST_F(docs_channel, coroutines) {
  tutti::thread_pool pool;
  auto [out, in] = tutti::make_channel<int>(8);
  auto counted = pool.submit(count(std::move(out), 100));
  auto sum = pool.submit(sum_of(std::move(in)));
  EXPECT_EQ(sum.get(), 4950);
  counted.get();
}

// ---------------------------------------------------------------- select

TEST_F(docs_channel, select) {
  tutti::channel<int> numbers(4), output(1);
  tutti::channel<std::string> words(4);
  bool paused = false;
  std::string seen;
  words.send("hello");

  std::size_t taken =
      tutti::select(tutti::on(numbers, [&](int x) { seen = std::to_string(x); }).when(!paused),  // receives
                    tutti::on(words, [&](std::string word) { seen = word; }),
                    tutti::after(1s, [&] { seen = "nothing for a second"; }));  // or otherwise([] {...}): do not wait

  EXPECT_EQ(taken, 1U);
  EXPECT_EQ(seen, "hello");

  tutti::select(tutti::on(numbers, [&](int x) { seen = std::to_string(x); }),
                tutti::on_send(output, 42, [&] { seen = "sent"; }));  // sends, if there is room first

  EXPECT_EQ(seen, "sent");
}

tutti::task<int> until_told(tutti::channel<int>& numbers, tutti::channel<bool>& stop) {
  int sum = 0;
  bool stopped = false;
  while (!stopped) {
    co_await tutti::select_priority_async(tutti::on(stop, [&](bool) { stopped = true; }),  // looked at first
                                          tutti::on(numbers, [&](int x) { sum += x; }));
  }
  co_return sum;
}

TEST_F(docs_channel, select_async) {
  tutti::thread_pool pool;
  tutti::channel<int> numbers(0);
  tutti::channel<bool> stop(1);
  auto sum = pool.submit(until_told(numbers, stop));
  numbers.send(1);
  numbers.send(2);
  stop.send(true);
  EXPECT_EQ(sum.get(), 3);
}

TEST_F(docs_channel, two_ends_of_input) {
  tutti::channel<int> a(4), b(4);
  a.send(1);
  a.close();
  b.close();
  int sum = 0;
  bool a_open = true, b_open = true;
  while (a_open || b_open) {
    tutti::select(tutti::on(a, [&](std::optional<int> x) { x ? void(sum += *x) : void(a_open = false); }).when(a_open),
                  tutti::on(b, [&](std::optional<int> x) { x ? void(sum += *x) : void(b_open = false); }).when(b_open));
  }
  EXPECT_EQ(sum, 1);
}

// ---------------------------------------------------------------- orders, join, poison

struct job {
  int urgency = 0;
  std::string name;
};

TEST_F(docs_channel, orders) {
  tutti::channel<job> jobs(100, tutti::by_priority(&job::urgency));  // the largest first, else first in, first out
  tutti::channel<int> stack(100, tutti::lifo);
  jobs.send({1, "sweep"});
  jobs.send({9, "put out the fire"});
  EXPECT_EQ(jobs.receive().name, "put out the fire");
  stack.send(1);
  stack.send(2);
  EXPECT_EQ(stack.receive(), 2);
}

TEST_F(docs_channel, join) {
  std::atomic<int> worked{0};
  auto work = [&](int) { ++worked; };
  tutti::channel<int> jobs(16);
  std::jthread worker([&] {
    for (int job : jobs) {
      work(job);
      jobs.task_done();
    }
  });
  for (int i = 0; i < 100; ++i) jobs.send(i);
  jobs.join();  // all 100 are done, not only received
  EXPECT_EQ(worked, 100);
  jobs.close();
}

TEST_F(docs_channel, poison) {
  tutti::channel<int> numbers(8);
  numbers.send(1);
  numbers.poison();
  EXPECT_THROW(numbers.receive(), tutti::poisoned);
  EXPECT_THROW(numbers.send(2), tutti::closed);  // poisoned is a closed
}

// ---------------------------------------------------------------- broadcast

TEST_F(docs_channel, broadcasting) {
  tutti::broadcast<double> prices(16, tutti::slow_reader::drop_oldest);
  tutti::subscription<double> screen = prices.subscribe();
  tutti::subscription<double> file = prices.subscribe();
  prices.send(9.99);
  EXPECT_EQ(screen.receive(), 9.99);
  EXPECT_EQ(file.receive(), 9.99);
  EXPECT_EQ(file.lost(), 0U);
}

}  // namespace docs_channel
