#include <tutti/mpi/window.hpp>

#include <tutti/mpi/mpi.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace tutti::mpi;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

int next_of(const communicator& all) { return (all.rank() + 1) % all.size(); }
int before_of(const communicator& all) { return (all.rank() + all.size() - 1) % all.size(); }

TEST(Window, IsZeroAtFirst) {
  const communicator all = world();
  window<double> numbers(all, 10);
  EXPECT_EQ(numbers.local().size(), 10U);
  EXPECT_THAT(numbers.local(), Each(0.0));
  EXPECT_EQ(numbers.ranks(), all);
}

TEST(Window, PartsMayDiffer) {
  const communicator all = world();
  window<int> parts(all, static_cast<std::size_t>(all.rank()));
  for (int r = 0; r < all.size(); ++r) EXPECT_EQ(parts.size(r), static_cast<std::size_t>(r));
  EXPECT_THROW(static_cast<void>(parts.size(all.size())), error);
}

TEST(Window, BetweenFences) {
  const communicator all = world();
  window<int> numbers(all, 4);
  const std::vector<int> mine{all.rank(), 10 + all.rank()};
  numbers.fence();
  numbers.put(mine, next_of(all), 1);
  numbers.put(100 + all.rank(), next_of(all), 3);  // copied, so that it need not stay
  numbers.fence();
  EXPECT_THAT(numbers.local(), ElementsAre(0, before_of(all), 10 + before_of(all), 100 + before_of(all)));
  std::array<int, 3> came{};
  numbers.get_into(came, next_of(all), 1);
  numbers.end_fence();
  EXPECT_THAT(came, ElementsAre(all.rank(), 10 + all.rank(), 100 + all.rank()));
}

// A call outside of any epoch is one of its own.
TEST(Window, WithoutAnEpoch) {
  const communicator all = world();
  window<int> numbers(all, 2);
  numbers.put(7 + all.rank(), next_of(all), 1);
  all.barrier();
  EXPECT_EQ(numbers.get(all.rank(), 1), 7 + before_of(all));
  EXPECT_THAT(numbers.get_some(next_of(all), 0, 2), ElementsAre(0, 7 + all.rank()));
}

TEST(Window, ACounterForAllRanks) {
  const communicator all = world();
  window<std::int64_t> counter(all, all.rank() == 0 ? 1 : 0);
  std::vector<std::int64_t> mine;
  for (int i = 0; i < 20; ++i) mine.push_back(counter.fetch_and_op(1, 0, 0, sum));
  // Every number was drawn once.
  std::vector<int> drawn(static_cast<std::size_t>(20 * all.size()));
  for (const std::int64_t number : mine) ++drawn[static_cast<std::size_t>(number)];
  EXPECT_THAT(all.allreduce(drawn, sum), Each(1));
  EXPECT_EQ(counter.fetch_and_op(0, 0, 0, no_op), 20 * all.size());
}

TEST(Window, Locks) {
  const communicator all = world();
  window<std::int64_t> account(all, all.rank() == 0 ? 2 : 0);
  // Read, change, write: nobody may come between.
  for (int i = 0; i < 10; ++i) {
    auto held = account.lock(0);
    const std::int64_t there = account.get(0, 0);
    account.put(there + 1, 0, 0);
    account.put(-there - 1, 0, 1);
  }
  all.barrier();
  EXPECT_THAT(account.get_some(0, 0, 2), ElementsAre(10 * all.size(), -10 * all.size()));
}

TEST(Window, SharedLocksAndFlush) {
  const communicator all = world();
  window<int> numbers(all, static_cast<std::size_t>(all.size()));
  const auto column = static_cast<std::size_t>(all.rank());
  {
    const auto held = numbers.lock_all();
    for (int r = 0; r < all.size(); ++r) numbers.put(100 * r + all.rank(), r, column);
    numbers.flush_all();
    EXPECT_EQ(numbers.get(next_of(all), column), 100 * next_of(all) + all.rank());
    numbers.flush(0);
    held.flush();
  }
  {
    auto held = numbers.lock(all.rank(), lock_type::shared);
    EXPECT_EQ(numbers.get(all.rank(), column), 101 * all.rank());
    held.unlock();
    held.unlock();  // it has been
  }
  all.barrier();
  std::vector<int> expected;
  for (int r = 0; r < all.size(); ++r) expected.push_back(100 * all.rank() + r);
  EXPECT_EQ(numbers.get_some(all.rank(), 0, expected.size()), expected);
}

TEST(Window, Accumulates) {
  const communicator all = world();
  const int n = all.size();
  window<double> totals(all, 3);
  totals.fence();
  for (int r = 0; r < n; ++r) {
    totals.accumulate(std::vector<double>{1.0, 0.5}, r, 0, sum);
    totals.accumulate(double(all.rank()), r, 2, max);
  }
  totals.end_fence();
  EXPECT_THAT(totals.local(), ElementsAre(n, 0.5 * n, n - 1));
  all.barrier();
  totals.accumulate(-1.0, all.rank(), 2, replace);
  EXPECT_EQ(totals.get(all.rank(), 2), -1.0);
}

TEST(Window, GetsAndAccumulates) {
  const communicator all = world();
  window<int> numbers(all, 2);
  const std::vector<int> ones{1, 2};
  std::vector<int> before(2, -1);
  numbers.get_accumulate_into(ones, before, next_of(all), 0, sum);
  EXPECT_THAT(before, ElementsAre(0, 0));
  numbers.get_accumulate_into(ones, before, next_of(all), 0, no_op);
  EXPECT_THAT(before, ElementsAre(1, 2));
  all.barrier();
  EXPECT_EQ(numbers.fetch_and_op(6, all.rank(), 1, bxor), 2);
  EXPECT_EQ(numbers.get(all.rank(), 1), 4);
}

TEST(Window, ComparesAndSwaps) {
  const communicator all = world();
  window<int> owner(all, 1);
  all.barrier();
  // Who finds 0 is the first; there is one.
  const int was = owner.compare_and_swap(0, all.rank() + 1, 0);
  EXPECT_EQ(all.allreduce(was == 0 ? 1 : 0, sum), 1);
  const int winner = all.allreduce(was == 0 ? all.rank() + 1 : 0, max);
  EXPECT_EQ(owner.get(0), winner);
}

TEST(Window, RequestsUnderALock) {
  const communicator all = world();
  window<int> numbers(all, 100);
  std::vector<int> mine(100);
  std::iota(mine.begin(), mine.end(), 100 * all.rank());
  std::vector<int> back(100);
  {
    const auto held = numbers.lock(next_of(all), lock_type::shared);
    request written = numbers.rput(mine, next_of(all));
    written.wait();
    held.flush();
    request read = numbers.rget(back, next_of(all));
    read.wait();
  }
  EXPECT_EQ(back, mine);
  EXPECT_THROW(static_cast<void>(numbers.rput(mine, 0)), error);
}

TEST(Window, PostStartCompleteWait) {
  const communicator all = world();
  window<int> numbers(all, 1);
  const std::array<int, 1> before{before_of(all)};
  const std::array<int, 1> next{next_of(all)};
  for (int round = 1; round < 4; ++round) {
    numbers.post(before);
    numbers.start(next);
    numbers.put(round * (all.rank() + 1), next[0]);
    numbers.complete();
    numbers.wait();
    EXPECT_EQ(numbers.local()[0], round * (before[0] + 1));
  }
}

struct particle {
  double x, y;
  int id;
  bool operator==(const particle&) const = default;
};

TEST(Window, OfAnyPlainValue) {
  const communicator all = world();
  window<particle> particles(all, 3);
  const particle mine{1.5, 2.5, all.rank()};
  particles.put(mine, next_of(all), 2);
  all.barrier();
  EXPECT_EQ(particles.get(all.rank(), 2), (particle{1.5, 2.5, before_of(all)}));
}

TEST(Window, RefusesElementsThatAreNot) {
  const communicator all = world();
  window<int> numbers(all, 10);
  const std::vector<int> three(3);
  EXPECT_THROW(numbers.put(three, 0, 8), error);
  EXPECT_THROW(numbers.put(1, 0, 10), error);
  EXPECT_THROW(numbers.put(1, all.size(), 0), error);
  EXPECT_THROW(numbers.put(1, -1, 0), error);
  EXPECT_THROW(static_cast<void>(numbers.get_some(0, ~std::size_t{0}, 2)), error);
  EXPECT_THROW(numbers.fetch_and_op(1, 0, 10, sum), error);
  EXPECT_THROW(numbers.compare_and_swap(1, 2, 0, 10), error);
  EXPECT_THROW(numbers.accumulate(three, 0, 9, sum), error);
  std::vector<int> two(2);
  EXPECT_THROW(numbers.get_accumulate_into(three, two, 0, 0, sum), error);
  try {
    numbers.put(three, 0, 8);
  } catch (const error& e) {
    EXPECT_THAT(e.what(), HasSubstr("mpi::put on rank " + std::to_string(all.rank()) +
                                    " of world: 3 elements from offset 8 on reach beyond the 10 of rank 0"));
  }
  numbers.put(three, 0, 7);
}

TEST(Window, RefusesMoreThanMemoryHas) {
  const communicator all = world();
  try {
    const window<std::int64_t> numbers(all, ~std::size_t{0} / 8 + 2);  // 8 bytes, if they were multiplied
    ADD_FAILURE();
  } catch (const error& e) {
    EXPECT_THAT(e.what(), HasSubstr("elements of 8 bytes are more than memory has"));
  }
  EXPECT_THROW(shared_window<std::int64_t>(all, ~std::size_t{0} / 8 + 2), error);
}

TEST(Window, RefusesEpochsThatDoNotFit) {
  const communicator all = world();
  window<int> numbers(all, 1);
  EXPECT_THROW(numbers.flush(0), error);
  EXPECT_THROW(numbers.flush_all(), error);
  EXPECT_THROW(numbers.complete(), error);
  EXPECT_THROW(numbers.wait(), error);
  numbers.fence();
  EXPECT_THROW(static_cast<void>(numbers.lock(0)), error);
  EXPECT_THROW(static_cast<void>(numbers.lock_all()), error);
  EXPECT_THROW(static_cast<void>(numbers.get(0)), error);
  EXPECT_THROW(numbers.fetch_and_op(1, 0, 0, sum), error);
  const std::array<int, 1> before{before_of(all)};
  EXPECT_THROW(numbers.post(before), error);
  numbers.end_fence();
  numbers.post(before);
  EXPECT_THROW(numbers.post(before), error);
  EXPECT_THROW(numbers.fence(), error);
  numbers.start(std::array<int, 1>{next_of(all)});
  numbers.complete();
  numbers.wait();
  {
    const auto held = numbers.lock(all.rank());
    EXPECT_THROW(numbers.post(before), error);
    EXPECT_THROW(static_cast<void>(numbers.lock(all.rank())), error);
    EXPECT_THROW(static_cast<void>(numbers.lock_all()), error);
    EXPECT_THROW(numbers.fence(), error);
    if (all.size() > 1) {
      EXPECT_THROW(numbers.put(1, next_of(all)), error);
    }
  }
  all.barrier();
  const auto held = numbers.lock_all();
  EXPECT_THROW(static_cast<void>(numbers.lock(0)), error);
}

TEST(Window, OverMemoryThatIsGiven) {
  const communicator all = world();
  std::vector<int> memory(5, all.rank());
  std::optional<window<int>> over;
  try {
    over.emplace(all, std::span(memory));
  } catch (const error& refused) {
    // Not every MPI can on every machine; all ranks are told.
    EXPECT_THAT(refused.what(), HasSubstr("let the window allocate its own"));
    return;
  }
  EXPECT_EQ(over->local().data(), memory.data());
  EXPECT_EQ(over->get(next_of(all), 4), next_of(all));
  over->fence();
  over->put(-1, next_of(all), 0);
  over->end_fence();
  EXPECT_EQ(memory[0], -1);
}

TEST(Window, Moves) {
  const communicator all = world();
  window<int> first(all, 1);
  window<int> second = std::move(first);
  second.put(3, all.rank());
  EXPECT_EQ(second.get(all.rank()), 3);
}

}  // namespace
