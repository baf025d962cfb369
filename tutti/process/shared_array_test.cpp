#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/round_trip.hpp>
#include <tutti/process/shared_array.hpp>

#include <tutti/base/error.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <limits>
#include <list>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

namespace {

using testing::Each;
using testing::ElementsAre;
using tutti::shared_array;
using tutti_test::child;
using tutti_test::round_trip;
using tutti_test::sent_as;
using tutti_test::talk;

struct point {
  int x = 7;
  int y = 0;
};
struct alignas(512) wide_apart {
  char c = 0;
};

TEST(SharedArray, BeginsAsZeroes) {
  const shared_array<double> zeroes(1000);
  EXPECT_EQ(zeroes.size(), 1000u);
  EXPECT_THAT(zeroes.span(), Each(0.0));
  EXPECT_EQ(shared_array<point>(3)[2].x, 7);  // T(), whatever that is
}

TEST(SharedArray, IsARange) {
  const shared_array<int> array(3);  // as of a span, its elements are not const
  std::iota(array.begin(), array.end(), 1);
  array[1] = 20;
  array.at(2) = 30;
  EXPECT_THAT(array, ElementsAre(1, 20, 30));
  EXPECT_EQ(array.data(), &array[0]);
  EXPECT_EQ(array.span().size(), 3u);
  EXPECT_THROW(static_cast<void>(array.at(3)), std::out_of_range);
}

TEST(SharedArray, CopiesARange) {
  EXPECT_THAT(shared_array<int>::copy_of(std::vector{1, 2, 3}), ElementsAre(1, 2, 3));
  EXPECT_THAT(shared_array<double>::copy_of(std::list{1.5F, 2.5F}), ElementsAre(1.5, 2.5));
  EXPECT_THAT(shared_array<int>::copy_of(std::views::iota(0, 3)), ElementsAre(0, 1, 2));
  EXPECT_TRUE(shared_array<int>::copy_of(std::vector<int>()).empty());
}

TEST(SharedArray, IsAHandle) {
  const shared_array<int> one(2);
  const shared_array<int> same = one;
  same[0] = 5;
  EXPECT_EQ(one[0], 5);
}

TEST(SharedArray, MayHaveNoElementsAndReferToNothing) {
  const shared_array<int> empty(0);
  EXPECT_TRUE(empty);
  EXPECT_TRUE(empty.empty());
  EXPECT_EQ(empty.begin(), empty.end());
  EXPECT_TRUE(round_trip(empty));
  EXPECT_THROW(static_cast<void>(empty.at(0)), std::out_of_range);
  shared_array<int> none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.size(), 0u);
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_THROW(static_cast<void>(none.at(0)), std::out_of_range);
  EXPECT_FALSE(round_trip(none));
  shared_array<int> some(4);
  none = std::move(some);
  EXPECT_EQ(none.size(), 4u);
  EXPECT_EQ(some.size(), 0u);  // NOLINT(bugprone-use-after-move): moved from, it refers to nothing
  EXPECT_EQ(some.data(), nullptr);
}

TEST(SharedArray, AlignsItsElements) {
  const shared_array<wide_apart> array(2);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&array[1]) % 512, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(round_trip(array).data()) % 512, 0u);
}

TEST(SharedArray, RefusesMoreThanThereIs) {
  try {
    const shared_array<double> huge(std::size_t{1} << 50);
    FAIL() << "that much memory";
  } catch (const tutti::os_error& e) {
    EXPECT_EQ(e.code(), ENOMEM);
    EXPECT_THAT(e.what(), testing::HasSubstr("9007199254741120 bytes of shared memory for shared_array"));
  }
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  EXPECT_THROW(shared_array<double>{most}, std::length_error);
  EXPECT_THROW(shared_array<double>{most / 8 + 2}, std::length_error);
  EXPECT_THROW(shared_array<char>{most / 2}, std::length_error);
}

TEST(SharedArray, TravelsByHandle) {
  const auto here = shared_array<int>::copy_of(std::vector{1, 2, 3});
  const auto there = round_trip(here);
  EXPECT_NE(there.data(), here.data());
  there[2] = 4;
  EXPECT_THAT(here, ElementsAre(1, 2, 4));
  EXPECT_THROW(static_cast<void>(tutti::encode(here)), tutti::encode_error);
  // Inside of other values, and several at once.
  const auto both = round_trip(std::vector{here, shared_array<int>(1), there});
  EXPECT_THAT(both[0], ElementsAre(1, 2, 4));
  EXPECT_EQ(both[1].size(), 1u);
  EXPECT_THAT(both[2], ElementsAre(1, 2, 4));
}

TEST(SharedArray, RefusesWhatIsSomethingElse) {
  const shared_array<int> array(6);
  EXPECT_THROW(sent_as<shared_array<std::int64_t>>(array), tutti::decode_error);
  EXPECT_THROW(sent_as<shared_array<wide_apart>>(array), tutti::decode_error);
  EXPECT_EQ(sent_as<shared_array<unsigned>>(array).size(), 6u);
}

// A segment whose header does not fit its size, as by a program of another version or a memory that was written over.
TEST(SharedArray, RefusesALyingSegment) {
  const auto send = [](std::size_t bytes, auto change) {
    std::vector<tutti::unique_fd> handles;
    std::string text;
    {
      tutti::detail::outgoing_handles out;
      text = tutti::encode(shared_array<int>(6));
      handles = out.take();
    }
    const shared_array<int> real = [&] {
      tutti::detail::incoming_handles in(std::move(handles));
      return tutti::decode<shared_array<int>>(text);
    }();
    const tutti::detail::shared_memory forged(bytes, "a test");
    const auto* const begin = reinterpret_cast<const std::byte*>(real.data()) - 128;
    std::copy_n(begin, std::min<std::size_t>(bytes, 128 + 24), forged.data());
    change(forged.data());
    handles.clear();
    handles.emplace_back(::dup(forged.fd()));
    const tutti::detail::incoming_handles in(std::move(handles));
    return tutti::decode<shared_array<int>>(text).size();
  };
  const auto as_it_is = [](std::byte*) {};
  EXPECT_EQ(send(128 + 24, as_it_is), 6u);
  EXPECT_THROW(send(128 + 23, as_it_is), tutti::decode_error);
  EXPECT_THROW(send(128 + 28, as_it_is), tutti::decode_error);
  EXPECT_THROW(send(128, as_it_is), tutti::decode_error);
  EXPECT_THROW(send(20, as_it_is), tutti::decode_error);
  for (int word = 0; word < 6; ++word) {  // each of the header's
    EXPECT_THROW(send(128 + 24, [&](std::byte* at) { at[word * 8 + 7] ^= std::byte{1}; }), tutti::decode_error) << word;
  }
}

TEST(SharedArray, IsSeenByAllProcesses) {
  const shared_array<int> array(5);
  std::deque<child> children;
  for (std::size_t p = 1; p < 5; ++p) {
    children.emplace_back([&array, p](const talk&) {
      for (int i = 0; i < 1000; ++i) ++std::atomic_ref(array[0]);
      array[p] = 1;  // its own
      return 0;
    });
  }
  for (child& each : children) EXPECT_EQ(each.exit_code(), 0);
  EXPECT_THAT(array, ElementsAre(4000, 1, 1, 1, 1));
}

// ---------------------------------------------------------------- memory

// The inode of the memory at an address of this process.
std::string inode_of(const void* at) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::string rights, offset, device, inode;
    std::istringstream words(line);
    words >> std::hex >> begin >> dash >> end >> rights >> offset >> device >> inode;
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    if (begin <= address && address < end) return inode;
  }
  return {};
}

// How many processes have that inode mapped or open, as far as we may look.
int users_of(const std::string& inode) {
  int users = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    if (entry.path().filename().native().find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream maps(entry.path() / "maps");
    bool uses = false;
    for (std::string line; !uses && std::getline(maps, line);) {
      uses = line.find(" " + inode + " ") != std::string::npos && line.find("memfd:") != std::string::npos;
    }
    if (uses) ++users;
  }
  return users;
}
std::size_t open_files() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(SharedArray, GoesWithTheLastProcessAlsoWhenItWasKilled) {
  const std::size_t files = open_files();
  auto array = std::make_unique<shared_array<int>>(100'000);
  const std::string inode = inode_of(array->data());
  ASSERT_FALSE(inode.empty());
  EXPECT_EQ(users_of(inode), 1);
  {
    child holder([&](const talk& parent) {
      const auto mine = round_trip(*array);
      array.reset();
      parent.say();
      parent.hear();
      mine[0] = 1;
      parent.say();
      parent.wait_for_the_end();
      return 0;
    });
    holder.hear();
    EXPECT_EQ(users_of(inode), 2);
    array.reset();
    EXPECT_EQ(users_of(inode), 1);
    holder.say();
    holder.hear();  // it could still write
    holder.kill();
    EXPECT_EQ(users_of(inode), 0);
  }
  EXPECT_EQ(open_files(), files);
}

TEST(SharedArray, LeavesNothingBehind) {
  const std::size_t files = open_files();
  for (int i = 0; i < 200; ++i) {
    const shared_array<char> array(5000);
    const shared_array<char> same = round_trip(round_trip(array));
    const shared_array<char> copy = same;
    same[4999] = 'x';
    EXPECT_EQ(copy[4999], 'x');
  }
  EXPECT_EQ(open_files(), files);
}

}  // namespace
