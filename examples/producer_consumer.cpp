// producer_consumer: one makes items, another uses them up: with a semaphore, a condition, an event and a channel.
// Teaches: a semaphore counts, a condition asks, an event only says "look again", a channel does all of it and can end.
// What an event announces must be looked up by who wakes, all of it: two set() in a row may be one.
#include <tutti/tutti.hpp>

#include <algorithm>
#include <deque>
#include <iostream>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace {

using items = std::vector<int>;
const items made{68, 45, 78, 22, 48};

// Where items lie between the two. The lock keeps it whole; that there is something is said in another way.
class shelf {
 public:
  void put(int item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(item);
  }
  std::optional<int> take() {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) return {};
    const int item = items_.front();
    items_.pop_front();
    return item;
  }

 private:
  tutti::mutex mutex_{"shelf"};
  std::deque<int> items_;
};

// A permit for each item on the shelf: who has one finds one.
items by_semaphore() {
  shelf store;
  tutti::semaphore filled(0, "filled");
  items used;
  tutti::thread producer("producer", [&] {
    for (const int item : made) {
      store.put(item);
      filled.release();
    }
  });
  tutti::thread consumer("consumer", [&] {
    while (used.size() < made.size()) {
      filled.acquire();
      used.push_back(store.take().value());
    }
  });
  producer.join();
  consumer.join();
  return used;
}

// The condition is the predicate: whether it was notified before or after the consumer came makes no difference.
items by_condition() {
  tutti::mutex mutex("store");
  tutti::condition changed("something to use");
  std::deque<int> store;
  items used;
  tutti::thread producer("producer", [&] {
    for (const int item : made) {
      const std::lock_guard lock(mutex);
      store.push_back(item);
      changed.notify_one();
    }
  });
  tutti::thread consumer("consumer", [&] {
    while (used.size() < made.size()) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return !store.empty(); });
      used.push_back(store.front());
      store.pop_front();
    }
  });
  producer.join();
  consumer.join();
  return used;
}

// The book sets the event and clears it at once, and takes one item for each: what was put while the consumer was busy
// lies there for ever. An automatic event stays set until somebody has seen it, and then all there is is taken.
items by_event() {
  shelf store;
  tutti::event news(tutti::event_reset::automatic, "news");
  items used;
  tutti::thread producer("producer", [&] {
    for (const int item : made) {
      store.put(item);
      news.set();
    }
  });
  tutti::thread consumer("consumer", [&] {
    while (used.size() < made.size()) {
      news.wait();
      while (const std::optional<int> item = store.take()) used.push_back(*item);
    }
  });
  producer.join();
  consumer.join();
  return used;
}

// Three consumers, who do not know how many items there will be: close() is how they learn that there are no more. (The
// book's never do: its program does not end.)
items by_channel() {
  tutti::channel<int> belt(2, "belt");
  std::vector<items> used(3);
  std::vector<tutti::thread> consumers;
  consumers.reserve(used.size());
  for (items& mine : used) {
    consumers.emplace_back("consumer", [&belt, &mine] {
      for (const int item : belt) mine.push_back(item);
    });
  }
  for (const int item : made) belt.send(item);
  belt.close();
  items all;
  for (tutti::thread& consumer : consumers) consumer.join();
  for (const items& mine : used) all.insert(all.end(), mine.begin(), mine.end());
  return all;
}

// One consumer gets the items in the order they were made, several share them out.
bool check(std::string_view form, items used, bool ordered) {
  if (!ordered) std::ranges::sort(used);
  items expected = made;
  if (!ordered) std::ranges::sort(expected);
  std::cout << form << ": " << used.size() << " of " << made.size() << ":";
  for (const int item : used) std::cout << ' ' << item;
  std::cout << '\n';
  return used == expected;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  bool right = check("semaphore", by_semaphore(), true);
  right = check("condition", by_condition(), true) && right;
  right = check("event", by_event(), true) && right;
  right = check("channel, three consumers", by_channel(), false) && right;
  return right ? 0 : 1;
}
