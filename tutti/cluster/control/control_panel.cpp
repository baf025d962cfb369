// control_panel: a thread that listens, answers, and tells that the worker lives.
#include <tutti/cluster/control/control_panel.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/control/control_commands.hpp>
#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/control/control_match.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace tutti::cluster {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::seconds pause_between_attempts{1};
constexpr std::chrono::seconds first_attempt{1};

void learn_clock(const json_members& headers) {
  const std::string text = member_of(headers, "clock");
  std::uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed == std::errc() && end == text.data() + text.size()) control_clock::adjust(value);
}

bool means(const json_members& message, const std::string& hostname) {
  const std::string destination = member_of(message, "destination");
  if (destination.starts_with('[') && destination != "[]") {
    const std::vector<std::string> names = array_parts(destination);
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return string_in(name) == hostname; });
  }
  if (const auto one = string_in(destination); one && !one->empty()) return *one == hostname;
  const auto pattern = string_in(member_of(message, "pattern"));
  const auto matcher = string_in(member_of(message, "matcher"));
  if (!pattern || pattern->empty() || !matcher || matcher->empty()) return true;
  if (*matcher == "glob") return glob_matches(*pattern, hostname);
  log(log_level::debug, "a remote command has a pattern that we do not know", {{"matcher", *matcher}});
  return false;
}

}  // namespace

struct control_panel::impl {
  std::shared_ptr<broker> tasks;
  std::string hostname;
  control_target& worker;
  control_commands commands;
  std::chrono::milliseconds every;

  std::mutex mutex;
  std::condition_variable changed;
  std::unique_ptr<listener> ears;  // set under the mutex, by the thread only
  bool tried = false;              // to listen, once at least
  bool awaited = true;             // by who makes this: until then, nothing is missed
  bool ended = false;
  clock::time_point next_beat{};  // the thread's
  bool deaf = false;              // the thread's: it was said
  std::thread thread;

  impl(const app& where, std::string name, control_target& of, event_sender& events,
       std::chrono::milliseconds heartbeat)
      : tasks(where.tasks()),
        hostname(std::move(name)),
        worker(of),
        commands(hostname, of, events, tasks->name()),
        every(std::max(heartbeat, std::chrono::milliseconds(10))) {}

  double seconds() const { return std::chrono::duration<double>(every).count(); }

  bool is_over() {
    const std::lock_guard lock(mutex);
    return ended;
  }

  void listen() {
    std::unique_ptr<listener> made;
    try {
      made = tasks->listen("celery.pidbox");
    } catch (const std::exception& failed) {
      lament(failed);
    }
    bool is_late = false;
    {
      const std::lock_guard lock(mutex);
      ears = std::move(made);
      tried = true;
      is_late = !awaited && ears != nullptr;
    }
    changed.notify_all();
    if (is_late) worker.missed_some();
  }

  void lament(const std::exception& why) {
    const bool said = std::exchange(deaf, true);
    log(said ? log_level::debug : log_level::warn, "remote control cannot be heard; trying again",
        {{"worker", hostname}, {"why", why.what()}});
  }

  void beat(std::string_view type) noexcept {
    next_beat = clock::now() + every;
    try {
      commands.tell(type, seconds());
    } catch (const std::exception& failed) {
      log(log_level::debug, "an event could not be sent", {{"type", type}, {"why", failed.what()}});
    }
  }

  void take(const std::string& text) noexcept {
    try {
      const control_envelope envelope = unwrap_control(text);
      learn_clock(envelope.headers);
      const json_members message = object_parts(envelope.body);
      const auto method = string_in(member_of(message, "method"));
      if (!method) throw decode_error("there is no method");
      if (!means(message, hostname)) return;
      const std::string arguments = member_of(message, "arguments");
      const std::string answer = commands.run(*method, arguments == "null" ? json_members() : object_parts(arguments));
      const std::string reply_to = member_of(message, "reply_to");
      if (reply_to == "null") return;
      const json_members asker = object_parts(reply_to);
      const auto exchange = string_in(member_of(asker, "exchange"));
      const auto key = string_in(member_of(asker, "routing_key"));
      if (!exchange || !key) throw decode_error("reply_to names no exchange or no routing_key");
      const json_members headers = {{"ticket", member_of(message, "ticket")},
                                    {"clock", std::to_string(control_clock::forward())}};
      tasks->answer(*exchange, *key, wrap_control(join_object({{hostname, answer}}), headers, *exchange, *key));
    } catch (const std::exception& bad) {
      log(log_level::debug, "a remote command was ignored", {{"worker", hostname}, {"why", bad.what()}});
    }
  }

  void run() {
    listen();
    beat("worker-online");
    while (!is_over()) {
      if (clock::now() >= next_beat) beat("worker-heartbeat");
      if (ears != nullptr) {
        const auto left = std::max<clock::duration>(next_beat - clock::now(), clock::duration::zero());
        try {
          const auto text = ears->receive(left);
          deaf = false;
          if (ears->has_missed()) worker.missed_some();
          if (text) take(*text);
          continue;
        } catch (const std::exception& failed) {
          lament(failed);
        }
      }
      {
        std::unique_lock lock(mutex);
        if (changed.wait_for(lock, std::min<clock::duration>(pause_between_attempts, every), [&] { return ended; }))
          break;
      }
      listen();
    }
    if (!deaf) beat("worker-offline");  // else nobody would hear it, and it would be tried for long
  }
};

control_panel::control_panel(app where, std::string hostname, control_target& worker, event_sender& events,
                             std::chrono::milliseconds heartbeat)
    : impl_(std::make_unique<impl>(where, std::move(hostname), worker, events, heartbeat)) {
  impl_->thread = std::thread([self = impl_.get()] { self->run(); });
  // Who sends a command once this is made is heard; but a worker does not wait long for a broker that is away.
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait_for(lock, first_attempt, [&] { return impl_->tried; });
  impl_->awaited = false;
}

control_panel::~control_panel() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->ended = true;
    if (impl_->ears != nullptr) impl_->ears->wake();
  }
  impl_->changed.notify_all();
  impl_->thread.join();
}

}  // namespace tutti::cluster
