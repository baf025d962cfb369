// shared_array: elements in the memory of several processes, passed by handle: nothing is copied on the way.
#pragma once
#include <tutti/process/shared_segment.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace tutti {

/// A handle of a fixed number of elements in shared memory: copies, and what other processes get of it as an argument
/// or result, refer to the same elements, and see each other's writes. The memory goes when the last of them does, also
/// when processes were killed. As with std::span, const says nothing about the elements. A default-constructed one
/// refers to nothing: its size is 0, and it may be sent.
///
/// The elements are plain memory: what several threads or processes write at once needs a process_mutex, or
/// std::atomic_ref. What a task writes is visible to whoever has its result.
///
/// T is trivially copyable and holds no pointers. Costs whole pages, all taken at once, and a descriptor.
template <class T>
class shared_array {
  static_assert(!std::is_pointer_v<T> && !std::is_member_pointer_v<T> && !std::is_null_pointer_v<T>,
                "tutti: a shared_array cannot hold pointers: an address means nothing in another process");
  static_assert(std::is_trivially_copyable_v<T>,
                "tutti: a shared_array needs a trivially copyable type, such as a number or a struct of numbers: other "
                "processes see its bytes, not what they refer to");
  static_assert(std::is_same_v<T, std::remove_cv_t<T>>, "tutti: a shared_array<T> needs a T without const or volatile");
  static_assert(alignof(T) <= 4096, "tutti: a shared_array cannot align its elements more than a page");

 public:
  using value_type = T;
  using size_type = std::size_t;
  using iterator = T*;

  /// Refers to nothing.
  shared_array() = default;
  /// `n` elements, T() each: zeroes, for numbers. n may be 0. Throws os_error, which names the bytes, when there is no
  /// memory, and std::length_error for more than there can ever be.
  explicit shared_array(std::size_t n)
    requires std::default_initializable<T>
      : shared_array(memory_of{n}) {
    // The memory is zeroes already.
    if constexpr (!std::is_trivially_default_constructible_v<T>) std::uninitialized_value_construct_n(data(), n);
  }
  /// With the elements of a range. Throws as the above, and what reading the range throws.
  template <std::ranges::forward_range R>
    requires std::convertible_to<std::ranges::range_reference_t<R>, T>
  [[nodiscard]] static shared_array copy_of(R&& range) {
    shared_array made(memory_of{static_cast<std::size_t>(std::ranges::distance(range))});
    std::ranges::uninitialized_copy(range, made.span());
    return made;
  }

  /// True unless it refers to nothing.
  explicit operator bool() const noexcept { return static_cast<bool>(segment_); }
  [[nodiscard]] std::size_t size() const noexcept { return segment_.count(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

  /// The elements; valid as long as any handle of this process refers to them.
  [[nodiscard]] T* data() const noexcept { return reinterpret_cast<T*>(segment_.data()); }
  [[nodiscard]] std::span<T> span() const noexcept { return {data(), size()}; }
  [[nodiscard]] T* begin() const noexcept { return data(); }
  [[nodiscard]] T* end() const noexcept { return data() + size(); }
  /// Not checked.
  [[nodiscard]] T& operator[](std::size_t i) const noexcept { return data()[i]; }
  /// Checked: throws std::out_of_range.
  [[nodiscard]] T& at(std::size_t i) const {
    if (i >= size()) {
      throw std::out_of_range("shared_array: element " + std::to_string(i) + " of " + std::to_string(size()));
    }
    return data()[i];
  }

  /// For the codec: the elements stay where they are. Throws encode_error unless encoded for a process of this machine.
  template <class Archive>
  void save(Archive& archive) const {
    segment_.save(archive, form.what);
  }
  /// Throws decode_error when what came is not a shared_array of elements of this size.
  template <class Archive>
  void load(Archive& archive) {
    segment_.load(archive, form, sizeof(T));
  }

 private:
  struct memory_of {
    std::size_t elements;
  };
  static constexpr detail::segment_form form{"shared_array", detail::segment_form::array, sizeof(T), alignof(T)};

  explicit shared_array(memory_of wanted) : segment_(form, wanted.elements, sizeof(T)) {}

  detail::shared_segment segment_;
};

}  // namespace tutti
