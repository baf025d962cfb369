#include <tutti/cluster/worker.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/control/control_panel.hpp>
#include <tutti/cluster/inside/app_state.hpp>
#include <tutti/cluster/inside/worker/worker_impl.hpp>
#include <tutti/cluster/inside/worker/worker_signals.hpp>
#include <tutti/core/concurrency.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <utility>

namespace tutti::cluster {
namespace {

std::string host_name() {
  std::array<char, 256> text{};
  if (::gethostname(text.data(), text.size() - 1) != 0 || text[0] == '\0') return "localhost";
  return text.data();
}

// The numbers of those without a name.
// Of workers without a name. A worker may end on a thread that main does not wait for.
struct numbers_in_use {
  std::mutex mutex;
  std::set<int> taken;
};

std::size_t slots_of(const worker_options& options) {
  if (options.concurrency < 0 || options.concurrency > 4096) {
    throw std::invalid_argument("a worker's concurrency of " + std::to_string(options.concurrency) +
                                ": give 1 to 4096, or 0 for as many as this machine has processors for us");
  }
  if (options.pool == worker_pool::inline_) return 1;
  return static_cast<std::size_t>(options.concurrency > 0 ? options.concurrency : default_concurrency());
}

// A file is the same one wherever a process goes.
std::string lasting(broker_url url) {
  if (url.scheme == "sqlite") url.path = std::filesystem::absolute(url.path).string();
  return url.text();
}

detail::child_setup setup_of(const app& where, const std::string& name) {
  const auto& state = result_hub_access::state(where);
  const app_options& options = state.options;
  return {.worker = name,
          .broker = lasting(state.broker_at),
          .backend = lasting(state.results_at),
          .queue = options.queue,
          .result_expires = options.result_expires.count(),
          .lease = options.lease.count(),
          .patience = options.patience.count()};
}

}  // namespace

worker_pool parse_worker_pool(std::string_view text) {
  if (text == "threads") return worker_pool::threads;
  if (text == "processes" || text == "prefork") return worker_pool::processes;
  if (text == "inline" || text == "solo") return worker_pool::inline_;
  // A URL has come to the wrong place: it may have a password, and is not shown.
  const std::string shown = text.find_first_of(":@") == text.npos ? " \"" + std::string(text) + '"' : "";
  throw std::invalid_argument("unknown pool" + shown +
                              " of a worker; known: threads, processes (prefork), inline (solo)");
}

std::string_view to_string(worker_pool pool) noexcept {
  return pool == worker_pool::threads ? "threads" : pool == worker_pool::processes ? "processes" : "inline";
}

worker_name::worker_name(const std::string& given) {
  if (!given.empty()) {
    text_ = given.find('@') == std::string::npos ? given + '@' + host_name() : given;
    return;
  }
  auto& numbers = process_wide<numbers_in_use>();
  const std::lock_guard lock(numbers.mutex);
  for (number_ = 1; numbers.taken.contains(number_);) ++number_;
  numbers.taken.insert(number_);
  text_ = number_ == 1 ? "tutti@" + host_name()
                       : "tutti-" + std::to_string(::getpid()) + '-' + std::to_string(number_) + '@' + host_name();
}

worker_name::~worker_name() {
  if (number_ == 0) return;
  auto& numbers = process_wide<numbers_in_use>();
  const std::lock_guard lock(numbers.mutex);
  numbers.taken.erase(number_);
}

worker::impl::impl(app where, worker_options options)
    : app_(std::move(where)),
      options_(std::move(options)),
      name_(options_.name),
      queues_(options_.queues.empty() ? std::vector<std::string>{app_.options().queue} : options_.queues),
      slots_(slots_of(options_)),
      rules_{app_.options().queue, app_.options().result_expires},
      child_setup_(setup_of(app_, name())),
      jobs_(slots_, options_.prefetch) {
  if (std::ranges::any_of(queues_, [](const std::string& queue) { return queue.empty(); })) {
    throw std::invalid_argument("a worker was given a queue without a name");
  }
  if (options_.prefetch && *options_.prefetch > 1'000'000) {
    throw std::invalid_argument("a worker's prefetch of " + std::to_string(*options_.prefetch) +
                                ": a million is the most");
  }
  if (options_.heartbeat < std::chrono::milliseconds(1)) {
    throw std::invalid_argument("a worker's heartbeat must be at least a millisecond");
  }
  if (options_.pool == worker_pool::processes &&
      (!app_.tasks()->is_shared() || child_setup_.backend.starts_with("memory:"))) {
    throw std::invalid_argument(
        "a worker with processes cannot use memory://, which is for one process: use sqlite: or redis://, or threads");
  }
}

int worker::impl::run() {
  {
    const std::lock_guard lock(waker_mutex_);
    if (std::exchange(has_run_, true)) throw std::logic_error("a worker runs once; make another one");
  }
  std::optional<worker_signals> signals;
  if (options_.handle_signals) {
    signals.emplace([this] { shut_down(true); }, [this] { shut_down(false); });
  }
  std::exception_ptr failure;
  try {
    open_consumer();
    serve();
  } catch (const broker_error&) {  // it is away
    if (!is_stopping()) failure = std::current_exception();
  } catch (...) {  // no threads, no memory
    failure = std::current_exception();
  }
  if (completion_) completion_->finish(patience());
  {
    const std::lock_guard lock(waker_mutex_);
    waker_ = nullptr;
    ending_ = nullptr;
  }
  for (const auto& child : children_) child->drop();
  consumer_.reset();   // what it still holds is for others, also when this has gone wrong
  last_resort_.end();  // it may be telling of a task, also by events_
  events_.reset();
  if (failure) std::rethrow_exception(failure);
  return is_cold() || (completion_ && completion_->let_go() != 0) ? 1 : 0;
}

void worker::impl::serve() {
  events_ = std::make_unique<event_sender>(app_.tasks(), name());
  events_->enable(options_.task_events);
  completion_ = std::make_unique<completion>(app_.tasks(), app_.results(), *consumer_, jobs_, rules_,
                                             [this] { keep_revocations(); });
  {
    const std::lock_guard lock(waker_mutex_);
    ending_ = completion_.get();
  }
  if (options_.pool == worker_pool::processes) {
    for (std::size_t i = 0; i < slots_; ++i) {
      children_.push_back(std::make_unique<child_process>(
          child_limits{options_.max_tasks_per_child, options_.max_memory_per_child}, child_setup_));
    }
  }
  std::optional<control_panel> panel(std::in_place, app_, name(), *this, *events_, options_.heartbeat);
  load_revocations();  // none is missed: those to come are heard of
  std::vector<std::thread> threads;
  std::exception_ptr failure;
  try {
    if (options_.pool != worker_pool::inline_) {
      for (std::size_t i = 0; i < slots_; ++i) threads.emplace_back([this, i] { run_slot(i); });
    }
    fetch();
  } catch (...) {
    failure = std::current_exception();
    shut_down(true);  // also those who wait for something else than a job
  }
  completion_->begin_ending(patience());
  give_back(jobs_.close());
  log_end();
  for (std::thread& t : threads) t.join();
  panel.reset();  // what it was told may be a chore
  events_->end();
  completion_->finish(patience());
  if (failure) std::rethrow_exception(failure);
}

void worker::impl::shut_down(bool warm) noexcept {
  int before = stopping_.load();
  const int wanted = warm ? 1 : 2;
  while (before < wanted && !stopping_.compare_exchange_weak(before, wanted)) {
  }
  {
    const std::lock_guard lock(waker_mutex_);
    if (waker_ != nullptr) waker_->wake();
    if (ending_ != nullptr) {
      ending_->begin_ending(patience());
      if (wanted == 2 && before < wanted && options_.handle_signals) last_resort_.begin(stopping_time);
    }
    stopped_.notify_all();
  }
  jobs_.poke();
  if (!warm) stop_running(true);
}

// Here, as it may block: whoever tells a worker to end must be heard again.
void worker::impl::log_end() {
  const std::size_t running = jobs_.running().size();
  if (!options_.handle_signals || is_cold() || running == 0) {
    log(log_level::info, "the worker ends", {{"worker", name()}, {"running", running}});
  } else {
    log(log_level::warn, "the worker ends when what runs has ended; a second Ctrl-C or QUIT does not wait for it",
        {{"worker", name()}, {"running", running}});
  }
}

std::chrono::nanoseconds worker::impl::patience() const noexcept {
  const std::chrono::milliseconds most = app_.options().patience;
  return is_cold() ? std::min(most, std::chrono::milliseconds(1000)) : most;
}

void worker::impl::rest(std::chrono::nanoseconds time) {
  std::unique_lock lock(waker_mutex_);
  stopped_.wait_for(lock, time, [this] { return is_stopping(); });
}

worker_stats worker::impl::stats() const {
  return {received_.load(), succeeded_.load(), failed_.load(), retried_.load(), revoked_count_.load(), dead_.load()};
}

worker::worker(app where, worker_options options)
    : impl_(std::make_shared<impl>(std::move(where), std::move(options))) {}

worker::~worker() {
  if (!impl_->thread.joinable()) return;
  impl_->shut_down(false);
  impl_->thread.join();
}

int worker::run() { return impl_->run(); }

void worker::start() {
  if (impl_->thread.joinable()) throw std::logic_error("the worker has been started already");
  impl_->thread = std::thread([self = impl_.get()] {
    try {
      self->code = self->run();
    } catch (...) {
      self->thrown = std::current_exception();
    }
  });
}

int worker::wait() {
  if (!impl_->thread.joinable()) throw std::logic_error("the worker has not been started");
  impl_->thread.join();
  if (impl_->thrown) std::rethrow_exception(std::exchange(impl_->thrown, nullptr));
  return impl_->code;
}

void worker::shutdown(bool warm) noexcept { impl_->shut_down(warm); }
worker_stats worker::stats() const { return impl_->stats(); }
const std::string& worker::name() const noexcept { return impl_->name(); }

}  // namespace tutti::cluster
