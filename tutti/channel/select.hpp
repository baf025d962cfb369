// select: waiting for the first of several sends and receives, with a time limit, a default, guards, and a choice of
// who is first when several are ready.
//
//   select(on(a, [](int x) {...}), on_send(b, value, [] {...}).when(open), after(1s, [] {...}));
#pragma once
#include <tutti/channel/forms.hpp>

#include <array>
#include <functional>
#include <tuple>
#include <type_traits>

namespace tutti {

namespace detail {

enum class case_kind : std::uint8_t { port, after, otherwise };

// The type of the first parameter of a function that is not overloaded; void: it cannot be told.
template <class F>
struct first_parameter {
  using type = void;
};
template <class R, class A, class... Rest>
struct first_parameter<R (*)(A, Rest...)> {
  using type = std::remove_cvref_t<A>;
};
template <class R, class A, class... Rest>
struct first_parameter<R (*)(A, Rest...) noexcept> : first_parameter<R (*)(A, Rest...)> {};
template <class R, class C, class... Args>
struct first_parameter<R (C::*)(Args...)> : first_parameter<R (*)(Args...)> {};
template <class R, class C, class... Args>
struct first_parameter<R (C::*)(Args...) const> : first_parameter<R (*)(Args...)> {};
template <class R, class C, class... Args>
struct first_parameter<R (C::*)(Args...) noexcept> : first_parameter<R (*)(Args...)> {};
template <class R, class C, class... Args>
struct first_parameter<R (C::*)(Args...) const noexcept> : first_parameter<R (*)(Args...)> {};
template <class F>
  requires requires { &F::operator(); }
struct first_parameter<F> : first_parameter<decltype(&F::operator())> {};

template <class F, class T>
inline constexpr bool takes_end = std::is_same_v<typename first_parameter<F>::type, std::optional<T>>;

template <class Derived>
class guarded {
 public:
  /// The case counts only if `condition` holds.
  Derived when(bool condition) && {
    enabled_ = enabled_ && condition;
    return std::move(static_cast<Derived&>(*this));
  }

 protected:
  bool enabled_ = true;
};

template <class T, class F>
class receive_case : public guarded<receive_case<T, F>> {
 public:
  static constexpr case_kind kind = case_kind::port;
  receive_case(port& from, F f, const place& at) : from_(&from), f_(std::move(f)), here(at) {}
  void set_up(channel_case& one) noexcept {
    if (!this->enabled_) return;
    one.at = from_;
    one.value = value_.address();
    one.wants_end = takes_end<F, T>;
  }
  void run(case_result::kind how) {
    if constexpr (takes_end<F, T>) {
      if (how == case_result::kind::ended) {
        std::invoke(f_, std::optional<T>());
        return;
      }
    }
    value_.filled();
    std::invoke(f_, std::move(*value_));
  }

 private:
  port* from_;
  F f_;
  slot<T> value_;

 public:
  place here;
};

template <class T, class F>
class send_case : public guarded<send_case<T, F>> {
 public:
  static constexpr case_kind kind = case_kind::port;
  send_case(port& to, T&& value, F f, const place& at)
      : to_(&to), value_(std::move(value)), f_(std::move(f)), here(at) {}
  void set_up(channel_case& one) noexcept {
    if (!this->enabled_) return;
    one.at = to_;
    one.value = &value_;
  }
  void run(case_result::kind) { std::invoke(f_); }

 private:
  port* to_;
  T value_;
  F f_;

 public:
  place here;
};

template <case_kind Which, class F>
class idle_case : public guarded<idle_case<Which, F>> {
 public:
  static constexpr case_kind kind = Which;
  idle_case(F f, std::chrono::nanoseconds when) : f_(std::move(f)), limit_(when) {}
  std::optional<std::chrono::nanoseconds> limit() const noexcept {
    return this->enabled_ ? std::optional(limit_) : std::nullopt;
  }
  void run(case_result::kind) { std::invoke(f_); }

 private:
  F f_;
  std::chrono::nanoseconds limit_;
};

[[noreturn]] void throw_all_closed(const channel_case* first, std::size_t n);

template <class... Cases>
class select_cases {
  static constexpr std::size_t count = sizeof...(Cases);
  template <case_kind Which>
  static constexpr std::size_t index_of() {
    std::size_t found = count, i = 0;
    ((Cases::kind == Which ? static_cast<void>(found = i) : void(), ++i), ...);
    return found;
  }
  static_assert(((Cases::kind == case_kind::port ? 1 : 0) + ... + 0) > 0,
                "select needs a case: on(channel, f) or on_send(channel, value, f)");
  static_assert(((Cases::kind != case_kind::port ? 1 : 0) + ... + 0) <= 1,
                "select takes one of after(limit, f) and otherwise(f), once");

 public:
  explicit select_cases(Cases&&... cases) : cases_(std::move(cases)...) {}

  /// Ready to be looked at; the arrays must stay where they are from here on.
  case_set prepare(choice how) noexcept {
    each([this](auto& one, std::size_t i) {
      if constexpr (std::remove_reference_t<decltype(one)>::kind == case_kind::port) one.set_up(ports_[i]);
    });
    return case_set(ports_, locks_, order_, how);
  }
  /// How long to wait; nothing: for ever.
  std::optional<std::chrono::nanoseconds> limit() const noexcept {
    std::optional<std::chrono::nanoseconds> found;
    if constexpr (idle < count) found = std::get<idle>(cases_).limit();
    return found;
  }
  place here() const noexcept {
    place found;
    std::apply(
        [&](const auto&... one) {
          (
              [&] {
                if constexpr (requires { one.here; }) found = found.line == 0 ? one.here : found;
              }(),
              ...);
        },
        cases_);
    return found;
  }
  /// Calls the function of the case that was taken; returns its index.
  std::size_t finish(const case_result& result) {
    std::size_t taken = result.index;
    if (result.what == case_result::kind::poisoned) ports_[taken].at->refuse(attempt::poisoned);
    // With all closed there is nothing left to wait for, not even the time limit.
    if (result.what == case_result::kind::closed && !limit()) throw_all_closed(ports_.data(), count);
    if (result.what == case_result::kind::closed || result.what == case_result::kind::nothing) taken = idle;
    each([&](auto& one, std::size_t i) {
      if (i == taken) one.run(result.what);
    });
    return taken;
  }
  /// Nothing can ever be ready, because all guards are down.
  bool none_enabled() const noexcept {
    for (const channel_case& one : ports_) {
      if (one.at != nullptr) return false;
    }
    return !limit();
  }

 private:
  static constexpr std::size_t idle =
      index_of<case_kind::after>() < count ? index_of<case_kind::after>() : index_of<case_kind::otherwise>();

  template <class G>
  void each(G g) {
    std::apply([&](auto&... one) { [&, i = std::size_t{0}]() mutable { (g(one, i++), ...); }(); }, cases_);
  }

  std::tuple<Cases...> cases_;
  std::array<channel_case, count> ports_{};
  std::array<small_mutex*, count> locks_{};
  std::array<std::uint32_t, count> order_{};
};

[[noreturn]] void throw_none_enabled(const place& here);

template <class... Cases>
std::size_t select_now(choice how, const std::stop_token& stop, Cases&&... cases) {
  select_cases<Cases...> all(std::move(cases)...);
  case_set set = all.prepare(how);
  const auto limit = all.limit();
  if (all.none_enabled()) throw_none_enabled(all.here());
  case_result result;
  if (limit && never_waits(*limit)) {
    result = set.try_all();
  } else {
    const end_of_limit end(limit.value_or(std::chrono::nanoseconds::max()));
    result = wait_for(set, {.deadline = end.deadline(),
                            .stop = stop,
                            .here = all.here(),
                            .what = "select",
                            .instead = "select_async(...)"});
  }
  return all.finish(result);
}

// The cases come first: what waits refers to them.
template <class... Cases>
struct select_holder {
  select_cases<Cases...> all;
};

template <class... Cases>
class select_awaiter final : private select_holder<Cases...>, public case_wait {
 public:
  explicit select_awaiter(choice how, Cases&&... cases)
      : select_holder<Cases...>{select_cases<Cases...>(std::move(cases)...)},
        case_wait(this->all.prepare(how), "select", this->all.here(), this->all.limit()) {
    if (this->all.none_enabled()) throw_none_enabled(this->all.here());
  }
  std::size_t await_resume() { return this->all.finish(end_of_wait()); }
};

template <class C>
concept select_case = requires {
  { C::kind } -> std::convertible_to<case_kind>;
};

}  // namespace detail

/// A case of select: receives from a channel, reader or subscription, and calls `f(T)`. If f takes an
/// std::optional<T>, the case is ready with an empty one when the channel is closed and drained; otherwise it is never
/// ready then.
template <class From, class F>
auto on(From& from, F f, place here = place::current()) {
  using element = typename From::value_type;
  static_assert(std::is_invocable_v<F&, element> || detail::takes_end<F, element>,
                "on(channel, f): f must take an element of the channel, by value or by rvalue or const reference, or a "
                "std::optional of one");
  return detail::receive_case<element, F>(from.port_to_receive(here), std::move(f), here);
}
/// A case of select: sends `value` to a channel, writer or broadcast, and calls `f()`. Never ready once that is closed.
template <class To, class F>
auto on_send(To& to, typename To::value_type value, F f, place here = place::current()) {
  static_assert(std::is_invocable_v<F&>, "on_send(channel, value, f): f takes no argument");
  return detail::send_case<typename To::value_type, F>(to.port_to_send(here), std::move(value), std::move(f), here);
}
/// A case of select: calls `f()` when no other was ready for `limit`, on tutti's clock, or all others are closed. Zero
/// or less: as otherwise.
template <class Rep, class Period, class F>
auto after(std::chrono::duration<Rep, Period> limit, F f) {
  static_assert(std::is_invocable_v<F&>, "after(limit, f): f takes no argument");
  return detail::idle_case<detail::case_kind::after, F>(std::move(f), detail::saturated(limit));
}
/// A case of select: calls `f()` when no other is ready now.
template <class F>
auto otherwise(F f) {
  static_assert(std::is_invocable_v<F&>, "otherwise(f): f takes no argument");
  return detail::idle_case<detail::case_kind::otherwise, F>(std::move(f), std::chrono::nanoseconds::zero());
}

/// Waits until one of the cases is ready, does that one alone, calls its function on this thread, without any lock, and
/// returns its index. Of several that are ready each has the same chance. Blocks the thread; on a run_loop's thread
/// throws would_block rather than really wait.
///
/// Cases may use the same channel more than once, and both sides of it: a select never meets itself. Throws `closed`
/// when all cases are closed and there is no other way on, `poisoned` for the first poisoned channel it sees,
/// std::logic_error when all cases are switched off by when(false), and what f throws.
template <detail::select_case... Cases>
std::size_t select(Cases... cases) {
  return detail::select_now(detail::choice::fair, {}, std::move(cases)...);
}
/// The same, and gives up when stop is requested: throws `cancelled`.
template <detail::select_case... Cases>
std::size_t select(const std::stop_token& stop, Cases... cases) {
  return detail::select_now(detail::choice::fair, stop, std::move(cases)...);
}
/// As select, but of several that are ready takes the first in the order of writing.
template <detail::select_case... Cases>
std::size_t select_priority(Cases... cases) {
  return detail::select_now(detail::choice::in_order, {}, std::move(cases)...);
}
template <detail::select_case... Cases>
std::size_t select_priority(const std::stop_token& stop, Cases... cases) {
  return detail::select_now(detail::choice::in_order, stop, std::move(cases)...);
}
/// To be awaited in a task: as select. Ends with `cancelled` when the task is asked to stop first.
template <detail::select_case... Cases>
[[nodiscard]] detail::select_awaiter<Cases...> select_async(Cases... cases) {
  return detail::select_awaiter<Cases...>(detail::choice::fair, std::move(cases)...);
}
/// To be awaited in a task: as select_priority.
template <detail::select_case... Cases>
[[nodiscard]] detail::select_awaiter<Cases...> select_priority_async(Cases... cases) {
  return detail::select_awaiter<Cases...>(detail::choice::in_order, std::move(cases)...);
}

}  // namespace tutti
