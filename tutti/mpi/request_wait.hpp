// request_wait: a coroutine that waits for a request.
#pragma once
#include <tutti/core/suspension.hpp>
#include <tutti/mpi/status.hpp>

#include <atomic>
#include <cstdint>
#include <exception>

namespace tutti::mpi::detail {

struct started;
struct request_access;
class progress_set;

/// Something that whoever makes progress asks MPI for again and again, and is told the end of. Lives until then.
class pending {
 public:
  pending(const pending&) = delete;
  pending& operator=(const pending&) = delete;
  /// Its end: `code` is MPI's. On the thread that makes progress; it may be destroyed inside.
  virtual void ended(int code, const status& came, bool was_cancelled) noexcept = 0;

  /// For what has no request: whether it has ended.
  virtual bool look() noexcept { return false; }

  std::uintptr_t handle = 0;  // MPI_Request; 0: to be looked for
  std::uint64_t watched = 0;  // for who watches
  std::atomic<bool> give_up{false};

 protected:
  pending() = default;
  ~pending() = default;
};

class request_awaiter : public tutti::detail::own_awaiter, public suspension, public pending {
 public:
  explicit request_awaiter(started& what) noexcept : suspension("mpi::request"), what_(what) {}
  bool await_ready();
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return wait(awaiter.promise());
  }
  status await_resume();
  void describe(std::ostream& out) const override;

 private:
  bool wait(coroutine_link& link);
  void ended(int code, const status& came, bool was_cancelled) noexcept override;
  void on_stop() noexcept override;

  started& what_;
  progress_set* by_ = nullptr;
  status came_;
  int code_ = 0;
  bool was_cancelled_ = false, waited_ = false;
  std::exception_ptr refused_;
};

}  // namespace tutti::mpi::detail
