#include <tutti/io/helpers.hpp>

#include <tutti/base/error.hpp>
#include <tutti/task/await.hpp>
#include <tutti/task/with_timeout.hpp>

#include <fmt/format.h>

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <new>

namespace tutti::io::detail {
namespace {

std::mutex making;
std::atomic<thread_pool*> made{nullptr};

// The child has none of the threads; the parent's pool, and perhaps the lock, stay behind as they were.
[[maybe_unused]] const int forgotten_at_fork = ::pthread_atfork(nullptr, nullptr, [] {
  made.store(nullptr, std::memory_order_relaxed);
  new (&making) std::mutex;
});

task<> answer(shared_future<void> call) { co_await call; }

}  // namespace

local_executor& helpers() {
  if (thread_pool* const pool = made.load(std::memory_order_acquire)) return *pool;
  const std::lock_guard lock(making);
  thread_pool* pool = made.load(std::memory_order_relaxed);
  if (pool == nullptr) {
    // Leaked: a name server that does not answer must not hold up the program's end.
    pool = new thread_pool(thread_pool_options{.threads = 8, .name = "io helpers"});
    made.store(pool, std::memory_order_release);
  }
  return *pool;
}

task<> await_helper(shared_future<void> call, until end, std::string tried) {
  task<> answered = answer(call);  // who awaits a shared future does not own it
  if (end.limit() != no_limit) answered = with_timeout(std::move(answered), std::chrono::nanoseconds(end.left()));
  try {
    co_await std::move(answered);
  } catch (const cancelled&) {
    call.cancel();
    throw;
  } catch (const timed_out&) {
    call.cancel();
    throw timed_out(fmt::format("{} took longer than the limit of {}", tried, in_words(end.limit().told())));
  }
}

}  // namespace tutti::io::detail
