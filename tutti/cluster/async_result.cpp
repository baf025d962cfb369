#include <tutti/base/error.hpp>
#include <tutti/cluster/async_result.hpp>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/inside/app_state.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_hub.hpp>
#include <tutti/cluster/this_call.hpp>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace tutti::cluster {
namespace {

using deadline = std::optional<std::chrono::steady_clock::time_point>;

deadline deadline_after(std::optional<std::chrono::nanoseconds> limit) {
  if (!limit) return std::nullopt;
  const auto now = std::chrono::steady_clock::now();
  return *limit > std::chrono::steady_clock::time_point::max() - now ? deadline() : now + *limit;
}

std::string described(const result_cell& cell) {
  return cell.name().empty() ? "task " + cell.id() : cell.name() + '[' + cell.id() + ']';
}

std::string waited_text(const result_cell& cell, std::chrono::nanoseconds limit) {
  return fmt::format("{} has not ended within {}; it may still", described(cell),
                     std::chrono::duration_cast<std::chrono::duration<double>>(limit));
}

std::shared_ptr<const task_end> parse_end(const std::string& text) {
  auto end = std::make_shared<task_end>();
  try {
    end->result = decode_result(text);
    if (!state::is_final(end->result.status)) return nullptr;
  } catch (const error&) {
    end->error = std::current_exception();
  }
  return end;
}

bool is_eager(const app& where) { return where.options().eager; }

// What the store, or an eager app, has for each.
std::vector<std::optional<std::string>> fetch(const app& where, const std::vector<std::string>& ids) {
  if (ids.empty()) return {};
  if (!is_eager(where)) return where.results()->fetch(ids);
  auto& shared = result_hub_access::state(where);
  std::vector<std::optional<std::string>> texts;
  texts.reserve(ids.size());
  const auto now = eager_results::clock::now();
  const std::lock_guard lock(shared.mutex);
  for (const std::string& id : ids) texts.push_back(shared.eager.find(id, now));
  return texts;
}

// What is known of each now; those that have ended are settled.
std::vector<std::optional<std::string>> look(const app& where, const std::vector<std::shared_ptr<result_cell>>& cells) {
  std::vector<std::shared_ptr<result_cell>> asked;
  for (const auto& cell : cells) {
    if (cell->end() == nullptr) asked.push_back(cell);
  }
  result_cell::add_before(asked);
  std::vector<std::string> ids;
  ids.reserve(asked.size());
  for (const auto& cell : asked) ids.push_back(cell->id());
  const auto texts = fetch(where, ids);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!texts[i]) continue;
    if (auto end = parse_end(*texts[i])) asked[i]->settle(std::move(end));
  }
  std::vector<std::optional<std::string>> all;
  std::size_t next = 0;
  for (const auto& cell : cells) {
    const bool is_asked = next < asked.size() && asked[next] == cell;  // those come first, in this order
    all.push_back(is_asked ? texts[next++] : std::nullopt);
  }
  return all;
}

task_snapshot snapshot(const result_cell& cell, const std::optional<std::string>& text) {
  if (const auto end = cell.end()) {
    if (end->error) return {std::string(state::failure), "null"};
    return {end->result.status, end->result.result};
  }
  if (!text) return {std::string(state::pending), "null"};
  task_result known = decode_result(*text);
  return {std::move(known.status), std::move(known.result)};
}

// The first one that has not ended, as far as the store tells; null when all have.
const result_cell* first_open(const app& where, const std::vector<std::shared_ptr<result_cell>>& cells) {
  look(where, cells);
  const auto open = std::ranges::find_if(cells, [](const auto& cell) { return cell->end() == nullptr; });
  return open == cells.end() ? nullptr : open->get();
}

// Counts the tasks of a group down; a failure ends it at once.
struct group_wait {
  std::mutex mutex;
  std::vector<std::string> values;
  std::size_t left = 0;
  std::function<void(const std::exception_ptr&, const std::string&)> then;

  void part(std::size_t i, const task_end& end) {
    std::exception_ptr error;
    std::string value;
    try {
      value = end.value();
    } catch (...) {
      error = std::current_exception();
    }
    std::function<void(const std::exception_ptr&, const std::string&)> last;
    {
      const std::lock_guard lock(mutex);
      values[i] = std::move(value);
      if (!error && --left != 0) return;
      last.swap(then);
    }
    if (last) last(error, error ? std::string() : join_array(values));
  }
};

}  // namespace

result_handle::result_handle(app where, std::string id, std::string name, bool is_ignored)
    : where_(std::move(where)),
      id_(std::move(id)),
      cells_{std::make_shared<result_cell>(id_, std::move(name))},
      ignored_{is_ignored} {
  if (is_eager(where_)) {
    cluster::look(where_, cells_);
  } else if (!is_ignored) {
    result_hub::note(where_, cells_.front());
  }
}

result_handle::result_handle(app where, std::string id, std::vector<std::string> ids, std::vector<bool> ignored)
    : where_(std::move(where)), id_(std::move(id)), is_group_(true), ignored_(std::move(ignored)) {
  for (std::string& one : ids) cells_.push_back(std::make_shared<result_cell>(std::move(one), std::string()));
  if (is_eager(where_)) cluster::look(where_, cells_);
}

result_handle::result_handle(app where, std::string id, std::vector<std::shared_ptr<result_cell>> cells, bool is_group,
                             std::vector<bool> ignored)
    : where_(std::move(where)),
      id_(std::move(id)),
      cells_(std::move(cells)),
      is_group_(is_group),
      ignored_(std::move(ignored)) {}

std::vector<std::string> result_handle::ids() const {
  std::vector<std::string> all;
  if (!is_group_) return all;
  for (const auto& cell : cells_) all.push_back(cell->id());
  return all;
}

bool result_handle::ready() const {
  cluster::look(where_, cells_);
  return std::ranges::all_of(cells_, [](const auto& cell) { return cell->end() != nullptr; });
}

std::string result_handle::state() const { return look().state; }

std::string result_handle::info() const { return look().info; }

task_snapshot result_handle::look() const {
  const auto texts = cluster::look(where_, cells_);
  if (!is_group_) return snapshot(*cells_.front(), texts.front());
  task_snapshot all{std::string(state::success), "null"};
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    std::string one = snapshot(*cells_[i], texts[i]).state;
    if (one == state::failure || one == state::revoked) return {std::move(one), "null"};
    if (one != state::success) all.state = state::pending;
  }
  return all;
}

bool result_handle::successful() const { return state() == state::success; }

bool result_handle::failed() const { return state() == state::failure; }

void result_handle::revoke(bool terminate, std::string_view signal) const {
  if (is_eager(where_)) return;
  std::vector<std::string> ids;
  ids.reserve(cells_.size());
  for (const auto& cell : cells_) ids.push_back(json_string(cell->id()));
  tell_workers(where_, "revoke",
               join_object({{"task_id", is_group_ ? join_array(ids) : ids.front()},
                            {"terminate", terminate ? "true" : "false"},
                            {"signal", json_string(signal)}}));
}

void result_handle::forget() const {
  std::vector<std::string> ids;
  ids.reserve(cells_.size());
  for (const auto& cell : cells_) ids.push_back(cell->id());
  if (!is_eager(where_)) return where_.results()->forget(ids);
  auto& shared = result_hub_access::state(where_);
  const std::lock_guard lock(shared.mutex);
  for (const std::string& id : ids) shared.eager.forget(id);
}

void result_handle::require_result() const {
  if (const auto found = std::ranges::find(ignored_, true); found != ignored_.end()) {
    const auto i = static_cast<std::size_t>(found - ignored_.begin());
    throw std::logic_error(described(*cells_[i]) +
                           " was sent with ignore_result: there is no result that could be waited for");
  }
  if (!is_eager(where_)) return;
  cluster::look(where_, cells_);
  for (const auto& cell : cells_) {
    if (cell->end() != nullptr) continue;
    throw std::logic_error(described(*cell) + " has not run: an eager app runs tasks when they are sent, or never");
  }
}

std::string result_handle::value(std::optional<std::chrono::nanoseconds> limit) const {
  auto all = result_access::elements(*this, limit);
  return is_group_ ? join_array(all) : std::move(all.front());
}

void result_handle::when_done(outcome_call then) const {
  if (cells_.empty()) return then(nullptr, "[]");
  const auto wait = std::make_shared<group_wait>();
  wait->values.resize(cells_.size());
  wait->left = cells_.size();
  if (is_group_) {
    wait->then = std::move(then);
  } else {
    wait->then = [then = std::move(then), wait = wait.get()](const std::exception_ptr& error, const std::string&) {
      then(error, wait->values.front());
    };
  }
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    cells_[i]->when_done([wait, i](const task_end& end) { wait->part(i, end); });
  }
  if (std::ranges::all_of(cells_, [](const auto& cell) { return cell->end() != nullptr; })) return;
  result_hub::watch_with_noted(where_, cells_, true);
}

const std::string& result_access::id_of(const result_cell& cell) noexcept { return cell.id(); }

void result_access::fail_with(const result_handle& of, const std::vector<earlier_tasks>& before) {
  if (is_eager(of.where_)) return;  // it has failed, if it has
  std::map<earlier_tasks, std::vector<std::shared_ptr<result_cell>>> later;
  for (std::size_t i = 0; i < of.cells_.size(); ++i) {
    if (!before[i]->empty()) later[before[i]].push_back(of.cells_[i]);
  }
  std::map<std::string, std::shared_ptr<result_cell>> known;
  for (const auto& [list, cells] : later) {
    std::vector<earlier_cell> those;
    for (const earlier_task& one : *list) {
      auto& cell = known[one.id];
      if (cell == nullptr) cell = std::make_shared<result_cell>(one.id, std::string());
      those.push_back({cell, one.in_header});
    }
    result_cell::fail_with(cells, those);
  }
}

void result_access::check_wait(const result_handle& of, bool blocks) {
  const bool is_in_task = this_call::running();
  if (!is_in_task && !(blocks && result_hub::is_here())) return;
  const result_cell* const open = first_open(of.where_, of.cells_);
  if (open == nullptr) return;
  if (is_in_task) {
    throw std::logic_error(described(*open) + " has not ended, and task " + this_call::task() +
                           " must not wait for it: when all that workers run waits for tasks, none of these ever runs. "
                           "Have what comes next called with the result: link, chain or chord; or wait with "
                           "future().get() if it has workers of its own");
  }
  throw std::logic_error(described(*open) +
                         " has not ended, and it cannot be waited for in a callback of a result: on this thread all "
                         "results are heard of. Use then() or co_await");
}

void detail::check_await(const result_handle& of) { result_access::check_wait(of, false); }

std::vector<std::string> result_access::elements(const result_handle& of,
                                                 std::optional<std::chrono::nanoseconds> limit) {
  of.require_result();
  const auto& cells = of.cells_;
  std::vector<std::string> values;
  if (cells.empty()) return values;
  if (std::ranges::any_of(cells, [](const auto& cell) { return cell->end() == nullptr; })) {
    check_wait(of, true);
    result_hub::watch_with_noted(of.where_, cells, false);
  }
  const deadline until = deadline_after(limit);
  values.reserve(cells.size());
  for (const auto& cell : cells) {
    if (!cell->wait_until(until)) throw timed_out(waited_text(*cell, *limit));
    values.push_back(cell->end()->value());
  }
  return values;
}

std::vector<std::string> result_access::states(const result_handle& of) {
  const auto texts = look(of.where_, of.cells_);
  std::vector<std::string> all;
  all.reserve(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) all.push_back(snapshot(*of.cells_[i], texts[i]).state);
  return all;
}

}  // namespace tutti::cluster
