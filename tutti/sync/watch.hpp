// watch: a program that would hang says why instead.
//
//   tutti::watch watching({.starvation = 5s});       or, without changing the program, TUTTI_WATCH=deadlock,order
//
// While one lives, the wait that would complete a deadlock throws `deadlock`, whose text lists who waits for what, held
// by whom, taken where. See docs/sync.md for what is seen.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace tutti {

/// What a watch looks for.
struct watch_options {
  bool deadlock = true;     ///< the last wait of a deadlock throws
  bool lock_order = false;  ///< locks taken in two orders, which could become a deadlock, are reported once
  std::optional<std::chrono::nanoseconds> starvation = {};  ///< waits longer than that are reported once
};

/// Watches all waits of this process while it lives. Locks and channel ends that were made before are not fully known:
/// what hangs with them may go unnoticed, but no alarm is false for it. One at a time counts, the newest. Costs a lock
/// of its own for each lock taken, and more for each wait. Thread-safe.
class watch {
 public:
  /// Where lock orders and starvation are reported, as text of several lines; from any thread, perhaps from several at
  /// once; must not wait for tutti's locks, nor end its watch. Deadlocks are thrown.
  using reporter = std::function<void(std::string_view report)>;

  /// Without a reporter: warnings in the log. Throws std::invalid_argument when `starvation` is not positive.
  explicit watch(watch_options options = {}, reporter report = {});
  /// Waits for a report that is being made to it.
  ~watch();
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;

  /// Whether one lives in this process.
  static bool is_on() noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Options from text as in TUTTI_WATCH: words of `deadlock`, `order`, `starvation=SECONDS` and `all`, separated by
/// commas. Throws std::invalid_argument, naming the word.
watch_options watch_options_from(std::string_view text);

}  // namespace tutti
