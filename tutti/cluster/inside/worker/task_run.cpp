#include <tutti/cluster/inside/worker/task_run.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/throw_stack.hpp>
#include <tutti/cluster/inside/running_settings.hpp>
#include <tutti/cluster/inside/worker/time_limit.hpp>
#include <tutti/core/call_in_progress.hpp>
#include <tutti/core/task_frame.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

namespace tutti::cluster {
namespace {

using nanoseconds = std::chrono::nanoseconds;

// What this_task and dump() see of the attempt, on this thread while it lives.
class attempt_frame {
 public:
  attempt_frame(const std::string& name, nanoseconds left, const std::stop_token& stop)
      : state_(new tutti::detail::call_in_progress(name, left.count())),
        frame_{this_frame, state_->describe(), state_, nullptr, nullptr, 0, 0},
        forward_(std::in_place, stop, forward{state_}) {
    frame_.party = state_;
    this_frame = &frame_;
  }
  ~attempt_frame() {
    this_frame = frame_.parent;
    forward_.reset();
    state_->over();
  }
  attempt_frame(const attempt_frame&) = delete;
  attempt_frame& operator=(const attempt_frame&) = delete;

 private:
  struct forward {
    tutti::detail::call_in_progress* state;
    void operator()() const noexcept { state->request_stop(); }
  };
  tutti::detail::call_in_progress* state_;
  task_frame frame_;
  std::optional<std::stop_callback<forward>> forward_;
};

// Where it was thrown, for people. That takes milliseconds: of many failures at once only some can have it.
std::string (*stack_for_failure())() {
  using clock = std::chrono::steady_clock;
  static constexpr int each_second = 50;
  static std::atomic<std::int64_t> second{-1};
  static std::atomic<int> taken{0};
  const std::int64_t now = std::chrono::floor<std::chrono::seconds>(clock::now().time_since_epoch()).count();
  if (second.exchange(now, std::memory_order_relaxed) != now) taken.store(0, std::memory_order_relaxed);
  return taken.fetch_add(1, std::memory_order_relaxed) < each_second ? &throw_stack : nullptr;
}

// What the call itself refuses has no place in the task; what it refuses names the task, as its own calls do theirs.
bool is_refused_call(const registered_task& task, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const argument_error& e) {
    return std::string_view(e.what()).starts_with(task.signature + ": ");
  } catch (...) {
    return false;
  }
}

bool asks_for_another(const task_settings& settings, const std::exception_ptr& thrown) {
  if (is_cancelled(thrown)) return false;
  if (is_retryable(thrown)) return true;
  if (settings.retry_on.empty()) return false;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return std::ranges::any_of(settings.retry_on, [&](auto* is_one) { return is_one(e); });
  } catch (...) {
    return false;
  }
}

}  // namespace

nanoseconds retry_wait(const task_settings& settings, int retries) {
  const double most = static_cast<double>(std::max(nanoseconds::zero(), settings.retry_delay_max).count());
  double wait = static_cast<double>(std::max(nanoseconds::zero(), settings.retry_delay).count());
  if (settings.retry_backoff) wait = std::ldexp(wait, std::clamp(retries, 0, 62));
  wait = std::min(wait, most);
  if (settings.retry_jitter) {
    thread_local std::minstd_rand random(std::random_device{}());
    wait *= std::uniform_real_distribution<double>(0.5, 1.0)(random);
  }
  return nanoseconds(static_cast<std::int64_t>(wait));
}

task_failure time_limit_failure(nanoseconds limit) {
  return celery_failure("TimeLimitExceeded",
                        fmt::format("its time limit, {} s, is over", std::chrono::duration<double>(limit).count()));
}

outcome run_task(const registered_task& task, const detail::call_context& context, std::stop_source stop,
                 nanoseconds soft_limit) {
  const task_message& message = *context.message;
  const auto begun = std::chrono::steady_clock::now();
  outcome ended;
  try {
    nanoseconds left{0};  // none
    if (context.deadline) {
      left = std::max(nanoseconds(1), tutti::detail::saturated(*context.deadline - std::chrono::system_clock::now()));
    }
    std::atomic<bool> is_over_soft_limit{false};
    std::optional<nanoseconds> soft;
    if (soft_limit > nanoseconds::zero()) soft = soft_limit;
    const time_limit asks_to_stop(soft, [&] {
      is_over_soft_limit.store(true, std::memory_order_release);
      stop.request_stop();
    });
    const attempt_frame frame(task.settings.name, left, context.stop);
    const detail::call_scope scope(context);
    const detail::running_settings settings(task.settings);
    try {
      ended.result = noting_throws([&] { return task.run(message.args, message.kwargs); });
      ended.kind = outcome_kind::success;
    } catch (const detail::retry_request& asked) {
      ended.kind = outcome_kind::retry;
      ended.failure = celery_failure("Retry", asked.how.reason);
      ended.wait = asked.how.countdown.value_or(retry_wait(task.settings, message.retries)).count();
    } catch (...) {
      const std::exception_ptr thrown = std::current_exception();
      const bool has_retries = !task.settings.max_retries || message.retries < *task.settings.max_retries;
      if (is_over_soft_limit.load(std::memory_order_acquire) && is_cancelled(thrown)) {
        ended.failure = celery_failure("SoftTimeLimitExceeded", "the task was asked to stop after its soft time limit");
      } else if (has_retries && !detail::was_refused(context) && asks_for_another(task.settings, thrown)) {
        ended.kind = outcome_kind::retry;
        ended.failure = describe_failure(thrown);
        ended.wait = retry_wait(task.settings, message.retries).count();
      } else {
        ended.failure = describe_failure(thrown, is_refused_call(task, thrown) ? nullptr : stack_for_failure());
      }
    }
  } catch (...) {  // no memory, no thread for the timer
    ended.kind = outcome_kind::failure;
    ended.failure = describe_failure(std::current_exception());
  }
  ended.took = (std::chrono::steady_clock::now() - begun).count();
  return ended;
}

}  // namespace tutti::cluster
