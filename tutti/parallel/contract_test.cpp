// contract_test: what the parallel algorithms promise, as properties of seeded random inputs: each element exactly
// once, nothing lost whatever a callback does, on executors of any size.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <ranges>
#include <span>
#include <sstream>
#include <stop_token>
#include <tests/support/contracts.hpp>
#include <thread>
#include <tutti/core/core.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/parallel/parallel.hpp>
#include <utility>
#include <vector>

namespace contract {

// x -> a x + b modulo 2^32: composition is associative, not commutative.
struct affine {
  std::uint32_t a = 1, b = 0;
  friend affine operator*(affine f, affine g) { return dawdle(), affine{f.a * g.a, g.a * f.b + g.b}; }
  bool operator==(const affine&) const = default;
};
std::vector<affine> some_affines(std::mt19937& random, std::size_t n) {
  std::vector<affine> all(n);
  for (affine& f : all) f = {static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random())};
  return all;
}

template <class I>
void cover_indices(std::mt19937& random, I low, I high) {
  const auto options = some_grain(random);
  const auto at = [&](I i) { return static_cast<std::size_t>(static_cast<std::make_unsigned_t<I>>(i - low)); };
  const std::size_t n = at(high);
  counters hits(n);
  std::atomic<int> bad_blocks{0};
  const auto one = [&](I i) { dawdle(), ++hits[at(i)]; };
  const auto block = [&](I first, I last) {
    const std::size_t length = at(last) - at(first), grain = options.grain.value_or(1);
    if (first >= last || at(first) % grain != 0) ++bad_blocks;
    if (options.grain && length != std::min(grain, n - at(first))) ++bad_blocks;
    for (; first < last; ++first) one(first);
  };
  local_executor& pool = some_executor(random);
  parallel_for(pool, low, high, one, options);
  EXPECT_TRUE(all_are(hits, 1)) << +low << ".." << +high;
  parallel_for(pool, low, high, block, options);
  EXPECT_TRUE(all_are(hits, 2) && bad_blocks == 0) << +low << ".." << +high;
}

TEST(contract, loops_cover_ranges_at_the_ends_of_their_types_and_boxes) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    cover_indices<std::int8_t>(random, -128, 127);
    cover_indices<std::uint8_t>(random, static_cast<std::uint8_t>(random() % 200), 255);
    cover_indices<std::int16_t>(random, -32768, static_cast<std::int16_t>(random() % 65536 - 32768));
    constexpr auto top = std::numeric_limits<std::uint64_t>::max();
    cover_indices<std::uint64_t>(random, top - some_size(random), top);
    constexpr auto bottom = std::numeric_limits<std::int64_t>::min();
    cover_indices<std::int64_t>(random, bottom, bottom + static_cast<std::int64_t>(some_size(random)));

    const auto low = static_cast<int>(random() % 100) - 50;
    const auto a = static_cast<int>(some_size(random, 40) % 41), b = static_cast<int>(some_size(random, 40) % 41),
               c = static_cast<int>(some_size(random, 40) % 41);
    counters two(static_cast<std::size_t>(a * b)), three(static_cast<std::size_t>(a * b * c));
    const auto options = some_grain(random);
    std::atomic<int> bad_blocks{0};
    const auto cell = [&](std::ptrdiff_t i, std::ptrdiff_t j) { ++two[static_cast<std::size_t>(i * b + j)]; };
    const auto block = [&](const box<3>& part) {
      if (part.size() == 0 || part.size() > options.grain.value_or(part.size())) ++bad_blocks;
      for (auto i = part.first(0); i < part.last(0); ++i)
        for (auto j = part.first(1); j < part.last(1); ++j)
          for (auto k = part.first(2); k < part.last(2); ++k)
            ++three[static_cast<std::size_t>(((i - low) * b + j - low) * c + k - low)];
    };
    parallel_for(some_executor(random), box(a, b), cell, options);
    parallel_for(some_executor(random), box({low, low, low}, {low + a, low + b, low + c}), block, options);
    EXPECT_TRUE(all_are(two, 1) && all_are(three, 1) && bad_blocks == 0) << a << ' ' << b << ' ' << c;
  }
}

TEST(contract, huge_ranges_are_divided_without_overflow) {
  std::mt19937 random(1);
  constexpr auto top = std::numeric_limits<std::uint64_t>::max();
  constexpr auto low = std::numeric_limits<std::int64_t>::min(), high = std::numeric_limits<std::int64_t>::max();
  for (int round = 0; round < 20; ++round) {
    local_executor& pool = some_executor(random);
    const loop_options large{.grain = (std::size_t{1} << 58U) + random() % 1'000'003};
    const auto length = [](auto a, auto b) { return static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a); };
    const auto add = [&](auto a, auto b, std::uint64_t sum, bool) { return sum + length(a, b); };
    const std::plus<> plus;
    EXPECT_EQ(parallel_reduce(pool, std::uint64_t{0}, top, std::uint64_t{0}, length, plus, large), top);
    EXPECT_EQ(parallel_deterministic_reduce(pool, low, high, std::uint64_t{0}, length, plus), top);
    EXPECT_EQ(parallel_scan(pool, low, high, std::uint64_t{0}, add, plus, large), top);
    call_counter third{3};
    EXPECT_TRUE(third.judges([&] { parallel_for(pool, std::uint64_t{0}, top, [&](std::uint64_t) { third(); }); }));

    std::atomic<std::uint64_t> covered{0};
    const auto tile = [&](const box<3>& part) { covered += part.size(); };
    parallel_for(pool, box({low, -7L, 5L}, {high, -6L, 6L}), tile, large);
    EXPECT_EQ(covered.exchange(0), top);
    parallel_for(pool, box(high, 0, high), tile, large);  // empty, for all its long sides
    EXPECT_EQ(covered, 0U);
    EXPECT_THROW(parallel_for(pool, box(high, 2, high), tile, large), std::length_error);
  }
}

TEST(contract, for_each_takes_ranges_of_all_kinds_and_growing_ones) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<std::size_t> numbers(1 + some_size(random, 5'000));
    std::iota(numbers.begin(), numbers.end(), std::size_t{0});
    counters hits(numbers.size());
    int rounds = 0;
    const auto visit = [&](auto&& range) {
      const auto hit = [&](std::size_t i) { dawdle(), ++hits[i]; };
      parallel_for_each(some_executor(random), range, hit, some_grain(random));
      EXPECT_TRUE(all_are(hits, ++rounds)) << "range " << rounds;
    };
    visit(std::list(numbers.begin(), numbers.end()));
    visit(std::span(numbers) | std::views::reverse);
    std::ostringstream text;
    for (const std::size_t i : numbers) text << i << ' ';
    std::istringstream in(text.str());
    visit(std::views::istream<std::size_t>(in));  // read once, by one thread at a time
    visit(numbers | std::views::filter([](std::size_t) { return true; }));
    const std::vector<bool> bits(numbers.size(), true);
    std::atomic<std::size_t> ones{0};
    parallel_for_each(some_executor(random), bits, [&](bool b) { ones += b; });
    EXPECT_EQ(ones, bits.size());

    // A random forest: a node is fed by one before it, or is there from the start.
    using node = std::unique_ptr<std::size_t>;
    std::vector<std::vector<std::size_t>> children(numbers.size());
    std::list<node> roots;
    for (const std::size_t i : numbers) {
      if (i == 0 || random() % 50 == 0) {
        roots.push_back(std::make_unique<std::size_t>(i));
      } else {
        children[random() % std::min<std::size_t>(i, 1 + random() % 500)].push_back(i);
      }
    }
    const auto grow = [&](const node& at, feeder<node>& feed) {
      dawdle(), ++hits[*at];
      for (const std::size_t child : children[*at]) feed.add(std::make_unique<std::size_t>(child));
    };
    parallel_for_each(some_executor(random), roots, grow, some_grain(random));
    EXPECT_TRUE(all_are(hits, rounds + 1));
  }
}

TEST(contract, reductions_and_scans_keep_the_order_of_operands) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<affine> x = some_affines(random, some_size(random)), expected(x.size()), found(x.size());
    const auto options = some_grain(random);
    const affine one, first{7, static_cast<std::uint32_t>(random())};
    const std::multiplies<> times;
    const affine all = std::accumulate(x.begin(), x.end(), one, times);
    local_executor& pool = some_executor(random);
    const auto get = [&](std::size_t i) { return x[i]; };
    EXPECT_EQ(parallel_reduce(pool, std::size_t{0}, x.size(), one, get, times, options), all);
    EXPECT_EQ(parallel_deterministic_reduce(pool, std::size_t{0}, x.size(), one, get, times, options), all);
    EXPECT_EQ(parallel_transform_reduce(pool, x, first, times, std::identity(), options), first * all);

    std::exclusive_scan(x.begin(), x.end(), expected.begin(), first, times);
    EXPECT_EQ(parallel_exclusive_scan(pool, x, found.begin(), first, times, options), found.end());
    EXPECT_EQ(found, expected);
    std::inclusive_scan(x.begin(), x.end(), expected.begin(), times);
    counters finals(x.size());
    const auto block = [&](std::size_t i, std::size_t last, affine sum, bool final) {
      for (; i < last; ++i) {
        sum = sum * x[i];
        if (final) found[i] = sum, ++finals[i];
      }
      return sum;
    };
    EXPECT_EQ(parallel_scan(pool, std::size_t{0}, x.size(), one, block, times, options), all);
    EXPECT_TRUE(found == expected && all_are(finals, 1));
    parallel_inclusive_scan(pool, x, x.begin(), times, options);  // in place
    EXPECT_EQ(x, expected);
  }
}

TEST(contract, a_fixed_tree_has_the_same_bits_everywhere) {
  std::mt19937 random(3);
  for (const std::size_t n : {0U, 1U, 63U, 4'097U, 30'011U}) {
    std::vector<float> x(n);
    for (float& v : x) v = static_cast<float>(random()) / static_cast<float>(1 + random() % 1'000) - 1e7F;
    for (const loop_options& options : {loop_options{}, loop_options{.grain = 37}}) {
      const auto sum = [&](local_executor& pool) {
        const auto get = [&](std::size_t i) { return dawdle(), x[i]; };
        return std::bit_cast<std::uint32_t>(
            parallel_deterministic_reduce(pool, std::size_t{0}, n, 0.0F, get, std::plus<>(), options));
      };
      inline_executor serial;
      const std::uint32_t expected = sum(serial);
      for (int workers = 1; workers <= 8; ++workers) {
        thread_pool pool(workers);
        for (int run = 0; run < 3; ++run) EXPECT_EQ(sum(pool), expected) << n << " on " << workers;
        EXPECT_EQ(pool.submit([&] { return sum(pool); }).get(), expected);
      }
    }
  }
}

TEST(contract, the_nth_call_may_throw) {
  std::mt19937 random(4);
  constexpr std::size_t size = 3'000;
  const std::vector<affine> x = some_affines(random, size);
  std::vector<affine> out(size);
  const std::list<int> list(size, 1);
  const auto get = [&](std::size_t i) { return x[i]; };
  for (long n = 1; n < 4'000; n += 1 + n / 3) {
    for (int algorithm = 0; algorithm < 8; ++algorithm) {
      call_counter call{n};
      local_executor& pool = some_executor(random);
      const auto options = some_grain(random);
      const auto op = [&](affine a, affine b) { return call(), a * b; };
      const auto grow = [&](int depth, feeder<int>& feed) {
        call();
        for (int i = 0; i < 2 && depth < 10; ++i) feed.add(depth + 1);
      };
      EXPECT_TRUE(call.judges([&] {
        if (algorithm == 0) parallel_for(pool, std::size_t{0}, size, [&](std::size_t) { call(); }, options);
        if (algorithm == 1) parallel_for(pool, box(50, 60), [&](auto, auto) { call(); }, options);
        if (algorithm == 2) parallel_for_each(pool, list, [&](int) { call(); }, options);
        if (algorithm == 3) parallel_for_each(pool, std::vector{0}, grow, options);
        if (algorithm == 4) parallel_reduce(pool, std::size_t{0}, size, affine{}, get, op, options);
        if (algorithm == 5) parallel_deterministic_reduce(pool, std::size_t{0}, size, affine{}, get, op, options);
        if (algorithm == 6) parallel_exclusive_scan(pool, x, out.begin(), affine{}, op, options);
        if (algorithm == 7) parallel_filter(pool, x, [&](affine a) { return call(), a.b % 2 == 0; }, options);
      })) << "algorithm "
          << algorithm << ", call " << n;
    }
  }
}

TEST(contract, cancelled_is_thrown_exactly_when_something_was_left_out) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::size_t n = 1 + some_size(random);
    const auto when = static_cast<std::size_t>(1 + random() % n);
    std::stop_source stop;
    const std::stop_token token = stop.get_token();
    auto options = some_grain(random);
    options.stop = token;
    std::atomic<std::size_t> calls{0};
    const auto body = [&](auto) {
      dawdle();
      if (++calls == when) stop.request_stop();
      return 1L;
    };
    const auto run = [&](local_executor& pool) {
      if (seed % 4 == 0) parallel_for(pool, std::size_t{0}, n, [&](std::size_t i) { body(i); }, options);
      if (seed % 4 == 1) parallel_for_each(pool, std::list<int>(n), body, options);
      if (seed % 4 == 2)
        parallel_reduce(pool, 0, static_cast<int>(n), 0L, [&](int i) { return body(i); }, std::plus<>(), options);
      if (seed % 4 == 3) parallel_filter(pool, std::vector<int>(n), body, options);
    };
    bool left_out = false;
    try {
      run(some_executor(random));
    } catch (const cancelled&) {
      left_out = true;
    }
    EXPECT_EQ(left_out, calls < n);
    EXPECT_THROW(run(some_executor(random)), cancelled);  // stopped before
  }
}

TEST(contract, pipelines_keep_order_exclusion_and_tokens) {
  for (unsigned seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::size_t n = some_size(random, 2'000), tokens = 1 + random() % (random() % 2 == 0 ? 4 : 40);
    call_counter call{random() % 3 == 0 ? 1 + static_cast<long>(random() % (5 * n + 1)) : never};
    std::atomic<long> alive{0}, most{0};
    const auto lives = [&](std::size_t i) {
      const long now = ++alive;
      for (long seen = most; seen < now && !most.compare_exchange_weak(seen, now);) continue;
      return std::shared_ptr<std::size_t>(new std::size_t(i), [&](const std::size_t* p) { --alive, delete p; });
    };
    using item = std::shared_ptr<std::size_t>;
    // Not atomic: one call at a time changes each, and the thread sanitizer would tell.
    std::array<std::size_t, 4> passed{};
    std::array<std::atomic<int>, 4> inside{};
    std::atomic<int> wrong{0};
    const auto alone = [&](std::size_t stage) {
      if (++inside[stage] != 1) ++wrong;
      ++passed[stage];
      --inside[stage];
      call();
    };
    bool over = false;
    const auto source = [&]() -> std::optional<item> {
      if (over) ++wrong;  // it is not asked again
      alone(0);
      over = passed[0] > n;
      return over ? std::nullopt : std::optional(lives(passed[0] - 1));
    };
    const auto in_order = [&](std::size_t stage) {
      return [&, stage](item i) {
        if (*i != passed[stage]) ++wrong;
        return alone(stage), std::move(i);
      };
    };
    const auto free = [&](item i) { return call(), std::move(i); };
    const auto any_order = [&](item i) { return alone(1), std::move(i); };
    EXPECT_TRUE(call.judges([&] {
      pipeline(some_executor(random), {.tokens = tokens}, source, in_parallel(free), serial_out_of_order(any_order),
               serial_in_order(in_order(2)), in_parallel(free), serial_in_order(in_order(3)));
      EXPECT_EQ(passed, (std::array<std::size_t, 4>{n + 1, n, n, n}));
    }));
    EXPECT_EQ(alive, 0);
    EXPECT_LE(most, static_cast<long>(tokens));
    EXPECT_EQ(wrong, 0);
  }
}

// Callers from outside and from tasks, with loops in loops, on pools that are too small for them.
TEST(contract, callers_share_a_pool_and_loops_nest) {
  for (const int workers : {1, 2}) {
    thread_pool pool(workers);
    std::atomic<int> wrong{0};
    const auto work = [&](unsigned seed) {
      std::mt19937 random(seed);
      for (int round = 0; round < 3; ++round) {
        const long rows = static_cast<long>(some_size(random, 30)), columns = static_cast<long>(some_size(random, 200));
        std::atomic<long> sum{0};
        parallel_for(pool, 0L, rows, [&](long r) {
          sum += parallel_reduce(0L, columns, 0L, [&](long c) { return r * c; }, std::plus<>());
          long left = columns;
          const auto source = [&] { return left > 0 ? std::optional(--left) : std::nullopt; };
          pipeline({.tokens = 3}, source, in_parallel([&](long) { ++sum; }));
        });
        if (sum != rows * (rows - 1) / 2 * (columns * (columns - 1) / 2) + rows * columns) ++wrong;
        std::vector<int> numbers(some_size(random, 3'000));
        for (int& n : numbers) n = static_cast<int>(random() % 1'000);
        std::vector<int> sorted = numbers;
        std::ranges::sort(sorted);
        parallel_sort(pool, numbers);
        if (numbers != sorted) ++wrong;
      }
    };
    std::vector<std::jthread> outside;
    for (unsigned t = 0; t < 6; ++t) outside.emplace_back(work, t);
    std::vector<future<void>> tasks;
    for (unsigned t = 6; t < 12; ++t) tasks.push_back(pool.submit([&, t] { work(t); }));
    for (auto& task : tasks) task.get();
    outside.clear();
    EXPECT_EQ(wrong, 0);
  }
}

}  // namespace contract
