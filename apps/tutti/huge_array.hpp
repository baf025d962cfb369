// huge_array: a zeroed array of trivial elements, on huge pages where it is large.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace tutti::app {

/// A fixed number of zero elements straight from the kernel, all pages in place. From 2 MiB on it asks for huge pages:
/// a table with random access then needs one TLB entry per 2 MiB. Move-only.
template <class T>
class huge_array {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>, "elements begin as zero bytes");

 public:
  huge_array() noexcept = default;

  /// Throws std::bad_alloc when the kernel has no such memory.
  explicit huge_array(std::size_t size) : size_(size) {
    if (size == 0) return;
    void* memory = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    constexpr std::size_t huge_page = std::size_t{2} << 20;
    if (bytes() >= huge_page) (void)::madvise(memory, bytes(), MADV_HUGEPAGE);  // a wish: it works without
    // Else a look at a page before the first write maps the kernel's page of zeros, and the write has to interrupt
    // every other core that runs this process: a fifth of the time of two threads that fill tables. A wish, too.
    (void)::madvise(memory, bytes(), MADV_POPULATE_WRITE);
    data_ = static_cast<T*>(memory);
  }

  huge_array(huge_array&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

  huge_array& operator=(huge_array&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  ~huge_array() {
    if (data_ != nullptr) ::munmap(data_, bytes());
  }

  std::size_t size() const noexcept { return size_; }  ///< elements
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  T* begin() noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }

 private:
  std::size_t bytes() const noexcept { return size_ * sizeof(T); }

  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tutti::app
