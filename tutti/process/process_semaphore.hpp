// process_semaphore: a number of permits for several processes; those of a dead process come back. process_permit: a
// guard that gives one back.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/process/shared_segment.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace tutti {

class process_permit;

/// A handle of so many permits in shared memory: copies, and what other processes get of it as an argument or result,
/// are the same semaphore. A permit belongs to the process that took it: any of its threads may give it back, no other
/// process can, a forked child neither. (To count events that others wait for, use a process_channel or a
/// shared_value.) Whoever takes a permit sees what those did who gave one back. Nobody is served in order. A
/// default-constructed one refers to nothing; using it throws std::logic_error.
///
/// When a process ends with permits, however it ends, they are given back as soon as somebody finds none left and looks
/// for the reason. That is the one who is told: its acquire or try_acquire throws owner_lost, once for each such find,
/// and has taken nothing; what the permits stood for may be half done. If it ends before that, the next to acquire is
/// told. Who finds permits does not look, and who waits looks after 10 ms, then ever more rarely, to once a second.
///
/// Thread-safe, but for assignments to one handle. At most 1024 processes can hold permits or wait at a time. All must
/// be in one PID namespace and see /proc. Costs 32 KB of memory and a descriptor.
class process_semaphore {
 public:
  /// Refers to nothing.
  process_semaphore() = default;
  /// `permits` to share. `name`: shown in errors, in all processes; copied. Throws os_error, std::invalid_argument for
  /// negative permits, or more than 2^31 - 1, or a name of more than 63 bytes.
  explicit process_semaphore(std::ptrdiff_t permits, std::string_view name = {});

  /// True unless it refers to nothing.
  explicit operator bool() const noexcept { return static_cast<bool>(segment_); }

  /// Blocks until it has a permit. Throws owner_lost, see above; would_block when it would wait on the thread of a
  /// loop; pool_exhausted when a pool's worker would wait and cannot be replaced; os_error when too many processes take
  /// part.
  void acquire(place here = place::current()) const;
  /// Takes a permit if there is one; does not wait for one, but for the few steps in which another process changes the
  /// numbers: for long if that one is stopped in them. Throws owner_lost and os_error, as acquire().
  [[nodiscard]] bool try_acquire() const;
  /// Blocks for at most `limit` on the machine's clock; false when the time is up. Zero and less try once; max waits
  /// without limit. Throws as acquire().
  [[nodiscard]] bool acquire_for(std::chrono::nanoseconds limit, place here = place::current()) const;
  /// Gives back `n` permits of this process and wakes as many waiters. Waits as try_acquire() does. Throws not_owner
  /// when this process has fewer, std::invalid_argument for a negative n; then none was given.
  void release(std::ptrdiff_t n = 1) const;

  /// The same three forms for a permit that goes back by itself. In those that may fail, it is empty then.
  [[nodiscard]] process_permit acquire_permit(place here = place::current()) const;
  [[nodiscard]] process_permit try_acquire_permit() const;
  [[nodiscard]] process_permit acquire_permit_for(std::chrono::nanoseconds limit, place here = place::current()) const;

  /// How many permits are there at this moment; those of the dead are not, until they are found.
  [[nodiscard]] std::ptrdiff_t value() const;

  /// The name it was given; valid as long as this handle, or a copy made here, refers to the semaphore.
  [[nodiscard]] std::string_view name() const;

  /// For the codec: the permits stay where they are. Throws encode_error unless encoded for a process of this machine.
  template <class Archive>
  void save(Archive& archive) const {
    segment_.save(archive, form.what);
  }
  /// Throws decode_error when what came is not a process_semaphore, os_error.
  template <class Archive>
  void load(Archive& archive) {
    segment_.load(archive, form, bytes);
    arrived();
  }

 private:
  struct content;
  class turn;
  static const detail::segment_form form;
  static const std::size_t bytes;

  void arrived() const;
  content& inside() const;
  bool take(const char* what, std::chrono::steady_clock::time_point deadline, place here) const;

  detail::shared_segment segment_;
};

/// A permit of a process_semaphore, given back when it is destroyed, by whatever thread of the process that took it; or
/// none. In a forked child it holds none, and gives nothing back. Move-only. One object is used by one thread at a
/// time.
class [[nodiscard]] process_permit {
 public:
  /// Holds none.
  process_permit() = default;
  process_permit(process_permit&& other) noexcept : of_(std::move(other.of_)), owner_(std::exchange(other.owner_, 0)) {}
  process_permit& operator=(process_permit&& other) noexcept {
    if (this == &other) return *this;
    release();
    of_ = std::move(other.of_);
    owner_ = std::exchange(other.owner_, 0);
    return *this;
  }
  ~process_permit() { release(); }

  /// True if it holds one.
  explicit operator bool() const noexcept;
  /// Gives it back now; nothing if it holds none. Waits as process_semaphore::release does. Terminates the program when
  /// the process has given it back already.
  void release() noexcept;

 private:
  friend process_semaphore;
  explicit process_permit(const process_semaphore& of);

  process_semaphore of_;
  std::uint64_t owner_ = 0;  // the process that took it
};

}  // namespace tutti
