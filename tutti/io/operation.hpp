// operation: one piece of input or output under way, and who is told of its end.
#pragma once
#include <cstddef>
#include <new>
#include <system_error>

namespace tutti::io::detail {

/// Whoever begins input or output derives from it: a coroutine's wait, or a protocol on top of a stream. Lives until
/// `happened` was called. All on the loop's thread.
class operation {
 public:
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;

  /// The operation has ended, having moved `bytes`: never inside the call that began it. `error` is
  /// errc::operation_canceled when it was ended early. It may be destroyed inside.
  virtual void happened(std::error_code error, std::size_t bytes) noexcept = 0;

  /// Memory for the notes of who carries it out, while it is under way: at hand for one at a time.
  void* take_memory(std::size_t size) {
    if (size > sizeof memory_ || memory_taken_) return ::operator new(size);
    memory_taken_ = true;
    return memory_;
  }
  void give_back_memory(void* memory) noexcept {
    if (memory != memory_) return ::operator delete(memory);
    memory_taken_ = false;
  }

 protected:
  operation() = default;
  ~operation() = default;

 private:
  bool memory_taken_ = false;
  alignas(std::max_align_t) std::byte memory_[192];
};

}  // namespace tutti::io::detail
