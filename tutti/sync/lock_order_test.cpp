// Orders of locks that could meet in a deadlock, and those that could not.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <tutti/sync/lock_order.hpp>
#include <vector>

namespace {

using tutti::detail::deadlock_graph;
using tutti::detail::lock_order;

class lock_order_test : public ::testing::Test {
 protected:
  // `who` takes the locks one inside another; what is reported, in all.
  // Capital letters: as one of several.
  std::string takes(char who, const std::string& locks) {
    std::string reports;
    std::vector<deadlock_graph::hold> held;
    for (const char letter : locks) {
      const bool exclusive = letter >= 'a';
      const char one = exclusive ? letter : static_cast<char>(letter - 'A' + 'a');
      const void* const at = &locks_[static_cast<std::size_t>(one - 'a')];
      const tutti::place here{"bank.cpp", static_cast<unsigned>(10 * (who - '0') + one - 'a'), ""};
      names_.add_resource({at, tutti::wait_rule::all_release, "mutex",
                           std::string_view(&names_of_[static_cast<std::size_t>(one - 'a')], 1)},
                          0);
      if (!held.empty()) reports += order_.add(static_cast<std::uint64_t>(who - '0') + 1, held, at, here, names_);
      held.push_back({at, here, exclusive});
    }
    return reports;
  }
  void destroy(char lock) { order_.forget(&locks_[static_cast<std::size_t>(lock - 'a')]); }

 private:
  lock_order order_;
  deadlock_graph names_;
  std::array<char, 8> locks_{};
  std::string names_of_ = "abcdefgh";
};

TEST_F(lock_order_test, one_order) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(takes(static_cast<char>('0' + i), "abc"), "");
}

TEST_F(lock_order_test, the_other_order_is_reported_once_with_all_places) {
  EXPECT_EQ(takes('0', "ab"), "");
  const std::string report = takes('1', "ba");
  EXPECT_NE(report.find("mutex \"a\" was taken at bank.cpp:10 while mutex \"b\", taken at bank.cpp:11"),
            std::string::npos)
      << report;
  EXPECT_NE(report.find("elsewhere mutex \"b\" at bank.cpp:1 inside the one taken at bank.cpp"), std::string::npos)
      << report;
  EXPECT_EQ(takes('2', "ba"), "");
  EXPECT_EQ(takes('2', "ab"), "");
}

TEST_F(lock_order_test, around_a_corner) {
  EXPECT_EQ(takes('0', "ab"), "");
  EXPECT_EQ(takes('1', "bc"), "");
  EXPECT_NE(takes('2', "ca"), "");
}

TEST_F(lock_order_test, one_party_alone_does_no_harm) {
  EXPECT_EQ(takes('0', "ab"), "");
  EXPECT_EQ(takes('0', "ba"), "");
  EXPECT_NE(takes('1', "ba"), "") << "a second one may meet the first";
}

TEST_F(lock_order_test, under_a_common_lock_nobody_meets) {
  EXPECT_EQ(takes('0', "gab"), "");
  EXPECT_EQ(takes('1', "gba"), "");
  EXPECT_NE(takes('2', "ab"), "") << "without it";
}

TEST_F(lock_order_test, a_lock_that_others_share_keeps_nobody_apart) {
  EXPECT_EQ(takes('0', "Gab"), "");
  EXPECT_NE(takes('1', "Gba"), "");
}

TEST_F(lock_order_test, what_is_destroyed_is_forgotten) {
  EXPECT_EQ(takes('0', "ab"), "");
  destroy('a');
  EXPECT_EQ(takes('1', "ba"), "");
}

TEST_F(lock_order_test, recursion_is_no_order) { EXPECT_EQ(takes('0', "aa"), ""); }

}  // namespace
