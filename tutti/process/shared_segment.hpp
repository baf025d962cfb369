// shared_segment: one shared thing in memory of its own, as a handle that can be copied and sent to other processes.
#pragma once
#include <tutti/process/handles.hpp>
#include <tutti/process/shared_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace tutti::detail {

/// What is in a segment. Whoever gets one from another process compares it with what it expects.
struct segment_form {
  enum kinds : std::uint32_t { value = 1, array, mutex, semaphore };

  const char* what;  ///< "shared_value", for errors and /proc/PID/maps
  kinds kind;
  std::size_t element;    ///< bytes of an element
  std::size_t alignment;  ///< of an element
};

/// Refers to a segment, or to none. Copies refer to the same; the memory goes with the last reference of the last
/// process, whatever becomes of the others. One object is used by one thread at a time, as a shared_ptr.
class shared_segment {
 public:
  /// Refers to none.
  shared_segment() = default;
  /// `count` times `bytes_each` bytes of zeroes. Throws os_error.
  shared_segment(const segment_form& form, std::size_t count, std::size_t bytes_each);

  shared_segment(const shared_segment&) = default;
  shared_segment& operator=(const shared_segment&) = default;
  shared_segment(shared_segment&& other) noexcept
      : memory_(std::move(other.memory_)),
        body_(std::exchange(other.body_, nullptr)),
        count_(std::exchange(other.count_, 0)) {}
  shared_segment& operator=(shared_segment&& other) noexcept {
    memory_ = std::move(other.memory_);
    body_ = std::exchange(other.body_, nullptr);
    count_ = std::exchange(other.count_, 0);
    return *this;
  }
  ~shared_segment() = default;

  explicit operator bool() const noexcept { return memory_ != nullptr; }
  /// Where the elements begin; nullptr of no segment.
  [[nodiscard]] std::byte* data() const noexcept { return body_; }
  /// The same; of no segment, a std::logic_error that says so.
  [[nodiscard]] std::byte* body(const char* what) const {
    if (memory_ == nullptr) [[unlikely]]
      throw_empty(what);
    return body_;
  }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Writes whether it refers to a segment, and sends the segment's descriptor along.
  template <class Archive>
  void save(Archive& archive, const char* what) const {
    archive(memory_ != nullptr);
    if (memory_ != nullptr) archive(attach_duplicate(memory_->fd(), what));
  }
  /// Throws decode_error when what came is not of that form.
  template <class Archive>
  void load(Archive& archive, const segment_form& form, std::size_t bytes_each) {
    bool refers = false;
    archive(refers);
    std::uint32_t number = 0;
    if (refers) archive(number);
    *this = refers ? shared_segment(take_handle(number, form.what), form, bytes_each) : shared_segment();
  }

 private:
  shared_segment(unique_fd fd, const segment_form& form, std::size_t bytes_each);
  [[noreturn]] static void throw_empty(const char* what);

  std::shared_ptr<const shared_memory> memory_;
  std::byte* body_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace tutti::detail
