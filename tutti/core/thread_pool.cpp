#include <tutti/core/thread_pool.hpp>

#include <tutti/core/concurrency.hpp>
#include <tutti/core/guest.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/pools.hpp>
#include <tutti/core/run_loop.hpp>

#include <pthread.h>

#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace tutti {
namespace {

// Two kinds of owners: handles (thread_pool objects), the last of which shuts the engine down, and those who only keep
// its memory (home.hpp looks it up for a late continuation; dump prints it). A late continuation that held the last
// handle would have to join the pool it runs on.
std::shared_ptr<scheduler> make_engine(const thread_pool_options& options) {
  if (options.threads < 0 || options.threads > scheduler::max_concurrency) {
    throw std::invalid_argument("thread_pool: " + std::to_string(options.threads) + " threads; give 1 to " +
                                std::to_string(scheduler::max_concurrency) + ", or 0 for one per available CPU");
  }
  const int threads = options.threads == 0 ? default_workers(scheduler::max_concurrency) : options.threads;
  auto memory = std::make_shared<scheduler>(threads, std::string(options.name), new_executor_id());
  register_home(memory->executor_id(), memory);
  register_pool(memory);
  scheduler* const engine = memory.get();
  return {engine, [memory = std::move(memory)](scheduler* last) {
            last->shutdown(finish);
            forget_home(last->executor_id());
          }};
}

}  // namespace

thread_pool::thread_pool(const thread_pool_options& options) : thread_pool(make_engine(options)) {}
thread_pool::thread_pool(std::shared_ptr<scheduler> engine)
    : local_executor(engine->executor_id()), engine_(std::move(engine)) {}
thread_pool::~thread_pool() = default;

std::unique_ptr<executor> thread_pool::share() { return std::unique_ptr<executor>(new thread_pool(engine_)); }

namespace {

std::mutex default_mutex;
std::atomic<thread_pool*> the_default_pool{nullptr};

// The child has one thread, this one: the parent's pools and their locks stay behind, unused, as they were.
[[maybe_unused]] const int forgotten_at_fork = ::pthread_atfork(nullptr, nullptr, [] {
  the_default_pool.store(nullptr, std::memory_order_relaxed);
  this_worker = nullptr;
  this_frame = nullptr;
  new (&default_mutex) std::mutex;
});

void finish_at_exit() noexcept {
  thread_pool* const pool = the_default_pool.load(std::memory_order_acquire);
  // exit() called by a task of the pool: nobody can wait for that task.
  if (pool == nullptr || pool->engine().works_here()) return;
  // Coroutines may wait for ever, for what nobody will do any more.
  pool->engine().stop_waits();
  pool->shutdown(finish);
}

}  // namespace

thread_pool& default_pool() {
  if (thread_pool* pool = the_default_pool.load(std::memory_order_acquire)) return *pool;
  const std::lock_guard lock(default_mutex);
  thread_pool* pool = the_default_pool.load(std::memory_order_relaxed);
  if (pool == nullptr) {
    // Leaked, but finished at exit: threads and statics of the program may still hold references.
    pool = new thread_pool(thread_pool_options{.threads = 0, .name = "default"});
    static constinit bool registered = false;  // under the lock; a child's first pool finds what its parent's did
    if (!std::exchange(registered, true)) std::atexit(finish_at_exit);
    the_default_pool.store(pool, std::memory_order_release);
  }
  return *pool;
}

bool is_default_pool(const scheduler& pool) noexcept {
  const thread_pool* const made = the_default_pool.load(std::memory_order_acquire);
  return made != nullptr && &made->engine() == &pool;
}

// ---------------------------------------------------------------- guests

guest::guest() : outer_(this_worker) { enter(default_pool().engine()); }

guest::guest(local_executor& pool) : outer_(this_worker) {
  auto* const threads = dynamic_cast<thread_pool*>(&pool);
  if (threads == nullptr) return;
  if (outer_ != nullptr && outer_->pool == &threads->engine()) {
    worker_ = outer_;
  } else {
    enter(threads->engine());
  }
}

void guest::enter(scheduler& pool) {
  // To the pool this thread belongs to, it is blocked meanwhile.
  worker* const blocked = detail::loop_engine::blocked_worker();
  if (blocked != nullptr && !blocked->pool->begin_block(*blocked)) return;
  try {
    worker_ = pool.enter(outer_);
  } catch (const std::bad_alloc&) {  // as without room: the caller works alone
  }
  if (worker_ == nullptr) {
    if (blocked != nullptr) blocked->pool->end_block(*blocked);
    return;
  }
  blocked_ = blocked;
  entered_ = true;
  this_worker = worker_;
  if (this_frame != nullptr) {
    frame_ = *this_frame;
    frame_.parent = this_frame;
    frame_.fork_base = worker_->forks.bottom();
    frame_.run = nullptr;
    this_frame = &frame_;
  }
}

guest::~guest() {
  if (!entered_) return;
  if (this_frame == &frame_) this_frame = frame_.parent;
  this_worker = outer_;
  worker_->pool->leave(*worker_);
  if (blocked_ != nullptr) blocked_->pool->end_block(*blocked_);
}

}  // namespace tutti
