// filter: the elements of a range that satisfy a predicate, in order.
#pragma once
#include <tutti/core/fork_join.hpp>
#include <tutti/parallel/loop.hpp>
#include <tutti/parallel/small_sort.hpp>

#include <array>
#include <cstdint>
#include <ranges>
#include <span>
#include <vector>

namespace tutti::detail {

template <class I, class Pred>
class filter {
 public:
  using value = std::iter_value_t<I>;
  using difference = std::iter_difference_t<I>;
  using part = std::vector<value>;

  filter(Pred& pred, loop_control& control) : pred_(pred), control_(control) {}

  part run(worker* w, I first, difference n) {
    std::vector<part> parts = collect(w, first, n, block_sizer(control_.grain()));
    if (parts.size() == 1) return std::move(parts.front());
    std::size_t total = 0;
    for (const part& p : parts) total += p.size();
    part all;
    all.reserve(total);
    for (part& p : parts) all.insert(all.end(), std::make_move_iterator(p.begin()), std::make_move_iterator(p.end()));
    return all;
  }

 private:
  // One part for each stretch that was filtered in one go: few, as work is only divided when somebody asks for it.
  std::vector<part> collect(worker* w, I first, difference n, block_sizer sizer) {
    std::vector<part> parts(1);
    while (n > 0 && !control_.stopped()) {
      const auto left = static_cast<std::uint64_t>(n);
      if (should_split(w, sizer, left)) {
        const auto half = static_cast<difference>(sizer.half(left));
        auto here = [&] { return collect(this_worker, first, half, sizer); };
        auto there = [&] { return collect(this_worker, first + half, n - half, sizer); };
        auto [a, b] = fork_join_on(w, here, there);
        for (part& p : a) parts.push_back(std::move(p));
        for (part& p : b) parts.push_back(std::move(p));
        return parts;
      }
      const auto block = static_cast<difference>(std::min<std::uint64_t>(sizer.next(left), left));
      control_.run([&] { sizer.run(static_cast<std::size_t>(block), [&] { append(parts.front(), first, block); }); });
      first += block;
      n -= block;
    }
    return parts;
  }

  void append(part& to, I first, difference n) {
    if constexpr (cheap_to_copy<value> && std::is_lvalue_reference_v<std::iter_reference_t<I>>) {
      // Branchless: offsets are written whatever the answer is, and counted if it is yes.
      std::array<std::uint16_t, 512> chosen;
      while (n > 0) {
        const difference m = std::min<difference>(n, std::ssize(chosen));
        std::size_t count = 0;
        for (difference i = 0; i < m; ++i) {
          chosen[count] = static_cast<std::uint16_t>(i);
          count += static_cast<std::size_t>(satisfies(first[i]));
        }
        const auto element = [&](std::uint16_t i) -> decltype(auto) { return first[static_cast<difference>(i)]; };
        const auto found = std::views::transform(std::span(chosen).first(count), element);
        to.insert(to.end(), found.begin(), found.end());
        first += m;
        n -= m;
      }
    } else {
      for (difference i = 0; i < n; ++i) {
        auto&& x = first[i];
        if (satisfies(x)) to.push_back(std::forward<decltype(x)>(x));
      }
    }
  }
  template <class X>
  bool satisfies(X&& x) {
    return static_cast<bool>(std::invoke(pred_, x));
  }

  Pred& pred_;
  loop_control& control_;
};

template <class R, class Pred>
std::vector<std::ranges::range_value_t<R>> run_filter(worker* w, R& range, Pred& pred, const loop_options& options) {
  static_assert(std::ranges::random_access_range<R> && std::ranges::sized_range<R>,
                "tutti: parallel_filter needs a range with random access and a size; move the elements to a "
                "std::vector");
  using iterator = std::ranges::iterator_t<R>;
  loop_control control("parallel_filter", options);
  const auto first = std::ranges::begin(range);
  auto found =
      filter<iterator, Pred>(pred, control).run(w, first, std::ranges::next(first, std::ranges::end(range)) - first);
  control.finish();
  return found;
}

}  // namespace tutti::detail
