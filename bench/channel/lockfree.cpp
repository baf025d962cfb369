// Boost.Lockfree: queues that never block, so who finds no room or nothing to take asks again and again. Yardsticks for
// what the hand-over itself costs.
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <thread>

#include "loops.hpp"

namespace bench::channel {

namespace {

template <class Queue>
class spinning {
 public:
  explicit spinning(std::size_t capacity) : queue_(capacity) {}
  void send(std::uint64_t value) {
    while (!queue_.push(value)) std::this_thread::yield();
  }
  std::uint64_t receive() {
    std::uint64_t value;
    while (!queue_.pop(value)) std::this_thread::yield();
    return value;
  }

 private:
  Queue queue_;
};

using any_threads = spinning<boost::lockfree::queue<std::uint64_t, boost::lockfree::fixed_sized<true>>>;
using two_threads = spinning<boost::lockfree::spsc_queue<std::uint64_t>>;

bool bounded(const traffic& t) { return t.by != sides::coroutines && t.capacity > 0 && t.capacity != no_limit; }

}  // namespace

streams of_lockfree() {
  return {{"boost::lockfree::queue (spins)", bounded, run_stream<shared_by_all<any_threads>>},
          {"boost::lockfree::spsc_queue (spins)",
           [](const traffic& t) { return bounded(t) && t.writers == 1 && t.readers == 1; },
           run_stream<shared_by_all<two_threads>>}};
}

}  // namespace bench::channel
