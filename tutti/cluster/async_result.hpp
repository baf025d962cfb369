// async_result: the result of a task that was sent: to be waited for, awaited, asked after, or revoked.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/earlier_tasks.hpp>
#include <tutti/cluster/json_value.hpp>
#include <tutti/core/promise.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster {

class result_cell;
class result_handle;

namespace detail {
/// Throws std::logic_error when it has not ended and a task runs on this thread.
void check_await(const result_handle& of);
}  // namespace detail

/// What is known of a task at one moment: see result_handle.
struct task_snapshot {
  std::string state;
  std::string info;
};

/// What does not depend on the result's type. Copies share what they know. Thread-safe.
class result_handle {
 public:
  /// The task's, or the group's.
  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  /// The tasks of a group, in order; none for a task.
  [[nodiscard]] std::vector<std::string> ids() const;

  /// Whether it has ended, whatever the end was; a group: all of it. Asks the result store, unless it is known: blocks
  /// for a round trip, throws broker_error.
  [[nodiscard]] bool ready() const;
  /// The task's state: "PENDING" (also for a task that nobody knows), "STARTED", "RETRY", "PROGRESS" or another of its
  /// own, "SUCCESS", "FAILURE", "REVOKED". Of a group: SUCCESS when all are, else the state of one that failed or was
  /// revoked, else PENDING. As ready().
  [[nodiscard]] std::string state() const;
  /// What the result store has besides, as JSON: the progress that the task told, the result of a success, what is
  /// known of a failure; of a group: "null". As ready().
  [[nodiscard]] std::string info() const;
  /// Both, as they were at one moment. As ready().
  [[nodiscard]] task_snapshot look() const;
  /// Whether it has ended well. As ready().
  [[nodiscard]] bool successful() const;
  /// Whether it has ended with an error. As ready().
  [[nodiscard]] bool failed() const;

  /// Tells all workers not to run it; with `terminate`, to end it by `signal` when it runs, as far as their pool can.
  /// Those that begin later know of it when a worker of tutti was up to note it. Of an eager app all has run: it does
  /// nothing. Throws broker_error.
  void revoke(bool terminate = false, std::string_view signal = "SIGTERM") const;
  /// Drops the result from the result store. Throws broker_error.
  void forget() const;

 protected:
  friend class result_access;
  using outcome_call = std::function<void(const std::exception_ptr& error, const std::string& json)>;
  result_handle(app where, std::string id, std::string name, bool is_ignored);
  result_handle(app where, std::string id, std::vector<std::string> ids, std::vector<bool> ignored);
  result_handle(app where, std::string id, std::vector<std::shared_ptr<result_cell>> cells, bool is_group,
                std::vector<bool> ignored);  // which others share

  [[nodiscard]] std::string value(std::optional<std::chrono::nanoseconds> limit) const;
  /// Throws std::logic_error when there is none to wait for.
  void require_result() const;
  /// Calls `then` in any case once, on a thread that must not be held up. For a result that is required.
  void when_done(outcome_call then) const;
  [[nodiscard]] const std::vector<std::shared_ptr<result_cell>>& cells() const noexcept { return cells_; }

 private:
  app where_;
  std::string id_;
  std::vector<std::shared_ptr<result_cell>> cells_;  // one, or a group's
  bool is_group_ = false;
  std::vector<bool> ignored_;  // of each: nobody keeps its result
};

/// The result of a task; T as the task returns it, or `json` for its JSON. A group's is an array: its T is a vector.
template <class T = json>
class async_result : public result_handle {
 public:
  using value_type = T;

  /// Waits for the task's end, for as long as that takes, also while the result store is away; gives the result or
  /// throws what the task threw, `cancelled` for one that was revoked, decode_error when the result is no T. Throws
  /// std::logic_error at once for a task whose result is ignored, or that an eager app has not run; and where it could
  /// wait for ever, when it is not there yet: inside a task, whose workers may all be waiting, and in a callback on the
  /// thread that hears of results. pool_exhausted as future::get.
  T get() const { return detail::from_json<T>(value(std::nullopt)); }
  /// The same; throws timed_out, naming the task, when the time is up.
  T get(std::chrono::nanoseconds limit) const { return detail::from_json<T>(value(limit)); }

  /// The same as a future: for then, when_all, cancellation-free waits of all kinds. Dropping it is harmless. Throws
  /// std::logic_error for a task whose result is ignored, and for one that an eager app has not run.
  [[nodiscard]] tutti::future<T> future() const {
    require_result();
    auto made = std::make_shared<promise<T>>();
    auto result = made->get_future();
    when_done([made](const std::exception_ptr& error, const std::string& text) {
      try {
        if (error) std::rethrow_exception(error);
        if constexpr (std::is_void_v<T>) {
          made->set_value();
        } else {
          made->set_value(detail::from_json<T>(text));
        }
      } catch (...) {
        made->set_exception(std::current_exception());
      }
    });
    return result;
  }
  /// Takes the result to `g`, as future::then. Throws as future().
  template <class G>
  auto then(G&& g) const {
    return future().then(std::forward<G>(g));
  }
  /// Awaits the result in a coroutine. Throws std::logic_error inside a task, as get(), and as future().
  auto operator co_await() const {
    detail::check_await(*this);
    return future().operator co_await();
  }

 private:
  friend class result_access;
  using result_handle::result_handle;
};

/// The results of a group, in the order of its tasks.
template <class T = json>
class group_result : public result_handle {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return cells().size(); }
  /// The i-th task's; throws std::out_of_range.
  [[nodiscard]] async_result<T> operator[](std::size_t i) const;
  /// Waits for all, in order: the first in order that failed throws. See async_result::get.
  std::vector<T> get() const
    requires(!std::is_void_v<T>)
  {
    return collect(std::nullopt);
  }
  /// The same, for at most so long in all.
  std::vector<T> get(std::chrono::nanoseconds limit) const
    requires(!std::is_void_v<T>)
  {
    return collect(limit);
  }
  void get() const
    requires std::is_void_v<T>
  {
    static_cast<void>(value(std::nullopt));
  }
  void get(std::chrono::nanoseconds limit) const
    requires std::is_void_v<T>
  {
    static_cast<void>(value(limit));
  }
  /// How many have ended. Asks the result store, in one go.
  [[nodiscard]] std::size_t completed() const;
  /// The state of each. Asks the result store, in one go.
  [[nodiscard]] std::vector<std::string> states() const;
  /// All of them as one result: to await it.
  [[nodiscard]] auto all() const;

 private:
  friend class result_access;
  using result_handle::result_handle;
  std::vector<std::conditional_t<std::is_void_v<T>, json, T>> collect(
      std::optional<std::chrono::nanoseconds> limit) const;
};

/// How the module's parts make results, and look into them.
class result_access {
 public:
  template <class T>
  [[nodiscard]] static async_result<T> task(const app& where, std::string id, std::string name, bool is_ignored) {
    return async_result<T>(where, std::move(id), std::move(name), is_ignored);
  }
  template <class T>
  [[nodiscard]] static async_result<T> parts(const app& where, std::string id, std::vector<std::string> ids,
                                             std::vector<bool> ignored) {
    return async_result<T>(where, std::move(id), std::move(ids), std::move(ignored));
  }
  template <class T>
  [[nodiscard]] static group_result<T> group(const app& where, std::string id, std::vector<std::string> ids,
                                             std::vector<bool> ignored) {
    return group_result<T>(where, std::move(id), std::move(ids), std::move(ignored));
  }
  /// The i-th of a group.
  template <class T>
  [[nodiscard]] static async_result<T> member(const result_handle& of, std::size_t i) {
    auto cell = of.cells_.at(i);
    std::string id = id_of(*cell);
    return async_result<T>(of.where_, std::move(id), std::vector{std::move(cell)}, false, std::vector{of.ignored_[i]});
  }
  /// A group as one result.
  template <class T>
  [[nodiscard]] static async_result<T> whole(const result_handle& of) {
    return async_result<T>(of.where_, of.id_, of.cells_, true, of.ignored_);
  }
  /// Each of its tasks fails when one of these, its own, ends badly.
  static void fail_with(const result_handle& of, const std::vector<earlier_tasks>& before);
  /// Throws std::logic_error when it has not ended and a wait might be for ever; `blocks`: this thread.
  static void check_wait(const result_handle& of, bool blocks);
  [[nodiscard]] static std::vector<std::string> elements(const result_handle& of,
                                                         std::optional<std::chrono::nanoseconds> limit);
  [[nodiscard]] static std::vector<std::string> states(const result_handle& of);
  [[nodiscard]] static const app& where(const result_handle& of) noexcept { return of.where_; }

 private:
  [[nodiscard]] static const std::string& id_of(const result_cell& cell) noexcept;
};

/// A handle to the result of a task that was sent elsewhere, by its id.
template <class T = json>
[[nodiscard]] async_result<T> result(std::string id, const app& where = app::current()) {
  return result_access::task<T>(where, std::move(id), {}, false);
}

template <class T>
async_result<T> group_result<T>::operator[](std::size_t i) const {
  return result_access::member<T>(*this, i);
}

template <class T>
std::vector<std::conditional_t<std::is_void_v<T>, json, T>> group_result<T>::collect(
    std::optional<std::chrono::nanoseconds> limit) const {
  std::vector<T> all;
  all.reserve(size());
  for (const std::string& text : result_access::elements(*this, limit)) all.push_back(detail::from_json<T>(text));
  return all;
}

template <class T>
std::size_t group_result<T>::completed() const {
  std::size_t count = 0;
  for (const std::string& one : states()) count += one == "SUCCESS" || one == "FAILURE" || one == "REVOKED" ? 1 : 0;
  return count;
}

template <class T>
std::vector<std::string> group_result<T>::states() const {
  return result_access::states(*this);
}

template <class T>
auto group_result<T>::all() const {
  using element = std::conditional_t<std::is_void_v<T>, json, T>;
  if constexpr (std::is_same_v<element, json>) {
    return result_access::whole<json>(*this);
  } else {
    return result_access::whole<std::vector<element>>(*this);
  }
}

}  // namespace tutti::cluster
