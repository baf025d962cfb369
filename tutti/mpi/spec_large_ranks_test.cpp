// Messages beyond 2 GiB: more bytes than an int counts.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <tests/support/ranks.hpp>
#include <utility>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;

constexpr std::size_t two_gib = std::size_t{1} << 31;
constexpr std::size_t needed = std::size_t{11} << 30;  // sender and receiver, encoded and not: 8 GiB, and some air

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_UNDEFINED__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

std::size_t free_memory() {
  std::ifstream info("/proc/meminfo");
  std::string word;
  while (info >> word) {
    if (word == "MemAvailable:") {
      std::size_t kib = 0;
      info >> kib;
      return kib * 1024;
    }
  }
  return 0;
}
// Which all ranks say alike.
std::string why_not(const communicator& all) {
  if (all.size() != 2) return "on 2 ranks only: each needs gigabytes";
  if (sanitized) return "a sanitizer doubles the memory, and looks at each byte";
  const std::size_t there = all.allreduce(free_memory(), mpi::min);
  if (there < needed)
    return std::to_string(there >> 20) + " MiB of memory are free, " + std::to_string(needed >> 20) + " needed";
  return "";
}

std::uint64_t number(std::size_t i) { return i * 0x9E3779B97F4A7C15ULL; }
// The places where a piece could have been lost, doubled or moved.
std::vector<std::size_t> looked_at(std::size_t count) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < count; i += 4093) places.push_back(i);
  for (std::size_t i = count - 100; i < count; ++i) places.push_back(i);
  return places;
}
std::size_t wrong_numbers(const std::vector<std::uint64_t>& list) {
  std::size_t wrong = 0;
  for (const std::size_t i : looked_at(list.size())) wrong += list[i] != number(i) ? 1U : 0U;
  return wrong;
}

TEST(SpecLarge, MemoryBeyond2GiBInAllWays) {
  const communicator all = mpi::world().dup("large");
  const std::string reason = why_not(all);
  if (!reason.empty()) GTEST_SKIP() << reason;
  constexpr std::size_t count = two_gib / sizeof(std::uint64_t) + 12'345;
  const std::size_t bytes = count * sizeof(std::uint64_t);
  std::vector<std::uint64_t> list;
  if (all.rank() == 0) {
    list.resize(count);
    for (std::size_t i = 0; i < count; ++i) list[i] = number(i);
    all.send(list, 1, 1);
    std::fill(list.begin(), list.end(), 0);
    const mpi::status came = all.irecv_into(list, 1, 2).wait();
    EXPECT_EQ(came.bytes, bytes);
    EXPECT_EQ(came.source, 1);
    EXPECT_EQ(came.tag, 2);
    EXPECT_EQ(wrong_numbers(list), 0U);
  } else {
    EXPECT_EQ(all.probe(0, 1).bytes, bytes);
    mpi::status about;
    list = all.recv<std::vector<std::uint64_t>>(0, 1, &about);
    EXPECT_EQ(about.bytes, bytes);
    EXPECT_EQ(about.count<std::uint64_t>(), count);
    ASSERT_EQ(list.size(), count);
    EXPECT_EQ(wrong_numbers(list), 0U);
    all.isend(list, 0, 2).wait();
    std::fill(list.begin(), list.end(), 0);
  }
  all.bcast_into(list);
  EXPECT_EQ(wrong_numbers(list), 0U);
}

TEST(SpecLarge, AnObjectBeyond2GiB) {
  const communicator all = mpi::world().dup("large object");
  const std::string reason = why_not(all);
  if (!reason.empty()) GTEST_SKIP() << reason;
  using texts = std::vector<std::string>;
  constexpr std::size_t length = two_gib / 4 + 1000;
  if (all.rank() == 0) {
    texts list;
    for (int i = 0; i < 4; ++i) list.emplace_back(length, static_cast<char>('a' + i));
    list.emplace_back("end");
    all.send(list, 1);
  } else {
    const auto list = all.recv<texts>(0);
    ASSERT_EQ(list.size(), 5U);
    for (int i = 0; i < 4; ++i) {
      const std::string& text = list[tutti_test::many(i)];
      EXPECT_EQ(text.size(), length);
      EXPECT_EQ(text.find_first_not_of(static_cast<char>('a' + i)), std::string::npos);
    }
    EXPECT_EQ(list[4], "end");
  }
}

}  // namespace
