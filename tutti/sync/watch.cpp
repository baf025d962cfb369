#include <tutti/sync/watch.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/small_mutex.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/sync/lock_order.hpp>

#include <charconv>
#include <cmath>
#include <mutex>
#include <span>
#include <stdexcept>

namespace tutti {
namespace {

using detail::deadlock_graph;

// Everything under one lock: what is told is short, and a look at the graph must see all of it at one moment.
class detector final : public wait_observer {
 public:
  void begin_wait(const wait& begun) override {
    std::string knot;
    const auto time = now();
    {
      const std::lock_guard lock(mutex);
      forget_after_fork();
      graph_.add_wait(begun, time);
      if (options_.deadlock && !begun.limited) knot = graph_.explain_deadlock(begun.who.id, time);
      if (!knot.empty()) graph_.remove_wait(begun);
    }
    if (!knot.empty()) throw deadlock(knot);
  }
  void end_wait(const wait& ended) noexcept override {
    const std::lock_guard lock(mutex);
    graph_.remove_wait(ended);
  }
  void born(const wait_target& resource, std::size_t total) noexcept override {
    const std::lock_guard lock(mutex);
    forget_after_fork();
    graph_.add_resource(resource, total);
  }
  void gone(const void* resource) noexcept override {
    const std::lock_guard lock(mutex);
    graph_.remove_resource(resource);
    order_.forget(resource);
  }
  void holds(const wait_party& who, const wait_target& resource, const place& here, bool waited) noexcept override {
    std::string inversion;
    reporter report;
    {
      const std::lock_guard lock(mutex);
      forget_after_fork();
      if (options_.lock_order && waited && resource.rule == wait_rule::all_release && who.id != nullptr) {
        graph_.add_hold(who, resource, here);
        const deadlock_graph::party& holder = *graph_.find(who.id);
        const std::span outer(holder.holds.data(), holder.holds.size() - 1);
        if (!outer.empty()) inversion = order_.add(holder.number, outer, resource.resource, here, graph_);
      } else {
        graph_.add_hold(who, resource, here);
      }
      if (!inversion.empty()) report = report_;
    }
    if (!inversion.empty()) tell(report, inversion);
  }
  void releases(const void* who, const void* resource) noexcept override {
    const std::lock_guard lock(mutex);
    graph_.remove_hold(who, resource);
  }

  using reporter = watch::reporter;
  struct settings {
    watch_options options;
    reporter report;
    bool active;
  };
  settings change(settings to) {
    timer old_timer, new_timer;
    if (to.active && to.options.starvation) {
      new_timer =
          call_every(std::max<std::chrono::nanoseconds>(*to.options.starvation / 4, std::chrono::milliseconds(1)),
                     [this] { look_for_starving(); });
    }
    const std::lock_guard lock(mutex);
    settings before{options_, report_, active_};
    options_ = to.options;
    report_ = std::move(to.report);
    active_ = to.active;
    if (!active_) {
      graph_ = {};
      order_ = {};
    }
    old_timer = std::exchange(timer_, std::move(new_timer));
    old_timer.cancel();
    wait_graph::observe(active_ ? this : nullptr);
    return before;
  }

  small_mutex mutex;

 private:
  void look_for_starving() {
    std::vector<std::string> reports;
    reporter report;
    {
      const std::lock_guard lock(mutex);
      if (!options_.starvation) return;
      const auto time = now();
      reports = graph_.starving(time - *options_.starvation, time);
      report = report_;
    }
    for (const std::string& text : reports) tell(report, text);
  }

  static void tell(const reporter& report, const std::string& text) noexcept {
    try {
      static small_mutex one_at_a_time;
      const std::lock_guard lock(one_at_a_time);
      report ? report(text) : log(log_level::warn, text);
    } catch (...) {  // a report is not worth a crash
    }
  }

  // The parent's threads are not in a forked child, and what they held is nobody's.
  void forget_after_fork() noexcept {
    if (std::exchange(born_in_, forks_before_this_process()) == forks_before_this_process()) return;
    graph_ = {};
    order_ = {};
  }

  deadlock_graph graph_;
  detail::lock_order order_;
  watch_options options_;
  reporter report_;
  timer timer_;
  bool active_ = false;
  std::uint32_t born_in_ = 0;
};

}  // namespace

watch::watch(watch_options options, reporter report) {
  if (options.starvation && *options.starvation <= std::chrono::nanoseconds::zero()) {
    throw std::invalid_argument("watch: starvation = " + std::to_string(options.starvation->count()) +
                                " ns must be positive");
  }
  auto before = process_wide<detector>().change({options, std::move(report), true});
  options_before_ = before.options;
  report_before_ = std::move(before.report);
  active_before_ = before.active;
}

watch::~watch() { process_wide<detector>().change({options_before_, std::move(report_before_), active_before_}); }

watch_options watch_options_from(std::string_view text) {
  watch_options options{.deadlock = false, .lock_order = false, .starvation = {}};
  constexpr std::string_view limit = "starvation=";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    double seconds = 0;
    if (word == "deadlock" || word == "all") options.deadlock = true;
    if (word == "order" || word == "all") options.lock_order = true;
    if (word == "deadlock" || word == "order" || word == "all") continue;
    if (word.starts_with(limit)) {
      const std::string_view number = word.substr(limit.size());
      const auto parsed = std::from_chars(number.data(), number.data() + number.size(), seconds);
      if (parsed.ec == std::errc() && parsed.ptr == number.data() + number.size() && seconds > 0 && seconds < 1e9) {
        options.starvation = std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
        continue;
      }
    }
    throw std::invalid_argument("TUTTI_WATCH: unknown word \"" + std::string(word) +
                                "\"; known: deadlock, order, starvation=SECONDS, all");
  }
  return options;
}

}  // namespace tutti
