// lines: what a process says, line by line, while it says it.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <cstddef>
#include <iterator>
#include <string>

namespace tutti {

/// The lines that come from a pipe or another descriptor, as they come:
/// `for (const std::string& line : lines(p.out())) ...`. Without their newlines, but with a carriage return before one;
/// what stands behind the last newline is a line, too. Iteration blocks until there is one, or the end of the file: for
/// a pipe, until nobody can write any more. An input range, to be gone through once, by one thread at a time; what it
/// has read ahead is lost with it.
class lines {
 public:
  /// Refers to the descriptor, which must outlive it. Throws std::invalid_argument if there is none.
  explicit lines(const unique_fd& from);
  explicit lines(unique_fd&&) = delete;
  lines(const lines&) = delete;
  lines& operator=(const lines&) = delete;

  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = std::string;
    using difference_type = std::ptrdiff_t;
    iterator() noexcept = default;
    const std::string& operator*() const noexcept { return of_->line_; }
    const std::string* operator->() const noexcept { return &of_->line_; }
    /// Throws os_error when reading fails.
    iterator& operator++() {
      if (!of_->read()) of_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& at, std::default_sentinel_t) noexcept { return at.of_ == nullptr; }

   private:
    friend lines;
    explicit iterator(lines* of) noexcept : of_(of) {}
    lines* of_ = nullptr;
  };
  /// Reads the first line. Throws os_error.
  [[nodiscard]] iterator begin() { return iterator(read() ? this : nullptr); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  bool read();

  const unique_fd* from_;
  std::string line_, ahead_;
  std::size_t at_ = 0;  // in `ahead_`
};

}  // namespace tutti
