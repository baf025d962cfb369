// Which ids the watch hears of is changed under `order` alone, together with the table: so a result that comes between
// the end of one wait and the begin of the next one for the same task is not missed. `mutex` guards the table; both are
// taken in that order. Cells are settled behind both, as that runs foreign code.
#include <tutti/base/error.hpp>
#include <tutti/cluster/failure.hpp>
#include <tutti/cluster/inside/app_state.hpp>
#include <tutti/cluster/result_hub.hpp>

#include <algorithm>
#include <set>
#include <thread>
#include <unordered_map>

namespace tutti::cluster {
namespace {

thread_local bool hears_here = false;  // this thread is a hub's

struct waiting_cell {
  std::weak_ptr<result_cell> cell;
  std::shared_ptr<result_cell> kept;  // also when nobody else has it
  const result_cell* address = nullptr;
};

}  // namespace

struct result_hub::core {
  explicit core(std::unique_ptr<result_watch> w) : watch(std::move(w)) {}

  const std::unique_ptr<result_watch> watch;
  std::mutex order;
  mutable std::mutex mutex;
  std::unordered_map<std::string, std::vector<waiting_cell>> table;
  std::atomic<bool> stopping{false};
  std::thread thread;  // under `order`

  void run() {
    hears_here = true;
    while (!stopping.load()) {
      std::vector<std::string> ended;
      for (auto& [id, text] : watch->next(std::chrono::hours(1))) {
        if (settle(id, text)) ended.push_back(std::move(id));
      }
      forget(ended);
    }
  }

  // False: it goes on.
  bool settle(const std::string& id, const std::string& text) {
    auto end = std::make_shared<task_end>();
    try {
      end->result = decode_result(text);
      if (!state::is_final(end->result.status)) return false;
    } catch (const error&) {
      end->error = std::current_exception();
    }
    for (const auto& cell : take(id)) cell->settle(end);
    return true;
  }

  std::vector<std::shared_ptr<result_cell>> take(const std::string& id) {
    std::vector<std::shared_ptr<result_cell>> cells;
    const std::lock_guard lock(mutex);
    const auto found = table.find(id);
    if (found == table.end()) return cells;
    for (waiting_cell& one : found->second) {
      if (auto cell = one.cell.lock()) cells.push_back(std::move(cell));
    }
    const auto node = table.extract(found);  // what it keeps, `cells` keep too
    return cells;
  }

  void forget(const std::vector<std::string>& ids) {
    if (ids.empty()) return;
    const std::lock_guard ordered(order);
    forget_in_order(ids);
  }

  void forget_in_order(const std::vector<std::string>& ids) {
    std::vector<std::string> gone;
    {
      const std::lock_guard lock(mutex);
      std::ranges::copy_if(ids, std::back_inserter(gone), [this](const auto& id) { return !table.contains(id); });
    }
    if (!gone.empty()) watch->remove(gone);
  }

  // Whether nobody waits for its task any more.
  bool erase(const result_cell& cell) {
    const std::lock_guard lock(mutex);
    const auto found = table.find(cell.id());
    if (found == table.end()) return false;
    std::erase_if(found->second, [&](const waiting_cell& one) { return one.address == &cell; });
    if (!found->second.empty()) return false;
    table.erase(found);
    return true;
  }

  void leave(const result_cell& cell) {
    if (erase(cell)) forget({cell.id()});
  }

  // As if it had not been watched: who waits for it next tries again. Under `order`.
  void take_back(result_cell& cell) noexcept {
    {
      const std::lock_guard lock(cell.mutex_);
      cell.is_watched_ = false;
      cell.leave_ = nullptr;
    }
    if (!erase(cell)) return;
    try {
      watch->remove(std::span(&cell.id(), 1));
    } catch (const std::exception&) {  // what is heard of it is for nobody
    }
  }
};

std::string task_end::value() const {
  if (error) std::rethrow_exception(error);
  return value_of(result);
}

result_cell::~result_cell() {
  if (leave_) leave_(this);
  if (end_ == nullptr) promise_.set_value();  // nobody is left to be told; a broken promise would be a warning
}

std::shared_ptr<const task_end> result_cell::end() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

bool result_cell::wait_until(const std::optional<std::chrono::steady_clock::time_point>& deadline) const {
  if (!deadline) {
    done_.wait();
    return true;
  }
  return done_.wait_for(*deadline - std::chrono::steady_clock::now());
}

void result_cell::when_done(std::function<void(const task_end&)> then) {
  {
    const std::lock_guard lock(mutex_);
    if (end_ == nullptr) {
      then_.push_back(std::move(then));
      return;
    }
  }
  then(*end_);  // never changes any more
}

void result_cell::settle(std::shared_ptr<const task_end> end) {
  std::vector<std::function<void(const task_end&)>> then;
  std::shared_ptr<const std::vector<earlier_cell>> before;
  {
    const std::lock_guard lock(mutex_);
    if (end_ != nullptr) return;
    end_ = std::move(end);
    then.swap(then_);
    before.swap(before_);
  }
  promise_.set_value();
  for (const auto& call : then) call(*end_);
}

void result_cell::leave() {
  std::function<void(const result_cell*)> leave;
  {
    const std::lock_guard lock(mutex_);
    leave = leave_;
  }
  if (leave) leave(this);
}

void result_cell::fail_with(const std::vector<std::shared_ptr<result_cell>>& cells,
                            const std::vector<earlier_cell>& before) {
  const auto all = std::make_shared<const std::vector<earlier_cell>>(before);
  for (const auto& cell : cells) {
    const std::lock_guard lock(cell->mutex_);
    cell->before_ = all;
  }
  using weak_cells = std::vector<std::weak_ptr<result_cell>>;
  const auto later = std::make_shared<const weak_cells>(cells.begin(), cells.end());
  for (const earlier_cell& one : before) {
    one.cell->when_done([later, in_header = one.in_header](const task_end& end) {
      if (end.error || end.result.status == state::success) return;
      if (in_header && end.result.status != state::revoked) return;
      auto told = std::make_shared<task_end>(end);
      if (in_header) {
        told->result.status = state::failure;
        told->result.failure = celery_failure("ChordError", "Dependency " + end.result.id + " was revoked");
      }
      for (const auto& weak : *later) {
        const auto cell = weak.lock();
        if (cell == nullptr) continue;
        cell->settle(told);
        cell->leave();  // what the hub waits for may never come
      }
    });
  }
}

void result_cell::add_before(std::vector<std::shared_ptr<result_cell>>& cells) {
  std::set<const void*> added;
  for (std::size_t i = 0, count = cells.size(); i < count; ++i) {
    std::shared_ptr<const std::vector<earlier_cell>> before;
    {
      const std::lock_guard lock(cells[i]->mutex_);
      before = cells[i]->before_;
    }
    if (before == nullptr || !added.insert(before.get()).second) continue;
    for (const auto& [cell, in_header] : *before) {
      if (cell->end() == nullptr && added.insert(cell.get()).second) cells.push_back(cell);
    }
  }
}

result_hub::result_hub(const std::shared_ptr<result_store>& store) : core_(std::make_shared<core>(store->watch())) {}

result_hub::~result_hub() {
  core_->stopping = true;
  core_->watch->wake();
  if (core_->thread.joinable()) {
    // The last one to need an app may be a callback.
    if (core_->thread.get_id() == std::this_thread::get_id()) {
      core_->thread.detach();
    } else {
      core_->thread.join();
    }
  }
  std::vector<std::shared_ptr<result_cell>> kept;
  {
    const std::lock_guard lock(core_->mutex);
    for (auto& [id, cells] : core_->table) {
      for (waiting_cell& one : cells) {
        if (one.kept != nullptr) kept.push_back(std::move(one.kept));
      }
    }
  }
  if (kept.empty()) return;
  const auto end = std::make_shared<task_end>();
  end->error = std::make_exception_ptr(closed("the app is gone through which the result was waited for"));
  for (const auto& cell : kept) cell->settle(end);
}

bool result_hub::is_here() noexcept { return hears_here; }

void result_hub::watch(std::span<const std::shared_ptr<result_cell>> given, bool keep) {
  std::vector<std::shared_ptr<result_cell>> cells(given.begin(), given.end());
  result_cell::add_before(cells);
  std::vector<std::string> ids;
  std::vector<result_cell*> entered;
  entered.reserve(cells.size());
  const std::lock_guard ordered(core_->order);
  if (!core_->thread.joinable()) core_->thread = std::thread([core = core_] { core->run(); });
  try {
    enter(std::span(cells).first(given.size()), keep, ids, entered);
    enter(std::span(cells).subspan(given.size()), false, ids, entered);  // their own keep these
    if (!ids.empty()) core_->watch->add(ids);
    for (result_cell* const cell : entered) {  // one that what came before it has ended meanwhile left too soon
      if (cell->end() != nullptr && core_->erase(*cell)) core_->forget_in_order({cell->id()});
    }
  } catch (...) {
    for (result_cell* const cell : entered) core_->take_back(*cell);
    throw;
  }
}

// Under `order`. `ids`: that the watch must hear of; `entered`: cells that are new.
void result_hub::enter(std::span<const std::shared_ptr<result_cell>> cells, bool keep, std::vector<std::string>& ids,
                       std::vector<result_cell*>& entered) {
  for (const auto& cell : cells) {
    bool is_new = false;
    {
      const std::lock_guard lock(cell->mutex_);
      if (cell->end_ != nullptr) continue;
      is_new = !std::exchange(cell->is_watched_, true);
      if (is_new) {
        entered.push_back(cell.get());
        cell->leave_ = [weak = std::weak_ptr(core_)](const result_cell* self) {
          if (const auto hub = weak.lock()) hub->leave(*self);
        };
      }
    }
    const std::lock_guard lock(core_->mutex);
    if (is_new) {
      auto& waiting = core_->table[cell->id()];
      if (waiting.empty()) ids.push_back(cell->id());
      waiting.push_back({cell, keep ? cell : nullptr, cell.get()});
    } else if (keep) {
      if (const auto found = core_->table.find(cell->id()); found != core_->table.end()) {
        for (waiting_cell& one : found->second) {
          if (one.address == cell.get()) one.kept = cell;
        }
      }
    }
  }
}

void result_hub::note(const app& where, const std::shared_ptr<result_cell>& cell) {
  auto& shared = result_hub_access::state(where);
  const std::lock_guard lock(shared.mutex);
  if (shared.sent.size() >= shared.prune_sent_at) {
    std::erase_if(shared.sent, [](const auto& one) { return one.expired(); });
    shared.prune_sent_at = std::max<std::size_t>(1024, 2 * shared.sent.size());
  }
  shared.sent.push_back(cell);
}

void result_hub::watch_with_noted(const app& where, std::vector<std::shared_ptr<result_cell>> cells, bool keep) {
  const auto hub = of(where);
  hub->watch(cells, keep);
  std::vector<std::weak_ptr<result_cell>> sent;
  {
    auto& shared = result_hub_access::state(where);
    const std::lock_guard lock(shared.mutex);
    sent.swap(shared.sent);
  }
  cells.clear();
  for (const auto& one : sent) {
    if (auto cell = one.lock()) cells.push_back(std::move(cell));
  }
  if (!cells.empty()) hub->watch(cells, false);
}

void result_hub::unwatch(std::span<const std::shared_ptr<result_cell>> cells) {
  for (const auto& cell : cells) core_->leave(*cell);
}

std::size_t result_hub::watched() const {
  const std::lock_guard lock(core_->mutex);
  return core_->table.size();
}

std::shared_ptr<result_hub> result_hub::of(const app& where) {
  auto& shared = result_hub_access::state(where);
  {
    const std::lock_guard lock(shared.mutex);
    if (shared.hub != nullptr) return shared.hub;
  }
  auto made = std::make_shared<result_hub>(where.results());
  const std::lock_guard lock(shared.mutex);
  if (shared.hub == nullptr) shared.hub = std::move(made);
  return shared.hub;
}

}  // namespace tutti::cluster
