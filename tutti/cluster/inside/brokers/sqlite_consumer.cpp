#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/brokers/broker_link.hpp>
#include <tutti/cluster/inside/brokers/sqlite_consumer.hpp>
#include <tutti/cluster/inside/brokers/sqlite_leases.hpp>
#include <tutti/cluster/inside/brokers/sqlite_messages.hpp>
#include <tutti/process/process_futex.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace tutti::cluster {
namespace {

using detail::broker_line;
using detail::sqlite_bell;
using detail::sqlite_database;
using std::chrono::milliseconds;
using steady_time = std::chrono::steady_clock::time_point;
constexpr auto tasks = sqlite_bell::kind::tasks;

class sqlite_consumer final : public consumer {
 public:
  sqlite_consumer(const std::string& path, const broker_options& options, std::string name,
                  std::vector<std::string> queues)
      : database_(sqlite_database::of(path, options.patience)),
        name_(std::move(name)),
        lease_(options.lease),
        link_("sqlite:" + path),
        queues_(std::move(queues)) {
    link_.found(broker_line::keeping);
    std::int64_t id = 0;
    const std::int64_t asked = detail::milliseconds_since_boot();
    const bool returned = database_->write([&] {
      id = detail::take_lease(*database_, name_, lease_);
      return detail::end_dead_leases(*database_, false);  // what kept us waiting for the file may have kept the others
    });
    id_ = id;
    note_lease(asked);
    if (returned) database_->bell()->ring(tasks);
    keeper_ = std::thread([this] { keep_lease(); });
  }

  ~sqlite_consumer() override {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    keeper_.join();
    try {
      database_->write([&] { detail::end_lease(*database_, id_, false); });
      database_->bell()->ring(tasks);
    } catch (const broker_error&) {
      // Its lease ends by itself.
    }
  }

  std::vector<delivery> receive(std::size_t most, std::chrono::nanoseconds patience) override {
    const steady_time late = tutti::detail::machine_time_after(patience);
    std::vector<delivery> taken;
    for (;;) {
      const std::uint32_t seen = database_->bell()->count(tasks);
      if (woken_.exchange(false)) return taken;  // rung after it was set, so one set from here on is heard
      steady_time until = late;
      bool reached = true;
      try {
        const wall_time due = take(most, taken);
        if (due != wall_time::max())
          until = std::min(late, tutti::detail::machine_time_after(due - std::chrono::system_clock::now()));
        link_.found(broker_line::receiving);
      } catch (const broker_error& e) {
        reached = false;
        link_.lost(broker_line::receiving, e.what());
        until = std::min(late, std::chrono::steady_clock::now() + milliseconds(200));
      }
      if (!taken.empty() || most == 0 || std::chrono::steady_clock::now() >= late) return taken;
      database_->bell()->wait(tasks, seen, until);
      if (!reached) return taken;
    }
  }

  void wake() noexcept override {
    woken_ = true;
    database_->bell()->ring(tasks);
  }

  std::vector<settle_end> settle(std::span<const settlement> settled) override {
    std::vector<settle_end> ends(settled.size());
    for (milliseconds pause(20);; pause = std::min(pause * 2, milliseconds(1000))) {
      try {
        bool rings = false;  // also for who waits here because all was held
        database_->write([&] {
          for (std::size_t i = 0; i < settled.size(); ++i) {
            const bool is_done = detail::settle_message(*database_, settled[i]);
            ends[i] = is_done ? settle_end::done : settle_end::gone;
            rings = rings || (is_done && (settled[i].give_back || !settled[i].follow.empty()));
          }
        });
        link_.found(broker_line::settling);
        if (rings) database_->bell()->ring(tasks);
        return ends;
      } catch (const broker_refusal&) {
        link_.found(broker_line::settling);
        throw;  // it would be refused for ever
      } catch (const broker_error& e) {
        link_.lost(broker_line::settling, e.what());
        std::unique_lock lock(mutex_);
        if (stopped_) throw;
        changed_.wait_for(lock, pause, [&] { return stopped_; });
      }
    }
  }

  bool holds(const std::string& tag) override {
    try {
      if (detail::milliseconds_since_boot() < sure_until_.load() && detail::holder_of(tag) == sure_id_.load())
        return true;
      return database_->read([&] { return detail::is_held(*database_, tag); });
    } catch (const broker_error&) {
      return true;
    }
  }

  void stop() noexcept override {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

  bool connected() const noexcept override { return link_.is_up(); }

  void set_queues(std::vector<std::string> queues) override {
    {
      const std::lock_guard lock(mutex_);
      queues_ = std::move(queues);
    }
    database_->bell()->ring(tasks);
  }

 private:
  // write() for what may take another id, which is ours only when it is committed: a number that was undone becomes
  // somebody else's.
  template <class Work>
  auto with_id(Work work) {
    const std::lock_guard lock(id_mutex_);
    std::int64_t id = id_;
    const auto result = database_->write([&] { return work(id); });
    id_ = id;
    return result;
  }

  // When there will be more, as far as the clock is concerned; max() when some were taken.
  wall_time take(std::size_t most, std::vector<delivery>& taken) {
    std::unique_lock lock(mutex_);
    const std::vector<std::string> queues = queues_;
    lock.unlock();
    wall_time due = wall_time::max();
    const bool none = database_->read([&] {  // this one does not lock out those who write
      due = detail::next_due(*database_);
      return due > std::chrono::system_clock::now() &&
             std::none_of(queues.begin(), queues.end(), [&](const auto& queue) {
               return database_->number("SELECT EXISTS(SELECT 1 FROM ready WHERE queue = ?)", queue) != 0;
             });
    });
    if (none) return due;
    try {
      with_id([&](std::int64_t& id) {
        taken.clear();
        if (!has_lease(id)) {
          sure_until_.store(0);  // what was held under the old one is not ours: see holds()
          id = detail::take_lease(*database_, name_, lease_);
        }
        detail::move_due(*database_);
        for (const std::string& queue : queues) detail::take_messages(*database_, queue, most, id, turn_, taken);
        due = detail::next_due(*database_);
        return true;
      });
    } catch (...) {
      taken.clear();  // nothing of it is held
      throw;
    }
    return due;
  }

  bool has_lease(std::int64_t id) { return database_->number("SELECT count(*) FROM consumer WHERE id = ?", id) != 0; }

  // It was renewed after that moment.
  void note_lease(std::int64_t asked) {
    const std::lock_guard lock(id_mutex_);
    sure_id_.store(id_);
    sure_until_.store(asked + lease_.count());
  }

  void keep_lease() noexcept {
    milliseconds pause = lease_ / 4;
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, pause, [&] { return ended_; })) {
      lock.unlock();
      try {
        const std::int64_t asked = detail::milliseconds_since_boot();
        const bool returned = with_id([&](std::int64_t& id) {
          // Whatever made us late may have kept others for longer, whose turn was before: who is late judges nobody,
          // and in the quarter of a lease until the next time they all have renewed theirs.
          const bool in_time = detail::lease_left(*database_, id) >= lease_ / 2;
          if (!detail::renew_lease(*database_, id, lease_)) id = detail::take_lease(*database_, name_, lease_);
          return detail::end_dead_leases(*database_, in_time);
        });
        note_lease(asked);
        if (returned) database_->bell()->ring(tasks);
        link_.found(broker_line::keeping);
        pause = lease_ / 4;
      } catch (const std::exception& e) {
        link_.lost(broker_line::keeping, e.what());
        pause = lease_ / 16;  // before those are judged whom the same has kept waiting
      }
      lock.lock();
    }
  }

  const std::shared_ptr<sqlite_database> database_;
  const std::string name_;
  const milliseconds lease_;
  std::mutex id_mutex_;             // before the database's; of what follows
  std::int64_t id_ = 0, turn_ = 0;  // a new id when we were taken for dead
  // Until then nobody has taken what we hold under that id: holds() need not look. The id is stored first.
  std::atomic<std::int64_t> sure_id_{0}, sure_until_{0};
  std::atomic<bool> woken_{false};
  detail::broker_link link_;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::vector<std::string> queues_;
  bool stopped_ = false, ended_ = false;
  std::thread keeper_;
};

}  // namespace

std::unique_ptr<consumer> make_sqlite_consumer(const std::string& path, const broker_options& options,
                                               const std::string& name, std::vector<std::string> queues) {
  return std::make_unique<sqlite_consumer>(path, options, name, std::move(queues));
}

}  // namespace tutti::cluster
