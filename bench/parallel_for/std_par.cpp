// std::execution::par: for_each over counted indices; libstdc++ runs it on oneTBB, whose arena sets the threads.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <compare>
#include <execution>
#include <iterator>

#include "systems.hpp"

namespace bench::parallel_for {

namespace {

// An index as a random access iterator, which std::views::iota's iterators are not for the parallel algorithms.
class counter {
 public:
  using iterator_category = std::random_access_iterator_tag;
  using value_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using pointer = const std::size_t*;
  using reference = std::size_t;

  counter() = default;
  explicit counter(std::size_t at) : at_(at) {}
  std::size_t operator*() const { return at_; }
  std::size_t operator[](difference_type n) const { return at_ + static_cast<std::size_t>(n); }
  counter& operator++() { return ++at_, *this; }
  counter operator++(int) { return counter(at_++); }
  counter& operator--() { return --at_, *this; }
  counter operator--(int) { return counter(at_--); }
  counter& operator+=(difference_type n) { return at_ += static_cast<std::size_t>(n), *this; }
  counter& operator-=(difference_type n) { return at_ -= static_cast<std::size_t>(n), *this; }
  [[maybe_unused]] friend counter operator+(counter c, difference_type n) { return c += n; }
  friend counter operator+(difference_type n, counter c) { return c += n; }
  [[maybe_unused]] friend counter operator-(counter c, difference_type n) { return c -= n; }
  friend difference_type operator-(counter a, counter b) { return static_cast<difference_type>(a.at_ - b.at_); }
  friend auto operator<=>(counter, counter) = default;

 private:
  std::size_t at_ = 0;
};

class std_par : public system_of<std_par> {
 public:
  explicit std_par(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), arena_(threads) {}
  template <class Body>
  void loop(std::size_t n, const Body& each) {
    arena_.execute([&] { std::for_each(std::execution::par, counter(0), counter(n), each); });
  }

 private:
  tbb::global_control limit_;
  tbb::task_arena arena_;
};

}  // namespace

void add_std_par(contenders& to, int threads) { to.emplace_back("std::par", std::make_unique<std_par>(threads)); }

}  // namespace bench::parallel_for
