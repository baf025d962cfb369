// loop: how the parallel loops share their iterations: serially, until somebody asks for work.
//
// A loop runs in blocks of a few microseconds. Between blocks it looks at one flag; when an idle worker has raised it,
// the loop forks the second half of what is left and goes on with the first (lazy binary splitting: Tzannes, Caragea,
// Barua, Vishkin, PPoPP 2010, with the fork_deque's flag in place of a look at the queue). On a busy machine a loop
// splits almost never.
#pragma once
#include <tutti/core/fork_join.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/parallel/indices.hpp>
#include <tutti/parallel/options.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <limits>

namespace tutti::detail {

/// The loops that this thread has run last: short ones in quick succession are as good a reason to wake somebody as a
/// long one.
struct recent_loops {
  static constexpr std::chrono::nanoseconds quick = std::chrono::microseconds(50);

  std::chrono::steady_clock::time_point end{};
  std::chrono::nanoseconds spent{0};
};
inline constinit thread_local recent_loops these_recent_loops{};

/// Waking a sleeping worker costs microseconds and takes it tens of them: not worth it for what is over by then.
inline constexpr std::chrono::nanoseconds worth_a_wake_up = std::chrono::microseconds(40);

/// Finds how many iterations make a block: doubles until a block takes long enough, which it learns from the clock. Or
/// is told.
class block_sizer {
 public:
  block_sizer() = default;
  explicit block_sizer(std::optional<std::size_t> grain) noexcept
      : size_(grain.value_or(1)), told_(grain.has_value()) {}

  /// Shorter near the end, so that somebody who asks then need not wait for all that is left.
  std::size_t next(std::uint64_t left) const noexcept {
    if (told_) return size_;
    return std::min(size_, static_cast<std::size_t>(std::max({left / 4, std::uint64_t{size_} / 4, std::uint64_t{1}})));
  }
  /// The first part of `left` iterations that are divided: whole blocks when their size was told.
  std::uint64_t half(std::uint64_t left) const noexcept {
    if (!told_) return left / 2;
    const std::uint64_t blocks = left / size_ + (left % size_ != 0 ? 1 : 0);
    return blocks / 2 * size_;
  }
  std::size_t size() const noexcept { return size_; }
  /// How long blocks are to be, about.
  std::chrono::nanoseconds block_time() const noexcept {
    return std::clamp<std::chrono::nanoseconds>(spent_ / 16, shortest, longest);
  }

  /// Runs a block of `n` iterations.
  template <class Block>
  void run(std::size_t n, Block&& block) {
    if (told_ || n < size_) return block();  // cut short by the loop's end: teaches nothing
    learn(n, block);
  }
  /// The same, of a block that is about as long as it should be but for how it was cut.
  template <class Block>
  void run_about(std::size_t n, Block&& block) {
    if (told_ || n < size_ / 4) return block();
    learn(n, block);
  }
  bool may_wake() const noexcept { return told_ || spent_ >= worth_a_wake_up; }
  /// Each iteration is a block: they are long, or nobody knows yet.
  bool singly() const noexcept { return size_ == 1; }
  /// The halves are worth a fork.
  bool divisible(std::uint64_t left) const noexcept { return told_ ? left > size_ : left > 1 && left > size_ / 4; }

 private:
  template <class Block>
  void learn(std::size_t n, Block& block) {
    const auto start = std::chrono::steady_clock::now();
    if (spent_.count() == 0) spent_ = spent_before(start);
    block();
    const auto end = std::chrono::steady_clock::now();
    spent_ += end - start;
    const double whole = static_cast<double>(size_) / static_cast<double>(n);
    const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>((end - start) * whole);
    these_recent_loops = {end, spent_};
    // Iterations need not be alike, so it goes on measuring; the clock costs about 1 % of a block. The longer the loop
    // has run, the less it matters how soon it notices a request.
    const auto target = block_time();
    if (took < target / 8) {
      size_ = std::min(size_ * 8, std::numeric_limits<std::size_t>::max() / 16);  // far away, so jump
    } else if (took < target / 2) {
      size_ *= 2;
    } else if (took > target * 4) {
      size_ = std::max<std::size_t>(1, size_ / 4);
    }
  }
  static std::chrono::nanoseconds spent_before(std::chrono::steady_clock::time_point start) noexcept {
    const recent_loops& recent = these_recent_loops;
    return start - recent.end < recent.quick ? std::min(recent.spent, worth_a_wake_up) : std::chrono::nanoseconds(0);
  }

  static constexpr std::chrono::nanoseconds shortest = std::chrono::microseconds(2), longest = 16 * shortest;

  std::size_t size_ = 1;
  bool told_ = false;
  std::chrono::nanoseconds spent_{0};
};

/// True when the loop should give work away now: to somebody who is looking for it; or by waking somebody, once the
/// loop has shown that it is long. Few iterations may each be long, and the first one would be over before it knew.
inline bool should_split(const worker* w, const block_sizer& sizer, std::uint64_t left) noexcept {
  if (w == nullptr || !w->forks.wanted() || !sizer.divisible(left) || w->forks.full()) return false;
  return w->pool->anyone_searching() || (sizer.may_wake() && (w->forks.asked() || w->pool->anyone_hungry())) ||
         (sizer.singly() && left <= 16 * static_cast<std::uint64_t>(w->pool->concurrency()));
}

/// The same for recursions whose pieces are not timed: asked at each fork while somebody wants work.
class patience {
 public:
  bool worth_it(const worker* w) noexcept {
    if (w->pool->anyone_searching()) return true;
    if (!long_ && ++looks_ % 8 == 0) long_ = std::chrono::steady_clock::now() - start_ >= worth_a_wake_up;
    return long_;
  }
  /// For a branch that somebody else runs: a wake-up was worth it before.
  static patience over() noexcept {
    patience p;
    p.long_ = true;
    return p;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  unsigned looks_ = 0;
  bool long_ = false;
};

template <class I, class Body>
concept block_body = std::invocable<Body&, I, I>;

// noinline: beside the forks, whose captures have addresses, g++ would keep a sum in memory.
template <std::integral I, class Body>
[[gnu::noinline]] void run_block(Body& body, I first, I last) {
  if constexpr (block_body<I, Body>) {
    body(first, last);
  } else {
    for (I i = first; i < last; ++i) body(i);
  }
}

template <std::integral I, class Body>
void for_loop(worker* w, I first, I last, Body& body, block_sizer sizer, loop_control& control) {
  while (first < last && !control.stopped()) {
    const auto left = distance(first, last);
    if (should_split(w, sizer, left)) {
      const I middle = advance_by(first, static_cast<unsigned_count<I>>(sizer.half(left)));
      auto here = [&] { for_loop(this_worker, first, middle, body, sizer, control); };
      auto there = [&] { for_loop(this_worker, middle, last, body, sizer, control); };
      result_box<std::monostate> a, b;
      return fork_two(w, here, there, a, b);
    }
    const std::size_t block = sizer.next(left);
    const I end = left <= block ? last : advance_by(first, static_cast<unsigned_count<I>>(block));
    control.run([&] { sizer.run(block, [&] { run_block(body, first, end); }); });
    first = end;
  }
}

}  // namespace tutti::detail
