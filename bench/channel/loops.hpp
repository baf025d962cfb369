// loops: the cases for threads, written once for every queue.
#pragma once

#include <atomic>
#include <deque>
#include <stdexcept>
#include <string>

#include "../harness/clock.hpp"
#include "systems.hpp"

namespace bench::channel {

inline void check(bool right, const char* wrong) {
  if (!right) throw std::runtime_error(wrong);
}

inline std::uint64_t sum_below(std::uint64_t count) { return count * (count - 1) / 2; }

/// `Queue(capacity)` has writer() and reader(), called by the threads that use them; what they give has send(number)
/// and receive().
template <class Queue>
double run_stream(const traffic& t, std::size_t count) {
  Queue queue(t.capacity == no_limit ? count : t.capacity);
  std::atomic<std::uint64_t> total = 0;
  std::vector<std::function<void()>> bodies;
  const std::size_t sent_each = count / static_cast<std::size_t>(t.writers);
  for (std::size_t w = 0; w < static_cast<std::size_t>(t.writers); ++w) {
    bodies.emplace_back([&queue, w, sent_each] {
      auto&& to = queue.writer();
      for (std::uint64_t i = w * sent_each, end = i + sent_each; i < end; ++i) to.send(i);
    });
  }
  for (int r = 0; r < t.readers; ++r) {
    bodies.emplace_back([&queue, &total, share = count / static_cast<std::size_t>(t.readers)] {
      auto&& from = queue.reader();
      std::uint64_t mine = 0;
      for (std::size_t i = 0; i < share; ++i) mine += from.receive();
      total += mine;
    });
  }
  const double ns = together(t.where, bodies);
  check(total == sum_below(count), "the sum is wrong");
  return static_cast<double>(count) * 1e3 / ns;
}

/// For queues that all threads use directly.
template <class Queue>
struct shared_by_all : Queue {
  using Queue::Queue;
  Queue& writer() { return *this; }
  Queue& reader() { return *this; }
};

/// `Rendezvous()` has send(number) and receive().
template <class Rendezvous>
double run_commstime(std::size_t count, placement where) {
  Rendezvous to_delta, to_successor, to_prefix, to_consumer;
  std::uint64_t total = 0;
  auto prefix = [&] {
    to_delta.send(0);
    for (std::size_t i = 1; i < count; ++i) to_delta.send(to_prefix.receive());
  };
  auto delta = [&] {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t number = to_delta.receive();
      to_consumer.send(number);
      if (i + 1 < count) to_successor.send(number);
    }
  };
  auto successor = [&] {
    for (std::size_t i = 1; i < count; ++i) to_prefix.send(to_successor.receive() + 1);
  };
  auto consumer = [&] {
    for (std::size_t i = 0; i < count; ++i) total += to_consumer.receive();
  };
  const double ns = together(where, {prefix, delta, successor, consumer});
  check(total == sum_below(count), "the sum is wrong");
  return ns / static_cast<double>(4 * count);
}

/// Calls `made` while `count` queues exist.
template <class Queue, class... Arguments>
void hold_idle(std::size_t count, const std::function<void()>& made, const Arguments&... arguments) {
  std::deque<Queue> all;
  for (std::size_t i = 0; i < count; ++i) all.emplace_back(arguments...);
  keep(&all);
  made();
}

}  // namespace bench::channel
