// request: a send, receive or collective under way.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/mpi/comm_state.hpp>
#include <tutti/mpi/element.hpp>
#include <tutti/mpi/request_wait.hpp>
#include <tutti/mpi/status.hpp>

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::mpi {

namespace detail {

/// What is under way, for MPI and for errors and reports. Within one cache line: programs have many. What MPI writes is
/// last: it is known last, and copying it together with what was written long before would wait for it.
struct started {
  const comm_state* where = nullptr;  // null: nothing
  const char* call = "";
  const char* file = "";  // of the place where it was begun
  unsigned line = 0;
  int peer = no_rank;
  int tag = any_tag;
  bool receives = false;
  bool is_collective = false;
  std::uintptr_t handle = 0;  // MPI_Request
  std::uint64_t watched = 0;  // for who watches; 0: nobody, or it is not known what ends it

  [[nodiscard]] place here() const noexcept { return {file, line, ""}; }
};

/// What is sent, when nobody else keeps it.
struct owned_message {
  owned_message() = default;
  virtual ~owned_message() = default;
  owned_message(const owned_message&) = delete;
  owned_message& operator=(const owned_message&) = delete;
};
template <class T>
struct owned_value final : owned_message {
  explicit owned_value(T v) : value(std::move(v)) {}
  T value;
};

status wait_for(started& what, const place& here);
std::optional<status> test(started& what);
/// A receive that has not begun to get its message is ended; then waits for its end, whatever it is. Takes a copy, so
/// that a request whose address nobody has need not be in memory.
void give_up(started what) noexcept;

}  // namespace detail

/// Something that MPI has begun and will end: `isend`, `irecv_into`, `ibcast`, ... What it reads from or writes to must
/// stay until then, and so must the communicator. Waited for by `wait`, `wait_all`, `wait_any`, or by a coroutine with
/// co_await; `test` only looks. Destroying one that is under way gives a receive up, and waits for all else. Move-only;
/// for one thread at a time.
class [[nodiscard]] request {
 public:
  /// Nothing is under way.
  request() = default;
  /// For the library.
  explicit request(const detail::started& what) noexcept : what_(what) {}
  request(const detail::started& what, std::unique_ptr<detail::owned_message> owned) noexcept
      : what_(what), owned_(std::move(owned)) {}
  // A handle that was moved from is only marked so: messages of few bytes cost little more than such a copy.
  request(request&& other) noexcept : what_(other.what_), owned_(std::move(other.owned_)) {
    other.what_.where = nullptr;
  }
  request& operator=(request&& other) noexcept {
    if (this == &other) return *this;
    if (active()) detail::give_up(what_);
    what_ = other.what_;
    other.what_.where = nullptr;
    owned_ = std::move(other.owned_);
    return *this;
  }
  ~request() {
    if (active()) detail::give_up(what_);
  }

  /// Whether something is under way, or has ended without anybody having been told.
  [[nodiscard]] bool active() const noexcept { return what_.where != nullptr; }
  /// Blocks until it has ended; for receives the status says what came. Nothing under way: returns at once. Throws
  /// mpi::error.
  status wait(const place& here = place::current()) { return detail::wait_for(what_, here); }
  /// The same without blocking: nothing when it has not ended.
  std::optional<status> test() { return detail::test(what_); }
  /// Asks MPI to give a receive up that has not begun; it must still be waited for.
  void cancel() noexcept;

  /// co_await request: until it has ended; see mpi::run and docs/mpi.md for who makes progress meanwhile. A task that
  /// is asked to stop gives a receive up, and throws `cancelled`; all else is waited for, as its memory is in use.
  auto operator co_await() noexcept { return detail::request_awaiter(what_); }

 private:
  friend struct detail::request_access;
  detail::started what_;
  std::unique_ptr<detail::owned_message> owned_;  // what is sent, when nobody else keeps it
};

namespace detail {
struct request_access {
  static started& of(request& r) noexcept { return r.what_; }
};
}  // namespace detail

/// Blocks until all have ended. The first error is thrown when all have ended.
void wait_all(std::span<request> requests, const place& here = place::current());
/// The same, and says what came, in order.
std::vector<status> wait_all_statuses(std::span<request> requests, const place& here = place::current());
/// Which of several requests has ended, and what came.
struct ended_request {
  std::size_t index = 0;
  status came;
};
/// Blocks until one has ended. Those that nobody waits for any more are passed over; where there are no others the
/// index is requests.size().
ended_request wait_any(std::span<request> requests, const place& here = place::current());
/// Whether all have ended; does not block.
bool test_all(std::span<request> requests);

/// A send or receive that is made once and started again and again, for loops that exchange the same memory each time.
/// Move-only; for one thread at a time.
class [[nodiscard]] persistent_request {
 public:
  persistent_request() = default;
  explicit persistent_request(const detail::started& what) noexcept : what_(what) {}
  persistent_request(persistent_request&& other) noexcept
      : what_(std::exchange(other.what_, {})), running_(std::exchange(other.running_, false)) {}
  persistent_request& operator=(persistent_request&& other) noexcept {
    std::swap(what_, other.what_);
    std::swap(running_, other.running_);
    return *this;
  }
  ~persistent_request();

  /// Begins it once more. Throws std::logic_error when it is under way, and when it has ended in an error before.
  void start(const place& here = place::current());
  /// Blocks until it has ended; returns at once when it was not started.
  status wait(const place& here = place::current());
  /// The same without blocking: nothing when it has not ended.
  std::optional<status> test();

 private:
  status ended(int code, bool is_gone, const status& came);

  detail::started what_;
  bool running_ = false;
};

}  // namespace tutti::mpi
