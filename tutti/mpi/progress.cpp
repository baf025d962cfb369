#include <tutti/mpi/inside/progress.hpp>

#include <tutti/core/local_executor.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>
#include <tutti/mpi/run.hpp>

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace tutti::mpi::detail {

void progress_set::add(pending& one) {
  const std::lock_guard lock(mutex_);
  new_.push_back(&one);
  has_new_.store(true, std::memory_order_release);
}

bool progress_set::empty() {
  take_new();
  return all_.empty() && looked_for_.empty();
}

void progress_set::take_new() {
  if (!has_new_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(mutex_);
  has_new_.store(false, std::memory_order_relaxed);
  for (pending* one : new_) {
    if (one->handle == 0) {
      looked_for_.push_back(one);
    } else {
      all_.push_back(one);
      requests_.push_back(handle_of<MPI_Request>(one->handle));
    }
  }
  new_.clear();
  give_up_.store(true, std::memory_order_release);  // it may have been asked for before it was here
}

void progress_set::give_up_some() noexcept {
  if (!give_up_.exchange(false, std::memory_order_acquire)) return;
  for (std::size_t i = 0; i < all_.size(); ++i) {
    if (all_[i]->give_up.exchange(false, std::memory_order_relaxed)) MPI_Cancel(&requests_[i]);
  }
}

bool progress_set::look_for_messages() noexcept {
  bool any = false;
  for (std::size_t i = 0; i < looked_for_.size();) {
    pending* const one = looked_for_[i];
    const bool given_up = one->give_up.load(std::memory_order_acquire);
    if (!one->look() && !given_up) {
      ++i;
      continue;
    }
    looked_for_.erase(looked_for_.begin() + static_cast<std::ptrdiff_t>(i));  // the others keep their order
    one->ended(MPI_SUCCESS, {}, given_up);
    any = true;
  }
  return any;
}

void progress_set::end_all() noexcept {
  take_new();
  for (pending* const one : std::exchange(looked_for_, {})) one->ended(MPI_SUCCESS, {}, true);
  for (std::size_t i = 0; i < all_.size(); ++i) {
    MPI_Cancel(&requests_[i]);
    MPI_Request_free(&requests_[i]);
    all_[i]->ended(MPI_SUCCESS, {}, true);
  }
  all_.clear();
  requests_.clear();
}

bool progress_set::poll() noexcept {
  take_new();
  give_up_some();
  const bool found = look_for_messages();
  if (all_.empty()) return found;
  const auto size = static_cast<int>(all_.size());
  ended_.resize(all_.size());
  came_.resize(all_.size());
  int count = 0;
  const int code = MPI_Testsome(size, requests_.data(), &count, ended_.data(), came_.data());
  if (count == MPI_UNDEFINED || count == 0) return found;
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(ended_[static_cast<std::size_t>(i)]);
    const MPI_Status& came = came_[static_cast<std::size_t>(i)];
    int cancelled = 0;
    MPI_Test_cancelled(&came, &cancelled);
    pending* const one = std::exchange(all_[at], nullptr);
    requests_[at] = MPI_REQUEST_NULL;
    one->ended(code == MPI_ERR_IN_STATUS ? came.MPI_ERROR : code, status_of(came), cancelled != 0);
  }
  for (std::size_t i = 0; i < all_.size();) {
    if (all_[i] != nullptr) {
      ++i;
      continue;
    }
    all_[i] = all_.back();
    requests_[i] = requests_.back();
    all_.pop_back();
    requests_.pop_back();
  }
  return true;
}

std::chrono::microseconds patience::next() noexcept {
  // Most of what is awaited among the cores of a machine comes within microseconds; what takes longer comes later
  // still.
  constexpr unsigned at_once = 2000;
  constexpr unsigned yielding = 4000;
  if (rounds_ < yielding) {
    ++rounds_;
    if (rounds_ > at_once) std::this_thread::yield();
    return {};
  }
  constexpr unsigned steps = 5;
  const unsigned step = std::min(rounds_ - yielding, steps * 20) / 20;
  ++rounds_;
  return std::chrono::microseconds(30U << step);
}

namespace {

// What the thread and those who want something of it share.
class progress_thread {
 public:
  void add(pending& one) {
    const std::lock_guard lock(mutex_);
    if (stopping_) throw cancelled("mpi: MPI is ending: nothing can be awaited any more");
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    set.add(one);
    wake_.notify_one();
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
    set.end_all();
  }

  progress_set set;

 private:
  void run() {
    pthread_setname_np(pthread_self(), "tutti/mpi");
    note_own_thread();
    patience waits;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (set.empty()) {
        waits.reset();
        wake_.wait(lock);
        continue;
      }
      lock.unlock();
      if (set.poll()) waits.reset();
      const auto pause = waits.next();
      lock.lock();
      if (pause.count() != 0 && !stopping_) wake_.wait_for(lock, pause);
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread thread_;
  bool stopping_ = false;
};

progress_thread& the_thread() {
  static progress_thread& only = *new progress_thread;  // the end of a static environment comes late
  return only;
}

// The loop of mpi::run: what sleeps in it asks MPI.
class rank_poller final : public tutti::detail::loop_poller {
 public:
  rank_poller() = default;

  void wait_for_events() noexcept override {
    const watched_idle idle;
    patience waits;
    std::unique_lock lock(mutex_);
    while (!std::exchange(interrupted_, false)) {
      if (set.empty()) {
        wake_.wait(lock, [this] { return interrupted_; });
        continue;
      }
      lock.unlock();
      const bool any = set.poll();
      const auto pause = waits.next();
      lock.lock();
      if (any) return;
      if (pause.count() != 0) wake_.wait_for(lock, pause, [this] { return interrupted_; });
    }
  }
  void look_for_events() noexcept override { set.poll(); }
  void interrupt() noexcept override {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    wake_.notify_one();
  }
  bool expects_nothing() const noexcept override { return set.empty(); }
  void end() noexcept override {}

  mutable progress_set set;

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool interrupted_ = false;
};

thread_local rank_poller* of_this_thread = nullptr;

}  // namespace

void make_progress(pending& one, progress_set*& by, const char* what) {
  auto* const driven = tutti::detail::loop_engine::current();
  if (of_this_thread != nullptr && driven != nullptr && driven->poller() == of_this_thread) {
    by = &of_this_thread->set;
    by->add(one);
    return;
  }
  if (environment::threads() != thread_level::multiple) {
    throw std::logic_error(std::string(what) +
                           ": a coroutine that awaits needs somebody who makes progress: begin MPI with "
                           "{.threads = thread_level::multiple}, or await inside mpi::run");
  }
  by = &the_thread().set;
  the_thread().add(one);
}

void stop_progress() { the_thread().stop(); }

rank_loop::rank_loop() : rank_loop(std::make_shared<rank_poller>()) {}
rank_loop::rank_loop(std::shared_ptr<tutti::detail::loop_poller> poller)
    : run_loop(poller), before_(std::exchange(of_this_thread, static_cast<rank_poller*>(poller.get()))) {}
rank_loop::~rank_loop() {
  shutdown();  // what is left awaits here, too
  of_this_thread = static_cast<rank_poller*>(before_);
}

}  // namespace tutti::mpi::detail
