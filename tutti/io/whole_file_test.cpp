// Whole files that are replaced: whose they are, and who may read them meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/failure_of.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/io/file.hpp>
#include <tutti/io/loop.hpp>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

namespace {

namespace fs = std::filesystem;
namespace io = tutti::io;
using testing::HasSubstr;

// What the last new file was like when it was about to get its permissions.
struct ::stat before_permissions{};
// The next fchown of the program fails.
bool owner_is_refused = false;

class whole_files : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "tutti_file_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    io::run(io::write_file(path(), "old", {.sync = false}));
    before_permissions = {};
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path() const { return (folder_ / "f").string(); }
  struct ::stat now() const {
    struct ::stat status{};
    EXPECT_EQ(::stat(path().c_str(), &status), 0);
    return status;
  }

 private:
  fs::path folder_;
};

TEST_F(whole_files, nobody_else_may_read_before_they_have_their_permissions) {
  ASSERT_EQ(::chmod(path().c_str(), 0640), 0);
  io::run(io::write_file(path(), "secret"));
  EXPECT_EQ(before_permissions.st_mode & 07777U, 0600U);
  EXPECT_EQ(before_permissions.st_size, 0);
  EXPECT_EQ(now().st_mode & 07777U, 0640U);
}

TEST_F(whole_files, keep_their_owner_before_they_get_their_permissions) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  constexpr ::uid_t someone = 12345;
  constexpr ::gid_t some_group = 23456;
  ASSERT_EQ(::chown(path().c_str(), someone, some_group), 0);
  ASSERT_EQ(::chmod(path().c_str(), 06755), 0);
  io::run(io::write_file(path(), "new"));
  EXPECT_EQ(before_permissions.st_uid, someone);
  EXPECT_EQ(now().st_uid, someone);
  EXPECT_EQ(now().st_gid, some_group);
  EXPECT_EQ(now().st_mode & 07777U, 06755U);
}

TEST_F(whole_files, that_cannot_be_given_to_their_owner_are_not_replaced) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  ASSERT_EQ(::chown(path().c_str(), 12345, 23456), 0);
  owner_is_refused = true;
  std::string said;
  try {
    io::run(io::write_file(path(), "new"));
  } catch (const tutti::os_error& e) {
    EXPECT_EQ(e.code(), EPERM);
    said = e.what();
  }
  EXPECT_THAT(said, HasSubstr("a new file cannot be given to its owner (user 12345, group 23456)"));
  EXPECT_EQ(io::run(io::read_file(path(), 10)), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(fs::path(path()).parent_path()), {}), 1) << "nothing is left behind";
}

}  // namespace

// The system's, as this program sees them.
extern "C" int fchmod(int fd, ::mode_t mode) noexcept {
  static_cast<void>(::fstat(fd, &before_permissions));
  return static_cast<int>(::syscall(SYS_fchmod, fd, mode));
}
extern "C" int fchown(int fd, ::uid_t owner, ::gid_t group) noexcept {
  if (owner_is_refused) {
    owner_is_refused = false;
    errno = EPERM;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fchown, fd, owner, group));
}
