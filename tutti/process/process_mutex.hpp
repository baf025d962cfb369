// process_mutex: one thread at a time, of several processes; a dead owner is an error that the next one sees.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/process/shared_segment.hpp>

#include <chrono>
#include <memory>
#include <string_view>

namespace tutti {

/// A handle of a lock in shared memory: copies, and what other processes get of it as an argument or result, are the
/// same lock. It belongs to the thread that locked it, and only that may unlock it. Unlocking is visible to whoever
/// locks next, in any process. Nobody is served in order. A default-constructed one refers to nothing; using it throws
/// std::logic_error.
///
/// When its owner, a thread or a process, ends while it holds it, the lock is free again, and the next to lock it is
/// told, once: what it protects may be half done. lock() and the forms that try throw owner_lost, and do not hold it
/// then; lock_to_repair() holds it and says so.
///
/// Meets Lockable: std::lock_guard, std::unique_lock and std::scoped_lock take it. Thread-safe, but for assignments to
/// one handle. Destroying the last handle that a process has while one of its threads holds the lock is a fatal error
/// that names it. A thread that ends with more than 2048 of them leaves those beyond locked for ever: the kernel frees
/// no more. Costs a page of memory and a descriptor.
class process_mutex {
 public:
  /// Refers to nothing.
  process_mutex() = default;
  /// A new lock, free. `name`: shown in errors, in all processes; copied; may be empty. Throws os_error,
  /// std::invalid_argument for a name of more than 63 bytes.
  explicit process_mutex(std::string_view name);

  /// True unless it refers to nothing.
  explicit operator bool() const noexcept { return here_ != nullptr; }

  /// Blocks until the lock is taken. Throws owner_lost, see above; deadlock when the thread holds it already;
  /// would_block when it would wait on the thread of a loop; pool_exhausted when a pool's worker would wait and cannot
  /// be replaced.
  void lock(place at = place::current()) const;
  /// Takes the lock if it is free; never blocks. False to who holds it already. Throws owner_lost.
  [[nodiscard]] bool try_lock() const;
  /// Blocks for at most `limit` on the machine's clock; false when the time is up. Zero and less try once; max waits
  /// without limit. Throws as lock().
  [[nodiscard]] bool lock_for(std::chrono::nanoseconds limit, place at = place::current()) const;
  /// Blocks until the lock is taken. True when the last owner ended while it held it, so that what it protects may be
  /// half done; who ends before it has repaired that and unlocked leaves it so to the next. Throws as lock(), but no
  /// owner_lost.
  [[nodiscard]] bool lock_to_repair(place at = place::current()) const;
  /// Gives the lock up. Never blocks. Throws not_owner unless the thread has locked it.
  void unlock() const;

  /// The name it was given; valid as long as this handle, or a copy made here, refers to the lock.
  [[nodiscard]] std::string_view name() const;

  /// For the codec: the lock itself stays where it is. Throws encode_error unless encoded for a process of this
  /// machine.
  template <class Archive>
  void save(Archive& archive) const {
    segment().save(archive, form.what);
  }
  /// Throws decode_error when what came is not a process_mutex.
  template <class Archive>
  void load(Archive& archive) {
    detail::shared_segment segment;
    segment.load(archive, form, bytes);
    *this = process_mutex(std::move(segment));
  }

 private:
  struct content;
  class mapping;
  static const detail::segment_form form;
  static const std::size_t bytes;

  explicit process_mutex(detail::shared_segment&& segment);
  detail::shared_segment segment() const noexcept;  // that of none, when it refers to nothing
  mapping& inside() const;

  std::shared_ptr<mapping> here_;
};

}  // namespace tutti
