// send_options: how one call of a task is sent.
#pragma once
#include <tutti/cluster/message.hpp>

#include <chrono>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <type_traits>

namespace tutti::cluster {

class app;
class signature;

/// Longer waits count as this one, a century: beyond, the clock's own range would be near.
inline constexpr std::chrono::hours longest_wait{24 * 36525};

/// When a task is of no use any more: after a while, or from a moment on. Made from a duration or a time point.
class expiry {
 public:
  constexpr expiry() = default;
  template <class Rep, class Period>
  constexpr expiry(std::chrono::duration<Rep, Period> after)  // NOLINT(google-explicit-constructor): one or the other
      : after_(within_longest(after)) {}
  constexpr expiry(wall_time at) : at_(at) {}  // NOLINT(google-explicit-constructor): one or the other

  /// The moment, for what is sent now; nothing for never.
  [[nodiscard]] std::optional<wall_time> from(wall_time now) const {
    return after_ ? now + std::chrono::duration_cast<wall_time::duration>(*after_) : at_;
  }

 private:
  template <class Rep, class Period>
  static constexpr std::chrono::nanoseconds within_longest(std::chrono::duration<Rep, Period> after) {
    const std::chrono::duration<double> seconds(after);  // which holds the longest of any unit
    if (seconds >= longest_wait) return longest_wait;
    if (seconds <= -longest_wait) return -longest_wait;
    return std::chrono::duration_cast<std::chrono::nanoseconds>(after);
  }

  std::optional<std::chrono::nanoseconds> after_;
  std::optional<wall_time> at_;
};

/// A view of a signature, valid for the call that it is an argument of.
class signature_ref {
 public:
  constexpr signature_ref() = default;
  signature_ref(const signature& viewed) noexcept : viewed_(&viewed) {}  // NOLINT(google-explicit-constructor): a view
  /// Null for none.
  [[nodiscard]] const signature* get() const noexcept { return viewed_; }

 private:
  const signature* viewed_ = nullptr;
};

/// A header of a message besides those that it has: its value is a text, or JSON.
struct extra_header {
  std::string_view name;
  std::string_view value;
  bool is_json = false;
};

/// How a call is sent. Designated initialisers, in this order; what it refers to must live as long as the call that it
/// is an argument of: in a variable, `.link = note.s()` refers to nothing. What is absent is as the task's own options
/// say.
struct send_options {
  std::optional<std::chrono::nanoseconds> countdown = {};  ///< not before so long from now
  std::optional<wall_time> eta = {};                       ///< not before
  expiry expires = {};                                     ///< not after; then it counts as revoked
  std::optional<int> priority = {};                        ///< 0 to 9, bigger is sooner
  std::string_view queue = {};
  std::initializer_list<extra_header> headers = {};
  signature_ref link = {};                                       ///< called with the result
  signature_ref link_error = {};                                 ///< called with the task's id when it fails
  std::string_view id = {};                                      ///< of the task; empty: a new UUID
  std::optional<std::chrono::nanoseconds> time_limit = {};       ///< then it is killed, or given up
  std::optional<std::chrono::nanoseconds> soft_time_limit = {};  ///< then it is asked to stop
  bool ignore_result = false;                                    ///< besides what the task itself says
  const app* where = nullptr;                                    ///< null: app::current()
};

static_assert(std::is_trivially_destructible_v<send_options>);  // as g++ 12 needs it in co_await expressions

}  // namespace tutti::cluster
