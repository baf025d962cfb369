// bounded_buffer: a producer makes 20 items, one every 0.5 s, a consumer uses one every 2 s; the buffer holds 10.
// Teaches: a condition is waited for with a predicate, which is true, and the lock held, when the wait is over. Here
// coroutines wait, on one thread; wait(lock, predicate) is the same for threads. (channel<T>(10) is all of this.)
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <iostream>
#include <vector>

namespace {

using namespace std::chrono_literals;

class bounded_buffer {
 public:
  explicit bounded_buffer(std::size_t capacity) : capacity_(capacity) {}

  tutti::task<> put(int item) {
    auto lock = co_await mutex_.lock_async();
    if (items_.size() == capacity_) ++stalls_;
    co_await not_full_.wait_async(lock, [&] { return items_.size() < capacity_; });
    items_.push_back(item);
    fullest_ = std::max(fullest_, items_.size());
    not_empty_.notify_one();
  }

  tutti::task<int> take() {
    auto lock = co_await mutex_.lock_async();
    co_await not_empty_.wait_async(lock, [&] { return !items_.empty(); });
    const int item = items_.front();
    items_.pop_front();
    not_full_.notify_one();
    co_return item;
  }

  // To be asked when nobody uses it any more.
  std::size_t size() const { return items_.size(); }
  std::size_t fullest() const { return fullest_; }
  int stalls() const { return stalls_; }

 private:
  const std::size_t capacity_;
  tutti::mutex mutex_{"buffer"};
  tutti::condition not_full_{"not full"}, not_empty_{"not empty"};
  std::deque<int> items_;
  std::size_t fullest_ = 0;
  int stalls_ = 0;
};

constexpr int count = 20;

tutti::task<> produce(bounded_buffer& buffer) {
  for (int item = 1; item <= count; ++item) {
    co_await tutti::sleep_for(500ms);
    co_await buffer.put(item);
  }
}

tutti::task<> consume(bounded_buffer& buffer, std::vector<int>& used) {
  for (int i = 0; i < count; ++i) {
    co_await tutti::sleep_for(2s);
    used.push_back(co_await buffer.take());
  }
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const auto start = tutti::now();
  bounded_buffer buffer(10);
  std::vector<int> used;
  tutti::sync_wait(tutti::when_all(produce(buffer), consume(buffer, used)));
  const std::chrono::nanoseconds time = tutti::now() - start;

  bool in_order = true;
  for (int i = 0; i < count; ++i) in_order = in_order && used.at(static_cast<std::size_t>(i)) == i + 1;
  std::cout << used.size() << " items used, " << (in_order ? "in order" : "out of order") << "; never more than "
            << buffer.fullest() << " in the buffer; the producer waited " << buffer.stalls() << " times; "
            << time / 1.0s << " s\n";
  // 13 items are made in 6.5 s, when the consumer has taken 3: the buffer is full, and the other 7 wait their turn.
  return in_order && buffer.size() == 0 && buffer.fullest() == 10 && buffer.stalls() == 7 && time == 40s ? 0 : 1;
}
