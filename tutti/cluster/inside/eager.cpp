// The same steps as a worker's, without a broker between them: what a task's end brings about comes from ending.hpp.
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/app_state.hpp>
#include <tutti/cluster/inside/eager.hpp>
#include <tutti/cluster/inside/worker/builtin_tasks.hpp>
#include <tutti/cluster/inside/worker/ending.hpp>
#include <tutti/cluster/inside/worker/task_run.hpp>
#include <tutti/cluster/result_text.hpp>

#include <deque>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

namespace tutti::cluster::detail {
namespace {

constexpr int most_attempts = 1000;  // of one task

struct eager_chord {
  std::int64_t size = 0;
  std::set<std::string> ids;
  std::multimap<std::int64_t, std::string> parts;  // by index
};

class eager_run {
 public:
  explicit eager_run(const app& where)
      : where_(where),
        shared_(result_hub_access::shared(where)),
        rules_{shared_->options.queue, shared_->options.result_expires} {}

  void run(const send_plan& plan) {
    for (const auto& [group, size] : plan.chords) chords_[group].size = size;
    waiting_.assign(plan.messages.begin(), plan.messages.end());
    while (!waiting_.empty()) {
      task_message next = std::move(waiting_.front());
      waiting_.pop_front();
      run_one(std::move(next));
    }
  }

 private:
  void run_one(task_message message) {
    const registered_task* const task = task_to_run(message.task);
    ending brings;
    if (task == nullptr) {
      end_without_success(
          brings, message, nullptr, state::failure,
          celery_failure("NotRegistered",
                         "no task \"" + message.task + "\" is known to this program: an eager app runs no other"),
          rules_);
      return carry_out(std::move(brings), message);
    }
    outcome ended = attempt(*task, message);
    for (int attempts = 1; ended.kind == outcome_kind::retry; ++attempts) {
      if (attempts == most_attempts) {
        ended.failure = describe_failure(std::make_exception_ptr(max_retries_exceeded(
            "task " + message.task + "[" + message.id + "] asked for another attempt after " +
            std::to_string(most_attempts) + ", and an eager app, which never waits, gives no more")));
        break;
      }
      ++message.retries;
      ended = attempt(*task, message);
    }
    if (ended.kind == outcome_kind::success) {
      end_with_success(brings, message, &task->settings, ended.result, rules_);
    } else {
      end_without_success(brings, message, &task->settings, state::failure, ended.failure, rules_);
    }
    carry_out(std::move(brings), message);
  }

  outcome attempt(const registered_task& task, const task_message& message) {
    const std::stop_source stop;
    call_context context;
    context.message = &message;
    context.where = &where_;
    context.stop = stop.get_token();
    context.user = this;
    context.update = [](const call_context& self, std::string_view status, std::string_view json) {
      auto& run = *static_cast<eager_run*>(self.user);
      run.store(state_result(*self.message, status, json, nullptr, run.rules_));
    };
    return run_task(task, context, stop, std::chrono::nanoseconds::zero());
  }

  void store(stored_result result) {
    const std::lock_guard lock(shared_->mutex);
    shared_->eager.store(result.id, std::move(result.text), result.kept_for(), eager_results::clock::now());
  }

  void carry_out(ending brings, const task_message& message) {
    for (const auto& [group, size] : brings.chords) chords_[group].size = size;
    for (stored_result& result : brings.results) store(std::move(result));
    for (const chord_part& part : brings.parts) count(part, message);
    for (const outgoing_message& next : brings.follow) waiting_.push_back(decode_message(next.text));
  }

  void count(const chord_part& part, const task_message& message) {
    const auto found = chords_.find(part.group);
    if (found == chords_.end()) return;  // over, or begun by nobody
    eager_chord& chord = found->second;
    if (chord.ids.insert(part.id).second) chord.parts.emplace(part.index, part.text);
    if (std::cmp_less(chord.ids.size(), chord.size)) return;
    chord_parts parts;
    for (auto& [index, text] : chord.parts) parts.push_back(std::move(text));
    chords_.erase(found);
    ending brings;
    end_chord(brings, part, parts, place_of(message), rules_);
    carry_out(std::move(brings), message);
  }

  const app where_;
  const result_hub_access::state_ptr shared_;
  const ending_rules rules_;
  std::deque<task_message> waiting_;
  std::map<std::string, eager_chord> chords_;
};

}  // namespace

void run_eagerly(const app& where, const send_plan& plan) { eager_run(where).run(plan); }

}  // namespace tutti::cluster::detail
