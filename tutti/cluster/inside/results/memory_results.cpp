#include <tutti/base/at_fork.hpp>
#include <tutti/cluster/inside/results/memory_results.hpp>
#include <tutti/process/process_futex.hpp>

#include <condition_variable>
#include <map>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

namespace tutti::cluster {
namespace {

using std::chrono::nanoseconds;
using steady_time = std::chrono::steady_clock::time_point;

class memory_watch;

class memory_results final : public result_store, public std::enable_shared_from_this<memory_results> {
 public:
  explicit memory_results(std::string name) : name_(std::move(name)) {}

  void store(std::span<const stored_result> results) override;

  std::vector<std::optional<std::string>> fetch(std::span<const std::string> ids) override {
    const std::lock_guard lock(mutex_);
    drop_expired();
    std::vector<std::optional<std::string>> texts;
    for (const std::string& id : ids) {
      const auto found = kept_.find(id);
      texts.push_back(found != kept_.end() ? std::optional(found->second.text) : std::nullopt);
    }
    return texts;
  }
  void forget(std::span<const std::string> ids) override {
    const std::lock_guard lock(mutex_);
    for (const std::string& id : ids) {
      const auto found = kept_.find(id);
      if (found != kept_.end()) drop(found);
    }
  }
  std::unique_ptr<result_watch> watch() override;

  void begin_chord(const std::string& group, std::int64_t size) override {
    const std::lock_guard lock(mutex_);
    drop_expired();
    chord_of(group).size = size;
  }
  std::optional<chord_parts> add_chord_part(const std::string& group, std::int64_t index, const std::string& id,
                                            const std::string& text) override {
    const std::lock_guard lock(mutex_);
    chord& one = chord_of(group);
    if (one.ids.insert(id).second) one.parts.emplace(index, text);
    if (one.size < 0 || static_cast<std::int64_t>(one.parts.size()) < one.size) return std::nullopt;
    if (one.completed.empty()) one.completed = id;
    if (one.completed != id) return std::nullopt;
    chord_parts all;
    for (const auto& [at, part] : one.parts) all.push_back(part);
    return all;
  }
  void end_chord(const std::string& group) override {
    const std::lock_guard lock(mutex_);
    chords_.erase(group);
  }

  std::string name() const override { return "memory://" + name_; }

 private:
  friend memory_watch;
  using ends = std::multimap<steady_time, std::string>;
  struct kept {
    std::string text;
    bool is_success = false, is_passing = false;
    ends::iterator end;
  };
  using kept_results = std::unordered_map<std::string, kept>;
  struct chord {
    std::int64_t size = -1;  // not known yet
    steady_time last;        // when it began, or a part came
    std::unordered_set<std::string> ids;
    std::multimap<std::int64_t, std::string> parts;
    std::string completed;  // by the part of this task
  };

  // The rest: under the mutex.
  void drop(kept_results::iterator which) {
    if (which->second.end != ends_.end()) ends_.erase(which->second.end);
    kept_.erase(which);
  }
  void drop_expired() {
    const steady_time now = std::chrono::steady_clock::now();
    while (!ends_.empty() && ends_.begin()->first <= now) drop(kept_.find(ends_.begin()->second));
    // Chords whose parts will never be complete, and parts that came once more after the end.
    if (now < next_chords_) return;
    next_chords_ = now + std::chrono::hours(1);
    std::erase_if(chords_, [&](const auto& one) { return now - one.second.last > std::chrono::hours(24 * 30); });
  }
  chord& chord_of(const std::string& group) {
    chord& one = chords_[group];
    one.last = std::chrono::steady_clock::now();
    return one;
  }

  const std::string name_;
  std::mutex mutex_;
  kept_results kept_;
  ends ends_;
  std::unordered_map<std::string, chord> chords_;
  steady_time next_chords_{};
  std::unordered_multimap<std::string, memory_watch*> watched_;
};

class memory_watch final : public result_watch {
 public:
  explicit memory_watch(std::shared_ptr<memory_results> store) : store_(std::move(store)) {}
  ~memory_watch() override {
    const std::lock_guard lock(store_->mutex_);
    for (const std::string& id : ids_) unlink(id);
  }

  void add(std::span<const std::string> ids) override {
    const std::lock_guard lock(store_->mutex_);
    store_->drop_expired();
    for (const std::string& id : ids) {
      if (ids_.insert(id).second) store_->watched_.emplace(id, this);
      const auto found = store_->kept_.find(id);
      if (found != store_->kept_.end()) came_.emplace_back(id, found->second.text);
    }
    if (!came_.empty()) changed_.notify_all();
  }
  void remove(std::span<const std::string> ids) override {
    const std::lock_guard lock(store_->mutex_);
    for (const std::string& id : ids)
      if (ids_.erase(id) != 0) unlink(id);
  }
  std::vector<std::pair<std::string, std::string>> next(nanoseconds patience) override {
    const steady_time late = tutti::detail::machine_time_after(patience);
    std::unique_lock lock(store_->mutex_);
    while (!std::exchange(woken_, false) && came_.empty()) {
      if (late == steady_time::max()) {
        changed_.wait(lock);
      } else if (changed_.wait_until(lock, late) == std::cv_status::timeout) {
        break;
      }
    }
    return std::exchange(came_, {});
  }
  void wake() noexcept override {
    const std::lock_guard lock(store_->mutex_);
    woken_ = true;
    changed_.notify_all();
  }

 private:
  friend memory_results;
  void unlink(const std::string& id) {
    const auto [from, to] = store_->watched_.equal_range(id);
    store_->watched_.erase(std::find_if(from, to, [&](const auto& one) { return one.second == this; }));
  }

  const std::shared_ptr<memory_results> store_;
  std::unordered_set<std::string> ids_;  // each is in watched_, too
  std::vector<std::pair<std::string, std::string>> came_;
  bool woken_ = false;
  std::condition_variable changed_;
};

void memory_results::store(std::span<const stored_result> results) {
  const std::lock_guard lock(mutex_);
  drop_expired();
  for (const stored_result& result : results) {
    const auto [found, is_new] = kept_.try_emplace(result.id);
    kept& one = found->second;
    if (is_new) {
      one.end = ends_.end();
    } else if ((one.is_success && !result.is_success) || (!one.is_passing && result.is_passing)) {
      continue;
    }
    if (one.end != ends_.end()) ends_.erase(one.end);
    one.text = result.text;
    one.is_success = result.is_success;
    one.is_passing = result.is_passing;
    const auto life = result.kept_for();
    one.end = life.count() > 0 ? ends_.emplace(tutti::detail::machine_time_after(life), result.id) : ends_.end();
    const auto [from, to] = watched_.equal_range(result.id);
    for (auto i = from; i != to; ++i) {
      i->second->came_.emplace_back(result.id, result.text);
      i->second->changed_.notify_all();
    }
  }
}

std::unique_ptr<result_watch> memory_results::watch() { return std::make_unique<memory_watch>(shared_from_this()); }

struct named_results {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<memory_results>> all;
};

}  // namespace

std::shared_ptr<result_store> make_memory_results(const broker_url& where) {
  auto& named = process_wide<named_results>();
  const std::lock_guard lock(named.mutex);
  std::erase_if(named.all, [](const auto& one) { return one.second.expired(); });
  std::shared_ptr<memory_results> result = named.all[where.path].lock();
  if (!result) named.all[where.path] = result = std::make_shared<memory_results>(where.path);
  return result;
}

}  // namespace tutti::cluster
