// elements_of: what a generator yields one by one, as its own.
#pragma once
#include <utility>

namespace tutti {

/// `co_yield elements_of(range)` in a generator: its consumer gets each element of the range, then the generator goes
/// on. Refers to the range, which lives at least as long as the co_yield expression, temporaries included.
template <class Range>
class elements_of {
 public:
  // Not an aggregate: g++ 12 destroys those twice in co_yield expressions.
  explicit elements_of(Range&& range) noexcept : range_(std::forward<Range>(range)) {}

  /// The range as it was given: T& for a variable, T&& for a temporary or what was moved.
  Range&& get() const noexcept { return std::forward<Range>(range_); }

 private:
  Range&& range_;
};

template <class Range>
elements_of(Range&&) -> elements_of<Range&&>;

}  // namespace tutti
