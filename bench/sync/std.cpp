// The standard library's locks and what POSIX has beside them.
#include <pthread.h>
#include <semaphore.h>

#include <atomic>
#include <barrier>
#include <mutex>
#include <semaphore>
#include <shared_mutex>

#include "loops.hpp"

namespace bench::sync {

namespace {

using read_guard = std::shared_lock<std::shared_mutex>;

class std_semaphore {
 public:
  explicit std_semaphore(std::ptrdiff_t permits) : permits_(permits) {}
  void acquire() { permits_.acquire(); }
  void release() { permits_.release(); }

 private:
  std::counting_semaphore<> permits_;
};

class posix_semaphore {
 public:
  explicit posix_semaphore(unsigned permits) { sem_init(&permits_, 0, permits); }
  posix_semaphore(const posix_semaphore&) = delete;
  posix_semaphore& operator=(const posix_semaphore&) = delete;
  ~posix_semaphore() { sem_destroy(&permits_); }
  void acquire() {
    while (sem_wait(&permits_) != 0) {  // a signal came
    }
  }
  void release() { sem_post(&permits_); }

 private:
  sem_t permits_;
};

// The flag that C++20 can wait for.
class flag {
 public:
  explicit flag(int = 0) {}
  void set() {
    set_.store(true, std::memory_order_release);
    set_.notify_all();
  }
  void wait() { set_.wait(false, std::memory_order_acquire); }
  void clear() { set_.store(false, std::memory_order_relaxed); }

  void release() { set(); }
  void acquire() {
    wait();
    clear();
  }

 private:
  std::atomic<bool> set_ = false;
};

class std_barrier {
 public:
  explicit std_barrier(std::ptrdiff_t threads) : barrier_(threads) {}
  void arrive_and_wait() { barrier_.arrive_and_wait(); }

 private:
  std::barrier<> barrier_;
};

class posix_barrier {
 public:
  explicit posix_barrier(unsigned threads) { pthread_barrier_init(&barrier_, nullptr, threads); }
  posix_barrier(const posix_barrier&) = delete;
  posix_barrier& operator=(const posix_barrier&) = delete;
  ~posix_barrier() { pthread_barrier_destroy(&barrier_); }
  void arrive_and_wait() { pthread_barrier_wait(&barrier_); }

 private:
  pthread_barrier_t barrier_;
};

}  // namespace

offers of_std() {
  return {{what::mutex, "std::mutex", lock_and_unlock<std::mutex>},
          {what::recursive, "std::recursive_mutex", lock_and_unlock<std::recursive_mutex>},
          {what::exclusive, "std::shared_mutex", lock_and_unlock<std::shared_mutex>},
          {what::shared, "std::shared_mutex", lock_and_unlock<std::shared_mutex, read_guard>},
          {what::contended, "std::mutex", contend<std::mutex>},
          {what::readers, "std::shared_mutex",
           read_and_write<std::shared_mutex, std::lock_guard<std::shared_mutex>, read_guard>},
          {what::readers, "std::mutex",
           read_and_write<std::mutex, std::lock_guard<std::mutex>, std::lock_guard<std::mutex>>},
          {what::semaphore, "std::counting_semaphore", acquire_and_release<std_semaphore>},
          {what::semaphore, "sem_t", acquire_and_release<posix_semaphore>},
          {what::semaphore_turns, "std::counting_semaphore", take_turns<std_semaphore>},
          {what::semaphore_turns, "sem_t", take_turns<posix_semaphore>},
          {what::event, "std::atomic wait and notify", set_and_wait<flag>},
          {what::event_turns, "std::atomic wait and notify", take_turns<flag>},
          {what::barrier, "std::barrier", meet<std_barrier>},
          {what::barrier, "pthread_barrier_t", meet<posix_barrier>},
          {what::mutex_size, "std::mutex", size_of<std::mutex>},
          {what::shared_size, "std::shared_mutex", size_of<std::shared_mutex>}};
}

}  // namespace bench::sync
