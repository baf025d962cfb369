// The queue that one writes with the standard library: a deque, a mutex and two conditions; and its rendezvous.
#include <condition_variable>
#include <mutex>

#include "loops.hpp"

namespace bench::channel {

namespace {

class bounded_queue {
 public:
  explicit bounded_queue(std::size_t capacity) : capacity_(capacity) {}

  // The lock is given up before the other side is woken: otherwise it would wake up only to wait for the lock.
  void send(std::uint64_t value) {
    {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [this] { return queue_.size() < capacity_; });
      queue_.push_back(value);
    }
    filled_.notify_one();
  }

  std::uint64_t receive() {
    std::uint64_t value;
    {
      std::unique_lock lock(mutex_);
      filled_.wait(lock, [this] { return !queue_.empty(); });
      value = queue_.front();
      queue_.pop_front();
    }
    room_.notify_one();
    return value;
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable room_, filled_;
  std::deque<std::uint64_t> queue_;
};

// A sender leaves its number and waits until it was taken.
class rendezvous {
 public:
  explicit rendezvous(std::size_t = 0) {}

  void send(std::uint64_t value) {
    std::unique_lock lock(mutex_);
    free_.wait(lock, [this] { return !full_; });
    value_ = value;
    full_ = true;
    const std::uint64_t mine = ++left_;
    filled_.notify_one();
    taken_.wait(lock, [&] { return received_ >= mine; });
  }

  std::uint64_t receive() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return full_; });
    full_ = false;
    ++received_;
    const std::uint64_t value = value_;
    lock.unlock();
    taken_.notify_all();
    free_.notify_one();
    return value;
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_, filled_, taken_;
  std::uint64_t value_ = 0, left_ = 0, received_ = 0;
  bool full_ = false;
};

double run(const traffic& t, std::size_t count) {
  return t.capacity == 0 ? run_stream<shared_by_all<rendezvous>>(t, count)
                         : run_stream<shared_by_all<bounded_queue>>(t, count);
}

}  // namespace

streams of_std() {
  return {{"std::mutex, condition_variable, deque", [](const traffic& t) { return t.by != sides::coroutines; }, run}};
}

double std_commstime(std::size_t count, placement where) { return run_commstime<rendezvous>(count, where); }

void std_idle(std::size_t count, std::size_t capacity, const std::function<void()>& made) {
  hold_idle<bounded_queue>(count, made, capacity);
}

}  // namespace bench::channel
