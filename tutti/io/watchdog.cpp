#include <tutti/io/watchdog.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/throw_stack.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/io/inside/reactor.hpp>
#include <tutti/io/inside/thread_stack.hpp>

#include <fmt/format.h>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tutti::io {
namespace {

using steady = std::chrono::steady_clock;

std::int64_t in_ms(std::chrono::nanoseconds t) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(t).count();
}

// "S": a letter that the system has for it.
bool is_asleep(long thread) {
  std::ifstream in("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(in, text);
  const std::size_t at = text.rfind(')');
  return at != std::string::npos && at + 2 < text.size() && (text[at + 2] == 'S' || text[at + 2] == 'D');
}

// Down to the loop itself; to the outermost, if one runs inside another.
std::string in_words(const std::vector<void*>& frames) {
  std::string text;
  std::size_t end = std::string::npos;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const std::string line = tutti::detail::frame_text(static_cast<int>(i), frames[i]);
    if (line.find("tutti::detail::loop_engine::run_some(") != std::string::npos) end = text.size();
    text += (text.empty() ? "" : "\n") + line;
  }
  return text.substr(0, end);
}

void act(const loop_stall& found, watchdog_action action) {
  if (action == watchdog_action::abort) {
    const std::string text = "tutti: fatal: " + found.text() + "\n";
    for (std::string_view left = text; !left.empty();) {
      const ::ssize_t n = ::write(STDERR_FILENO, left.data(), left.size());
      if (n <= 0) break;
      left.remove_prefix(static_cast<std::size_t>(n));
    }
    std::abort();
  }
  log(log_level::warn, found.text());
}

}  // namespace

std::string loop_stall::text() const {
  return fmt::format(
      "{} has held the thread {} of an io::loop for {} ms: {}; all else that the loop has to do waits; await instead, "
      "or co_await pool.submit(f)\n{}",
      task.empty() ? "a function" : "task \"" + task + '"', thread, in_ms(held), sleeps ? "it sleeps" : "it computes",
      stack.empty() ? "(its stack could not be had)" : stack);
}

class watchdog::watcher {
 public:
  watcher(watchdog_options options, std::function<void(const loop_stall&)> report)
      : options_(options), report_(std::move(report)) {
    if (options.limit <= std::chrono::nanoseconds::zero())
      throw std::invalid_argument(
          fmt::format("io::watchdog: the limit is {} ns, but must be positive", options.limit.count()));
    // Signals of the program are for its own threads.
    ::sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
    } catch (...) {
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

 private:
  struct sight {
    std::uint64_t turn = 0;
    steady::time_point since{};
    bool reported = false;
    std::uint64_t look = 0;  // when it was last seen
  };
  struct found {
    loop_stall what;
    const char* task = nullptr;
    std::vector<void*> frames;
  };

  void watch(const std::stop_token& stop) {
    ::pthread_setname_np(::pthread_self(), "tutti/watchdog");
    const auto period = std::max<std::chrono::nanoseconds>(options_.limit / 4, std::chrono::milliseconds(1));
    std::mutex mutex;
    std::condition_variable_any asleep;
    std::unique_lock lock(mutex);
    for (auto before = steady::now();;) {
      asleep.wait_for(lock, stop, period, [] { return false; });
      if (stop.stop_requested()) return;
      const auto now = steady::now();
      // Whoever stopped this thread, a debugger or a machine with too much to do, has stopped the others too.
      if (now - before > 2 * period + std::chrono::milliseconds(20)) seen_.clear();
      before = now;
      try {
        look(now);
      } catch (...) {  // no memory, or a report that throws
        report_unhandled(std::current_exception(), "io::watchdog", unhandled_origin::callback);
      }
    }
  }

  void look(steady::time_point now) {
    ++looks_;
    std::vector<found> stalls;
    {
      const detail::reactor::list loops;
      for (const detail::reactor* loop : loops.all()) look_at(*loop, now, stalls);
    }
    std::erase_if(seen_, [&](const auto& entry) { return entry.second.look != looks_; });
    for (found& one : stalls) {
      one.what.task = one.task == nullptr ? "" : shown_name(one.task);
      one.what.sleeps = is_asleep(one.what.thread);
      one.what.stack = in_words(one.frames);
      report_ ? report_(one.what) : act(one.what, options_.action);
    }
  }

  // `loop` lives meanwhile.
  void look_at(const detail::reactor& loop, steady::time_point now, std::vector<found>& stalls) {
    const std::uint64_t turn = loop.turns();
    if (turn % 2 == 0) return;
    sight& seen = seen_[loop.number()];
    if (seen.look != looks_ - 1 || seen.turn != turn) seen = {turn, now, false, 0};
    seen.look = looks_;
    if (seen.reported || now - seen.since < options_.limit) return;
    found one;
    one.what.thread = loop.thread();
    one.what.held = now - seen.since;
    detail::thread_stack stack;
    if (detail::ask_stack(loop, turn, stack) == detail::asked::went_on) return;
    seen.reported = true;
    one.task = stack.task;
    one.frames = std::move(stack.frames);
    stalls.push_back(std::move(one));
  }

  const watchdog_options options_;
  const std::function<void(const loop_stall&)> report_;
  std::uint64_t looks_ = 1;
  std::unordered_map<std::uint64_t, sight> seen_;
  const detail::stack_asker asker_;
  std::jthread thread_;  // last: it uses the others
};

watchdog::watchdog(watchdog_options options, std::function<void(const loop_stall&)> report)
    : watcher_(std::make_unique<watcher>(options, std::move(report))) {}
watchdog::~watchdog() = default;

namespace detail {

void watch_loops_if_asked() {
  static std::atomic<std::uint32_t> watched_in{0};  // the process, counted in forks, and one more
  const std::uint32_t here = forks_before_this_process() + 1;
  if (watched_in.load(std::memory_order_relaxed) == here || watched_in.exchange(here) == here) return;
  const char* const wanted = std::getenv("TUTTI_IO_WATCHDOG");  // NOLINT(concurrency-mt-unsafe)
  const std::string_view word = wanted == nullptr ? "" : wanted;
  if (word.empty() || word == "off") return;
  if (word != "warn" && word != "abort") {
    watched_in = 0;
    throw std::invalid_argument(fmt::format("TUTTI_IO_WATCHDOG=\"{}\"; known: warn, abort, off", word));
  }
  // Leaked: loops may run while statics are destroyed. A child's parent's has no thread here.
  static_cast<void>(new watchdog({.action = word == "abort" ? watchdog_action::abort : watchdog_action::warn}));
}

}  // namespace detail

}  // namespace tutti::io
