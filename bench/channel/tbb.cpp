// oneTBB: concurrent_bounded_queue, whose threads wait. It has no rendezvous.
#include <tbb/concurrent_queue.h>

#include "loops.hpp"

namespace bench::channel {

namespace {

class bounded_queue {
 public:
  explicit bounded_queue(std::size_t capacity) { queue_.set_capacity(static_cast<std::ptrdiff_t>(capacity)); }
  void send(std::uint64_t value) { queue_.push(value); }
  std::uint64_t receive() {
    std::uint64_t value;
    queue_.pop(value);
    return value;
  }

 private:
  tbb::concurrent_bounded_queue<std::uint64_t> queue_;
};

}  // namespace

streams of_tbb() {
  return {{"oneTBB concurrent_bounded_queue",
           [](const traffic& t) { return t.by != sides::coroutines && t.capacity > 0; },
           run_stream<shared_by_all<bounded_queue>>}};
}

void tbb_idle(std::size_t count, std::size_t capacity, const std::function<void()>& made) {
  hold_idle<bounded_queue>(count, made, capacity);
}

}  // namespace bench::channel
