#include <fcntl.h>
#include <gtest/gtest.h>
#include <tutti/base/unique_fd.hpp>
#include <utility>

namespace {

using tutti::unique_fd;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

TEST(unique_fd, closes_once) {
  const int fd = open_null();
  ASSERT_GE(fd, 0);
  {
    const unique_fd owner(fd);
    EXPECT_TRUE(owner);
    EXPECT_EQ(owner.get(), fd);
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(unique_fd, moves) {
  unique_fd a(open_null());
  const int fd = a.get();
  unique_fd b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): moved-from is empty, by contract
  EXPECT_EQ(b.get(), fd);
  unique_fd c(open_null());
  const int replaced = c.get();
  c = std::move(b);
  EXPECT_EQ(c.get(), fd);
  EXPECT_FALSE(is_open(replaced));
  EXPECT_TRUE(is_open(fd));
  unique_fd& same = c;
  c = std::move(same);
  EXPECT_EQ(c.get(), fd);
}

TEST(unique_fd, releases_and_resets) {
  unique_fd a(open_null());
  const int fd = a.release();
  EXPECT_FALSE(a);
  EXPECT_TRUE(is_open(fd));
  a.reset(fd);
  a.reset();
  EXPECT_FALSE(is_open(fd));
  EXPECT_EQ(unique_fd(-5).get(), -1);
}

}  // namespace
