#include <tutti/base/at_fork.hpp>
#include <tutti/cluster/inside/brokers/channel_pattern.hpp>
#include <tutti/cluster/inside/brokers/memory_broker.hpp>
#include <tutti/cluster/inside/brokers/memory_queue.hpp>
#include <tutti/process/process_futex.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_map>

namespace tutti::cluster {
namespace {

using detail::memory_queue;
using std::chrono::nanoseconds;
using steady_time = std::chrono::steady_clock::time_point;

// Who sleeps in a receive(). Under the broker's mutex.
struct sleeper {
  bool woken = false;
  std::condition_variable changed;

  // False when the time is up.
  bool sleep(std::unique_lock<std::mutex>& lock, steady_time until) {
    if (until != steady_time::max()) return changed.wait_until(lock, until) == std::cv_status::no_timeout;
    changed.wait(lock);
    return true;
  }
};

class memory_consumer;
class memory_listener;

class memory_broker final : public broker, public std::enable_shared_from_this<memory_broker> {
 public:
  explicit memory_broker(std::string name) : name_(std::move(name)) {}

  void publish(std::span<const outgoing_message> messages) override {
    const std::lock_guard lock(mutex_);
    for (const outgoing_message& message : messages) add(message);
  }
  std::unique_ptr<consumer> consume(const std::string& name, std::vector<std::string> queues) override;

  std::vector<queue_info> queues(std::span<const std::string> names) override {
    const std::lock_guard lock(mutex_);
    std::vector<queue_info> result;
    for (const std::string& name : names) result.push_back(queues_[name].info(name));
    if (!names.empty()) return result;
    for (auto& [name, queue] : queues_) {
      queue_info info = queue.info(name);
      if (info.waiting + info.held + info.delayed != 0) result.push_back(std::move(info));
    }
    return result;
  }
  std::vector<std::string> peek(const std::string& queue, std::size_t most) override {
    const std::lock_guard lock(mutex_);
    return queues_[queue].peek(most);
  }
  std::uint64_t purge(const std::string& queue) override {
    const std::lock_guard lock(mutex_);
    return queues_[queue].purge();
  }

  void broadcast(const std::string& channel, const std::string& text) override {
    send(detail::broadcast_channel(channel), text);
  }
  std::unique_ptr<listener> listen(const std::string& channel) override {
    return hear(detail::broadcast_channel(channel));
  }
  void answer(const std::string& exchange, const std::string& routing_key, const std::string& text) override {
    send(detail::answer_channel(exchange, routing_key), text);
  }
  std::unique_ptr<listener> answers(const std::string& routing_key) override {
    return hear(detail::answer_channel("reply.celery.pidbox", routing_key));
  }

  std::string name() const override { return "memory://" + name_; }
  bool is_shared() const noexcept override { return false; }

 private:
  friend memory_consumer;
  friend memory_listener;

  std::unique_ptr<listener> hear(std::string pattern);
  void send(const std::string& channel, const std::string& text);

  // The rest: under the mutex.
  void add(const outgoing_message& message) {
    queues_[message.queue].add(message, ++last_);
    notify(message.queue);
  }
  void notify(const std::string& queue);

  const std::string name_;
  std::mutex mutex_;
  std::map<std::string, memory_queue> queues_;
  std::uint64_t last_ = 0;  // number of the newest message
  std::uint64_t tags_ = 0;
  std::vector<memory_consumer*> waiting_;  // asleep in receive()
  std::vector<memory_listener*> listeners_;
};

class memory_consumer final : public consumer {
 public:
  memory_consumer(std::shared_ptr<memory_broker> owner, std::vector<std::string> queues)
      : broker_(std::move(owner)), names_(std::move(queues)) {}
  ~memory_consumer() override {
    const std::lock_guard lock(broker_->mutex_);
    for (auto& [tag, one] : held_) give_back(std::move(one));
  }

  std::vector<delivery> receive(std::size_t most, nanoseconds patience) override {
    const steady_time late = tutti::detail::machine_time_after(patience);
    std::unique_lock lock(broker_->mutex_);
    std::vector<delivery> result;
    for (bool in_time = true;;) {
      if (std::exchange(sleeper_.woken, false)) return result;
      const wall_time due = take(most, result);
      if (!result.empty() || most == 0 || !in_time) return result;
      const auto now = std::chrono::system_clock::now();
      // A wall clock that is set has its effect when the time is up, at the latest.
      const steady_time until =
          due == wall_time::max() ? late : std::min(late, tutti::detail::machine_time_after(due - now));
      broker_->waiting_.push_back(this);
      sleeper_.sleep(lock, until);
      std::erase(broker_->waiting_, this);
      in_time = std::chrono::steady_clock::now() < late;
    }
  }
  void wake() noexcept override {
    const std::lock_guard lock(broker_->mutex_);
    sleeper_.woken = true;
    sleeper_.changed.notify_all();
  }
  std::vector<settle_end> settle(std::span<const settlement> settled) override {
    std::vector<settle_end> ends(settled.size(), settle_end::gone);
    const std::lock_guard lock(broker_->mutex_);
    for (std::size_t i = 0; i < settled.size(); ++i) {
      const settlement& one = settled[i];
      const auto found = held_.find(one.tag);
      if (found == held_.end()) continue;  // done before
      ends[i] = settle_end::done;
      for (const outgoing_message& message : one.follow) broker_->add(message);
      if (one.give_back) {
        give_back(std::move(found->second));
      } else {
        broker_->queues_[found->second.queue].settled();
      }
      held_.erase(found);
    }
    return ends;
  }
  bool holds(const std::string& tag) override {
    const std::lock_guard lock(broker_->mutex_);
    return held_.contains(tag);
  }
  void stop() noexcept override {}  // nothing here ever waits for a broker
  bool connected() const noexcept override { return true; }
  void set_queues(std::vector<std::string> queues) override {
    const std::lock_guard lock(broker_->mutex_);
    names_ = std::move(queues);
    sleeper_.changed.notify_all();
  }

 private:
  friend memory_broker;
  struct held {
    std::string queue;
    memory_queue::item item;
  };

  // When there will be more, as far as the clock is concerned.
  wall_time take(std::size_t most, std::vector<delivery>& result) {
    wall_time due = wall_time::max();
    for (const std::string& name : names_) {
      memory_queue& queue = broker_->queues_[name];
      while (result.size() < most) {
        memory_queue::item item = queue.take();
        if (item.empty()) break;
        const memory_queue::parked& message = item.mapped();
        result.push_back({std::to_string(++broker_->tags_), name, message.text, message.priority, message.returned});
        held_.emplace(result.back().tag, held{name, std::move(item)});
      }
      due = std::min(due, queue.next_due());
    }
    return due;
  }
  void give_back(held&& one) {
    broker_->queues_[one.queue].give_back(std::move(one.item));
    broker_->notify(one.queue);
  }

  const std::shared_ptr<memory_broker> broker_;
  std::vector<std::string> names_;
  sleeper sleeper_;
  std::unordered_map<std::string, held> held_;
};

class memory_listener final : public listener {
 public:
  memory_listener(std::shared_ptr<memory_broker> owner, std::string pattern)
      : broker_(std::move(owner)), pattern_(std::move(pattern)) {
    const std::lock_guard lock(broker_->mutex_);
    broker_->listeners_.push_back(this);
  }
  ~memory_listener() override {
    const std::lock_guard lock(broker_->mutex_);
    std::erase(broker_->listeners_, this);
  }

  std::optional<std::string> receive(nanoseconds patience) override {
    const steady_time late = tutti::detail::machine_time_after(patience);
    std::unique_lock lock(broker_->mutex_);
    while (!std::exchange(sleeper_.woken, false)) {
      if (!texts_.empty()) {
        std::string text = std::move(texts_.front());
        texts_.pop_front();
        return text;
      }
      if (std::chrono::steady_clock::now() >= late) break;
      sleeper_.sleep(lock, late);
    }
    return std::nullopt;
  }
  void wake() noexcept override {
    const std::lock_guard lock(broker_->mutex_);
    sleeper_.woken = true;
    sleeper_.changed.notify_all();
  }

 private:
  friend memory_broker;
  const std::shared_ptr<memory_broker> broker_;
  const std::string pattern_;
  sleeper sleeper_;
  std::deque<std::string> texts_;
};

std::unique_ptr<consumer> memory_broker::consume(const std::string&, std::vector<std::string> queues) {
  return std::make_unique<memory_consumer>(shared_from_this(), std::move(queues));
}

void memory_broker::notify(const std::string& queue) {
  for (memory_consumer* const one : waiting_)
    if (std::find(one->names_.begin(), one->names_.end(), queue) != one->names_.end())
      one->sleeper_.changed.notify_all();
}

std::unique_ptr<listener> memory_broker::hear(std::string pattern) {
  return std::make_unique<memory_listener>(shared_from_this(), std::move(pattern));
}

void memory_broker::send(const std::string& channel, const std::string& text) {
  const std::lock_guard lock(mutex_);
  for (memory_listener* const one : listeners_) {
    if (!detail::channel_matches(one->pattern_, channel)) continue;
    one->texts_.push_back(text);
    one->sleeper_.changed.notify_all();
  }
}

struct named_brokers {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<memory_broker>> all;
};

}  // namespace

std::shared_ptr<broker> make_memory_broker(const broker_url& where) {
  auto& named = process_wide<named_brokers>();
  const std::lock_guard lock(named.mutex);
  std::erase_if(named.all, [](const auto& one) { return one.second.expired(); });
  std::shared_ptr<memory_broker> result = named.all[where.path].lock();
  if (!result) named.all[where.path] = result = std::make_shared<memory_broker>(where.path);
  return result;
}

}  // namespace tutti::cluster
