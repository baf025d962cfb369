// value_request: a value of any length that is to come; what irecv<T>() gives.
#pragma once
#include <tutti/mpi/point_to_point.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace tutti::mpi {

namespace detail {

/// A message that is to come.
struct expected {
  const comm_state* where = nullptr;
  int from = any_source;
  int tag = any_tag;
  place here;
};
std::optional<found_message> improbe(const expected& what);

/// A coroutine that waits for a message to be there: found, so that nobody else can receive it.
class message_awaiter : public tutti::detail::own_awaiter, public suspension, public pending {
 public:
  explicit message_awaiter(const expected& what) noexcept : suspension("mpi::irecv"), what_(what) {}
  bool await_ready();
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return wait(awaiter.promise());
  }
  void describe(std::ostream& out) const override;

 protected:
  /// await_resume.
  found_message found();
  [[nodiscard]] const expected& what() const noexcept { return what_; }

 private:
  bool wait(coroutine_link& link);
  bool look() noexcept override;
  void ended(int code, const status& came, bool was_cancelled) noexcept override;
  void on_stop() noexcept override;

  const expected what_;
  progress_set* by_ = nullptr;
  std::optional<found_message> found_;
  bool waited_ = false;
  std::exception_ptr refused_;
};

template <class T>
T receive_found(const expected& what, found_message& found) {
  if (found.about.source == no_rank) return T{};
  if constexpr (growing_buffer<T>) {
    constexpr std::size_t unit = sizeof(std::ranges::range_value_t<T>);
    if (found.about.bytes % unit != 0) {
      std::string dropped(found.about.bytes, '\0');
      mrecv(*what.where, found, dropped.data(), "irecv", what.here);
      refuse_length(*what.where, found.about, unit, "elements", "irecv", what.here);
    }
    T value;
    value.resize(found.about.bytes / unit);
    mrecv(*what.where, found, std::ranges::data(value), "irecv", what.here);
    return value;
  } else {
    std::string bytes(found.about.bytes, '\0');
    mrecv(*what.where, found, bytes.data(), "irecv", what.here);
    T value = T();
    decode_message(*what.where, found.about, bytes, value, "irecv", what.here);
    return value;
  }
}

}  // namespace detail

/// A value that is to be received. Waited for by `wait`, or by a coroutine with co_await; `test` only looks. A value of
/// fixed length is being received from the beginning, and one that is dropped takes a message that had come with it; of
/// others the message is looked for, and left to others when it is dropped. Move-only; for one thread at a time.
template <class T>
class [[nodiscard]] value_request {
  // What has a fixed length can be received at any moment; for all else its length must be known first.
  static constexpr bool is_fixed = raw_message<T> && !growing_buffer<T>;

 public:
  /// For the library.
  explicit value_request(const detail::expected& what) : what_(what) {
    if constexpr (is_fixed) {
      value_ = std::make_unique<T>();
      request_ =
          request(detail::irecv(*what.where, detail::writable_memory_of(*value_), what.from, what.tag, what.here));
    }
  }

  /// Blocks until the value is there. Once only. Throws mpi::error; decode_error for bytes that are no T.
  T wait(const place& here = place::current()) {
    if constexpr (is_fixed) {
      check_left();
      return checked(request_.wait(here));
    } else {
      return detail::recv_value<T>(*what_.where, what_.from, what_.tag, nullptr, "irecv", here);
    }
  }
  /// The value, if it is there; then once only.
  std::optional<T> test() {
    if constexpr (is_fixed) {
      check_left();
      const auto came = request_.test();
      return came ? std::optional<T>(checked(*came)) : std::nullopt;
    } else {
      auto found = detail::improbe(what_);
      return found ? std::optional<T>(detail::receive_found<T>(what_, *found)) : std::nullopt;
    }
  }

  /// co_await: the value.
  auto operator co_await() noexcept {
    if constexpr (is_fixed) {
      return fixed_awaiter(*this);
    } else {
      return found_awaiter(what_);
    }
  }

 private:
  struct fixed_awaiter final : detail::request_awaiter {
    explicit fixed_awaiter(value_request& o) noexcept
        : request_awaiter(detail::request_access::of(o.request_)), owner(o) {}
    T await_resume() { return owner.checked(request_awaiter::await_resume()); }
    value_request& owner;
  };
  struct found_awaiter final : detail::message_awaiter {
    using message_awaiter::message_awaiter;
    T await_resume() {
      detail::found_message found = this->found();
      return detail::receive_found<T>(what(), found);
    }
  };
  T checked(const status& came) {
    if (came.bytes != detail::writable_memory_of(*value_).bytes() && came.source != no_rank) {
      detail::refuse_length(*what_.where, came, sizeof(T), "bytes", "irecv", what_.here);
    }
    T value = std::move(*value_);
    value_.reset();
    return value;
  }
  void check_left() const {
    if (value_ == nullptr) {
      throw std::logic_error("mpi::value_request: the value was taken already, or the request was moved from");
    }
  }

  detail::expected what_;
  std::unique_ptr<T> value_;
  request request_;
};

template <class T>
value_request<T> point_to_point::irecv(int from, int tag, const place& here) const {
  detail::check_received<T>();
  return value_request<T>(detail::expected{.where = &state(), .from = from, .tag = tag, .here = here});
}

}  // namespace tutti::mpi
