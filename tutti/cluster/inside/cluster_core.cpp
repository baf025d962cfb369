#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/registry.hpp>
#include <tutti/cluster/call_task.hpp>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/inside/app_state.hpp>
#include <tutti/cluster/inside/cluster_core.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/wire_text.hpp>
#include <tutti/core/concurrency.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tutti::cluster::detail {
namespace {

constexpr std::size_t most_at_once = 512;  // calls in one batch: the first of them need not wait for all

thread_local bool sends_here = false;  // this thread is a pool's sender

int checked_concurrency(int given) {
  if (given < 0) throw std::invalid_argument("cluster_pool: concurrency " + std::to_string(given) + " is negative");
  return given == 0 ? default_concurrency() : given;
}

}  // namespace

cluster_core::cluster_core(app where, cluster_pool_options options)
    : where_(std::move(where)),
      queue_(std::move(options.queue)),
      concurrency_(checked_concurrency(options.concurrency)),
      patience_(where_.options().patience) {
  if (queue_.empty()) throw std::invalid_argument("cluster_pool: the name of the queue is empty");
  if (where_.options().eager) throw std::invalid_argument("cluster_pool: an eager app has no workers");
  if (!where_.tasks()->is_shared()) {
    own_worker_.emplace(where_, worker_options{.queues = {queue_}, .concurrency = concurrency_});
    own_worker_->start();
  }
  sender_ = std::thread([this] { send_calls(); });
}

cluster_core::~cluster_core() = default;  // shutdown has been

void cluster_core::start(call work) {
  const portable_call* const target = work->portable();
  if (target == nullptr) throw std::invalid_argument("cluster_pool: only functions by name can leave this process");
  std::string arguments;
  target->encode_arguments(arguments);  // what cannot be encoded is refused here, by whoever submits it
  const std::lock_guard lock(mutex_);
  if (closed_) throw closed("the pool of " + where_.tasks()->name() + " was shut down: it takes no more calls");
  queued_.push_back({std::move(work), std::move(arguments)});
  left_.fetch_add(1, std::memory_order_seq_cst);
  if (queued_.size() == 1) work_.notify_one();
}

void cluster_core::send_calls() {
  sends_here = true;
  for (;;) {
    std::vector<std::string> revoked, received;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return leaving_ || !queued_.empty() || !revoked_.empty() || !received_.empty(); });
      if (leaving_ && queued_.empty() && revoked_.empty() && received_.empty()) return;
      revoked.swap(revoked_);
      received.swap(received_);
    }
    try {
      send_batch();
    } catch (const std::exception&) {  // no memory before it took any: again
      std::this_thread::yield();
    }
    if (!revoked.empty()) tell_revoked(revoked);
    if (!received.empty()) forget(received);
  }
}

struct cluster_core::batch {
  std::vector<std::shared_ptr<result_cell>> cells;
  std::vector<outgoing_message> messages;
  std::shared_ptr<task_end> failed = std::make_shared<task_end>();  // what may go wrong then is not for want of memory

  void reserve() {
    cells.reserve(most_at_once);
    messages.reserve(most_at_once);
  }
};

void cluster_core::send_batch() {
  batch all;
  {
    const std::lock_guard preparing(preparing_);
    for (std::size_t i = 0; i < most_at_once; ++i) {
      std::unique_lock lock(mutex_);
      if (queued_.empty()) break;
      queued_call one = std::move(queued_.front());
      queued_.pop_front();
      lock.unlock();
      try {
        prepare(one, all);
      } catch (...) {  // too big; no memory
        std::move(one.work).abandon(std::current_exception());
        left(1);
      }
    }
  }
  if (all.cells.empty()) return;
  try {
    const auto hub = result_hub::of(where_);
    hub->watch(all.cells, true);
    {
      const std::lock_guard lock(mutex_);
      hub_ = hub;
    }
    where_.tasks()->publish(all.messages);
  } catch (...) {
    all.failed->error = std::current_exception();
    give_up(all.cells, std::move(all.failed));
  }
}

// What throws throws before the call has begun.
void cluster_core::prepare(queued_call& one, batch& to) {
  portable_call* const target = one.work->portable();
  const function_info& function = target->function();
  const call_limits limits = target->limits();
  task_message message;
  message.task = call_task_name;
  message.id = new_uuid();
  message.root_id = message.id;
  message.args = call_task_args(function.name, function.signature, one.arguments, limits.retries);
  message.argsrepr = "(" + std::string(function.name) + ")";
  message.kwargsrepr = "{}";
  message.origin = "gen" + process_name();
  message.queue = queue_;
  message.priority = std::clamp(5 + one.work->priority(), 0, 9);
  if (limits.timeout) message.time_limit = std::chrono::duration<double>(*limits.timeout).count();
  outgoing_message out{queue_, encode_message(message), message.priority, {}};
  auto cell = std::make_shared<result_cell>(message.id, std::string(function.name));
  cell->when_done(
      [self = shared_from_this(), target, id = message.id](const task_end& end) { self->done(target, id, end); });
  to.reserve();
  {
    const std::lock_guard lock(mutex_);
    away_.emplace(target, cell);  // before begin: from then on it may be asked to stop
  }
  if (!target->begin(shared_from_this())) {  // it is over: its handle is dropped
    {
      const std::lock_guard lock(mutex_);
      away_.erase(target);
    }
    return left(1);
  }
  static_cast<void>(one.work.release());  // `target` is the handle now
  if (target->stop_requested()) stop(*target);
  to.cells.push_back(std::move(cell));
  to.messages.push_back(std::move(out));
}

void cluster_core::give_up(const std::vector<std::shared_ptr<result_cell>>& cells,
                           const std::shared_ptr<const task_end>& end) {
  for (const auto& cell : cells) cell->settle(end);
  std::shared_ptr<result_hub> hub;
  {
    const std::lock_guard lock(mutex_);
    hub = hub_;
  }
  if (hub != nullptr) hub->unwatch(cells);
}

void cluster_core::done(portable_call* target, const std::string& id, const task_end& end) noexcept {
  {
    const std::lock_guard lock(mutex_);
    away_.erase(target);
    try {
      received_.push_back(id);
    } catch (const std::bad_alloc&) {  // it expires
    }
    if (received_.size() == 1) work_.notify_one();
  }
  std::exception_ptr error;
  std::string result;
  try {
    result = call_task_result(end.value());
  } catch (...) {
    error = std::current_exception();
  }
  if (error) {
    target->fail(std::move(error));
  } else {
    target->complete(result);
  }
  left(1);
}

void cluster_core::left(std::size_t count) noexcept {
  if (left_.fetch_sub(count, std::memory_order_seq_cst) == count) drained_.wake_all();
}

void cluster_core::stop(portable_call& call) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = away_.find(&call);
  if (found == away_.end()) return;
  try {
    revoked_.push_back(found->second->id());
  } catch (const std::bad_alloc&) {
    return;  // it runs to its end
  }
  work_.notify_one();
}

void cluster_core::tell_revoked(const std::vector<std::string>& ids) {
  try {
    std::vector<std::string> texts;
    texts.reserve(ids.size());
    for (const std::string& id : ids) texts.push_back(json_string(id));
    tell_workers(where_, "revoke",
                 join_object({{"task_id", join_array(texts)}, {"terminate", "true"}, {"signal", "\"SIGTERM\""}}));
  } catch (const std::exception&) {  // the broker is away: they run to their ends
  }
}

void cluster_core::forget(const std::vector<std::string>& ids) {
  try {
    where_.results()->forget(ids);
  } catch (const std::exception&) {  // they expire
  }
}

void cluster_core::cancel_all() {
  std::deque<queued_call> unsent;
  {
    const std::lock_guard prepared(preparing_);  // so each call is in queued_ or away_
    const std::lock_guard lock(mutex_);
    unsent.swap(queued_);
    for (const auto& [target, cell] : away_) revoked_.push_back(cell->id());
  }
  work_.notify_one();
  const auto why = std::make_exception_ptr(cancelled("the cluster_pool was shut down"));
  for (queued_call& one : unsent) std::move(one.work).abandon(why);
  if (!unsent.empty()) left(unsent.size());
}

// Without a worker that takes from the queue, who waits for the calls waits for ever. True: that is how it is.
bool cluster_core::warn_without_workers() {
  try {
    for (const queue_info& queue : where_.tasks()->queues(std::span(&queue_, 1))) {
      if (queue.waiting == 0 || queue.held != 0) continue;
      log(log_level::warn,
          "a cluster_pool waits for calls that no worker takes: start one of a program that has their functions, "
          "PROGRAM --tutti-worker URL --queues QUEUE, or let go of them with shutdown(cancel)",
          {{"calls", queue.waiting}, {"queue", queue_}, {"broker", where_.tasks()->name()}});
      return true;
    }
  } catch (const std::exception&) {  // the broker is away: the workers may well be there
  }
  return false;
}

// Calls end on the hub's thread, and some on the sender's: who waits for all of them there waits for itself.
bool cluster_core::ends_calls_here() noexcept { return sends_here || result_hub::is_here(); }

void cluster_core::shutdown(shutdown_mode mode) {
  if (ends_calls_here()) {
    throw std::logic_error(
        "cluster_pool::shutdown where a call's result is being handed on: it would wait for itself; "
        "hand that to another thread");
  }
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  const auto is_drained = [this] { return left_.load(std::memory_order_seq_cst) == 0; };
  if (mode == shutdown_mode::cancel) {
    cancel_all();
    const auto deadline = std::chrono::steady_clock::now() + patience_;
    static_cast<void>(drained_.wait(is_drained, wait_how{.deadline = &deadline, .what = "cluster_pool::shutdown"}));
    std::vector<std::shared_ptr<result_cell>> rest;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [target, cell] : away_) rest.push_back(cell);
    }
    const auto end = std::make_shared<task_end>();
    end->error = std::make_exception_ptr(cancelled("the cluster_pool was shut down, and no worker has answered"));
    give_up(rest, end);
  } else if (!own_worker_) {
    for (bool has_warned = false; !has_warned;) {
      const auto deadline = std::chrono::steady_clock::now() + patience_;
      const wait_how how{.deadline = &deadline, .what = "cluster_pool::shutdown"};
      if (drained_.wait(is_drained, how) == wait_result::ready) break;
      has_warned = warn_without_workers();
    }
  }
  drained_.wait(is_drained, wait_how{.what = "cluster_pool::shutdown"});

  const std::lock_guard once(shutting_down_);
  if (!sender_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  work_.notify_one();
  sender_.join();
  own_worker_.reset();
}

void cluster_core::release_handle() noexcept {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  for (;;) {
    try {
      if (!ends_calls_here()) return finish_all();
      return std::thread([self = shared_from_this()] { self->finish_all(); }).detach();
    } catch (...) {  // no thread for that now
      std::this_thread::yield();
    }
  }
}

void cluster_core::finish_all() noexcept {
  for (;;) {
    try {
      return shutdown(shutdown_mode::finish);
    } catch (...) {  // pool_exhausted: then without a thread in our place
      std::this_thread::yield();
    }
  }
}

}  // namespace tutti::cluster::detail
