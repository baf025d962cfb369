// event_sender: a bounded queue, and a thread that broadcasts what is in it.
#include <tutti/cluster/control/event_sender.hpp>

#include <tutti/base/log.hpp>
#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

namespace tutti::cluster {
namespace {

constexpr std::size_t most_waiting = 20'000;     // more are dropped: memory is bounded while the broker is away
constexpr std::size_t most_in_batch = 500;       // of one message
constexpr std::chrono::milliseconds linger{50};  // events of tasks wait so long for others
constexpr std::chrono::seconds farewell{1};

constexpr std::string_view exchange = "celeryev";

// Hours that local time is behind UTC, as Celery counts them.
std::string utc_offset() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  const long west = -local.tm_gmtoff;
  return std::to_string(west >= 0 ? west / 3600 : -((-west + 3599) / 3600));
}

struct event {
  std::string type;
  json_members fields;
  std::uint64_t clock = 0;
  std::chrono::system_clock::time_point when;
  bool of_task = false;
};

}  // namespace

struct event_sender::impl {
  std::shared_ptr<broker> to;
  std::string hostname;  // JSON
  std::atomic<bool> tasks{false};

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<event> waiting;                                 // at most most_waiting
  bool hurry = false;                                        // something in `waiting` is not to linger
  std::optional<std::chrono::steady_clock::time_point> end;  // it is asked to end: until then it may go on
  std::thread thread;

  // The next events that fit into one message: one of a worker, or some of tasks; none: it is over.
  std::vector<event> take() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return end || !waiting.empty(); });
    changed.wait_for(lock, linger, [&] { return end || hurry || waiting.size() >= most_in_batch; });
    std::vector<event> taken;
    while (!waiting.empty() && taken.size() < most_in_batch) {
      if (!taken.empty() && !(taken.front().of_task && waiting.front().of_task)) break;
      taken.push_back(std::move(waiting.front()));
      waiting.pop_front();
    }
    if (waiting.empty()) hurry = false;
    return taken;
  }

  // Built here, not in send(): that is called by who runs tasks.
  std::string text_of(const event& told, const std::string& offset) const {
    json_members members = {{"hostname", hostname},
                            {"utcoffset", offset},
                            {"pid", std::to_string(::getpid())},
                            {"clock", std::to_string(told.clock)}};
    members.insert(members.end(), told.fields.begin(), told.fields.end());
    members.emplace_back("timestamp", json_number(unix_seconds(told.when)));
    members.emplace_back("type", json_string(told.type));
    return join_object(members);
  }

  void tell(const std::vector<event>& events) {
    const std::string offset = utc_offset();
    std::string body;
    std::string key;
    if (events.front().of_task) {
      std::vector<std::string> texts;
      texts.reserve(events.size());
      for (const event& told : events) texts.push_back(text_of(told, offset));
      body = join_array(texts);
      key = "task.multi";
    } else {
      body = text_of(events.front(), offset);
      key = events.front().type;
      if (const auto dash = key.find('-'); dash != key.npos) key[dash] = '.';
    }
    to->broadcast(std::string(exchange) + '/' + key, wrap_control(body, {{"hostname", hostname}}, exchange, key));
  }

  void run() {
    for (;;) {
      const std::vector<event> events = take();
      if (events.empty()) return;
      bool is_sent = true;
      try {
        tell(events);
      } catch (const std::exception& failed) {
        is_sent = false;
        log(log_level::debug, "events were dropped", {{"events", events.size()}, {"why", failed.what()}});
      }
      const std::lock_guard lock(mutex);
      if (end && (!is_sent || std::chrono::steady_clock::now() > *end)) return;
    }
  }
};

event_sender::event_sender(std::shared_ptr<broker> to, std::string hostname) : impl_(std::make_unique<impl>()) {
  impl_->to = std::move(to);
  impl_->hostname = json_string(hostname);
  impl_->thread = std::thread([this] { impl_->run(); });
}

event_sender::~event_sender() {
  end();
  impl_->thread.join();
}

void event_sender::end() noexcept {
  {
    const std::lock_guard lock(impl_->mutex);
    if (!impl_->end) impl_->end = std::chrono::steady_clock::now() + farewell;
  }
  impl_->changed.notify_one();
}

void event_sender::enable(bool on) noexcept { impl_->tasks.store(on, std::memory_order_relaxed); }

bool event_sender::enabled() const noexcept { return impl_->tasks.load(std::memory_order_relaxed); }

void event_sender::send(std::string_view type, std::vector<std::pair<std::string, std::string>> fields) {
  const bool of_task = type.starts_with("task-");
  if (of_task && !enabled()) return;
  event told{.type = std::string(type),
             .fields = std::move(fields),
             .clock = control_clock::forward(),
             .when = std::chrono::system_clock::now(),
             .of_task = of_task};
  bool wake = false;
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->end || impl_->waiting.size() >= most_waiting) return;
    impl_->waiting.push_back(std::move(told));
    impl_->hurry = impl_->hurry || !of_task;
    wake = impl_->waiting.size() == 1 || impl_->waiting.size() == most_in_batch || !of_task;
  }
  if (wake) impl_->changed.notify_one();
}

}  // namespace tutti::cluster
