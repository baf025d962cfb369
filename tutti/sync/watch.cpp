#include <tutti/sync/watch.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/small_mutex.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/sync/lock_order.hpp>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>

namespace tutti {
namespace {

using detail::deadlock_graph;

// What one watch wants. Whoever reports to it counts as running, so that its end can wait for that.
struct wishes {
  watch_options options;
  watch::reporter report;
  std::atomic<int> running{0};
  std::uint32_t born_in = forks_before_this_process();
};
using shared_wishes = std::shared_ptr<wishes>;

// Everything under one lock: what is told is short, and a look at the graph must see all of it at one moment.
class detector final : public wait_observer {
 public:
  void begin_wait(const wait& begun) override {
    tell_end_of_thread(begun.who);
    std::string knot;
    const auto time = now();
    {
      const std::lock_guard lock(mutex);
      forget_after_fork();
      graph_.add_wait(begun, time);
      try {
        if (newest_ != nullptr && newest_->options.deadlock && !begun.limited) {
          knot = graph_.explain_deadlock(begun.who.id, time);
        }
      } catch (...) {  // no memory for the text
        graph_.remove_wait(begun);
        throw;
      }
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
    tell_end_of_thread(who);
    std::string inversion;
    shared_wishes report_to;
    {
      const std::lock_guard lock(mutex);
      forget_after_fork();
      graph_.add_hold(who, resource, here);
      if (newest_ == nullptr || !newest_->options.lock_order) return;
      if (!waited || resource.rule != wait_rule::all_release || who.id == nullptr) return;
      const deadlock_graph::party& holder = *graph_.find(who.id);
      const std::span outer(holder.holds.data(), holder.holds.size() - 1);
      if (outer.empty()) return;
      inversion = order_.add(holder.number, outer, resource.resource, here, graph_);
      if (inversion.empty()) return;
      report_to = to_be_told();
    }
    tell(*report_to, inversion);
  }
  void releases(const void* who, const void* resource) noexcept override {
    const std::lock_guard lock(mutex);
    graph_.remove_hold(who, resource);
  }
  void ended(const void* who) noexcept override {
    const std::lock_guard lock(mutex);
    graph_.end_party(who);
  }

  void add(shared_wishes added) {
    timer looks = looks_for(*added);
    const std::lock_guard lock(mutex);
    try {
      all_.push_back(added);
    } catch (...) {
      looks.cancel();
      throw;
    }
    newest_changed(std::move(looks));
  }
  void remove(const shared_wishes& removed) noexcept {
    {
      const std::lock_guard lock(mutex);
      const bool was_newest = removed == newest_;
      std::erase(all_, removed);
      if (was_newest) newest_changed(all_.empty() ? timer() : looks_for(*all_.back()));
    }
    if (removed->born_in != forks_before_this_process()) return;  // who reports is not in this process
    for (int n = removed->running; n != 0; n = removed->running) removed->running.wait(n);
  }

  small_mutex mutex;

 private:
  timer looks_for(const wishes& of) {
    if (!of.options.starvation) return {};
    return call_every(std::max<std::chrono::nanoseconds>(*of.options.starvation / 4, std::chrono::milliseconds(1)),
                      [this] { look_for_starving(); });
  }
  void newest_changed(timer looks) noexcept {
    newest_ = all_.empty() ? nullptr : all_.back();
    std::exchange(looks_, std::move(looks)).cancel();
    if (newest_ == nullptr) {
      graph_ = {};
      order_ = {};
    }
    wait_graph::observe(newest_ == nullptr ? nullptr : this);
  }

  void look_for_starving() {
    std::vector<std::string> reports;
    shared_wishes report_to;
    {
      const std::lock_guard lock(mutex);
      if (newest_ == nullptr || !newest_->options.starvation) return;
      const auto time = now();
      reports = graph_.starving(time - *newest_->options.starvation, time);
      if (reports.empty()) return;
      report_to = to_be_told();
    }
    std::string all;
    for (const std::string& one : reports) all += one;
    tell(*report_to, all);
  }

  shared_wishes to_be_told() noexcept {
    ++newest_->running;
    return newest_;
  }
  static void tell(wishes& who, const std::string& text) noexcept {
    try {
      who.report ? who.report(text) : log(log_level::warn, text);
    } catch (...) {  // a report is not worth a crash
    }
    --who.running;
    who.running.notify_all();
  }

  // A thread's address is used again by those that come later.
  void tell_end_of_thread(const wait_party& who) noexcept {
    struct end_of_thread {
      const void* who;
      ~end_of_thread() { process_wide<detector>().ended(who); }
    };
    if (who.task != nullptr || who.id == nullptr) return;
    static thread_local const end_of_thread at_exit{who.id};
    static_cast<void>(at_exit);
  }

  // The parent's threads are not in a forked child, and what they held is nobody's.
  void forget_after_fork() noexcept {
    if (std::exchange(born_in_, forks_before_this_process()) == forks_before_this_process()) return;
    graph_ = {};
    order_ = {};
  }

  deadlock_graph graph_;
  detail::lock_order order_;
  std::vector<shared_wishes> all_;
  shared_wishes newest_;
  timer looks_;
  std::uint32_t born_in_ = 0;
};

}  // namespace

struct watch::state {
  shared_wishes wanted;
};

watch::watch(watch_options options, reporter report) {
  if (options.starvation && *options.starvation <= std::chrono::nanoseconds::zero()) {
    throw std::invalid_argument("watch: starvation = " + std::to_string(options.starvation->count()) +
                                " ns must be positive");
  }
  auto made = std::make_unique<state>();
  made->wanted = std::make_shared<wishes>();
  made->wanted->options = options;
  made->wanted->report = std::move(report);
  process_wide<detector>().add(made->wanted);
  state_ = std::move(made);
}

watch::~watch() { process_wide<detector>().remove(state_->wanted); }

bool watch::is_on() noexcept { return wait_graph::observer() == &process_wide<detector>(); }

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
