// Where a program that is executed is looked for, and that nobody but the system reads it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/process.hpp>

#include <tutti/base/error.hpp>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <tests/support/processes.hpp>
#include <utility>

namespace tutti {
namespace {

using testing::HasSubstr;

// Of an executable file in one of two folders of PATH, or in the current directory.
class PathOfExec : public testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& folder : {one(), other()}) std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(root_.path()); }
  [[nodiscard]] std::string one() const { return root_.path() + "/one"; }
  [[nodiscard]] std::string other() const { return root_.path() + "/other"; }
  static void make(const std::string& path, const std::string& text, bool executable = true) {
    std::ofstream(path) << text;
    using std::filesystem::perms;
    std::filesystem::permissions(path, executable ? perms::owner_all : perms::owner_read | perms::owner_write);
  }
  // How `tutti-tool` ends, or the code of the error.
  static int tool(const std::string& path, const std::string& directory = {}) {
    const std::pair<std::string, std::string> environment[] = {{"PATH", path}};
    try {
      return process::exec({"tutti-tool"}, {.environment = environment, .directory = directory}).join().value();
    } catch (const os_error& e) {
      EXPECT_THAT(e.what(), HasSubstr("tutti-tool"));
      return e.code() + 1000;
    }
  }

 private:
  tutti_test::fresh_path root_;
};

TEST_F(PathOfExec, IsSearchedInItsOrder) {
  const std::string both = one() + ':' + other();
  EXPECT_EQ(tool(both), ENOENT + 1000);
  make(other() + "/tutti-tool", "#!/bin/sh\nexit 2\n");
  EXPECT_EQ(tool(both), 2);
  EXPECT_EQ(tool("/no/such/folder:/etc/passwd:/" + std::string(5000, 'n') + ':' + both), 2);
  make(one() + "/tutti-tool", "#!/bin/sh\nexit 1\n");
  EXPECT_EQ(tool(both), 1);
  EXPECT_EQ(tool(other() + ':' + one()), 2);
}

TEST_F(PathOfExec, HasWhatMustNotBeExecuted) {
  const std::string both = one() + ':' + other();
  make(one() + "/tutti-tool", "#!/bin/sh\nexit 1\n", false);
  EXPECT_EQ(tool(both), EACCES + 1000);
  make(other() + "/tutti-tool", "#!/bin/sh\nexit 2\n");
  EXPECT_EQ(tool(both), 2);
  make(one() + "/tutti-tool", "exit 1\n");  // which no shell reads
  EXPECT_EQ(tool(both), ENOEXEC + 1000);
}

TEST_F(PathOfExec, MayHaveTheCurrentDirectory) {
  make(one() + "/tutti-tool", "#!/bin/sh\nexit 1\n");
  for (const std::string path : {"", ":", "/no/such/folder:", ":/no/such/folder", ".", "/no::/such"})
    EXPECT_EQ(tool(path, one()), 1) << path;
  EXPECT_EQ(tool("/no/such/folder", one()), ENOENT + 1000);
}

TEST_F(PathOfExec, IsTheSystemsWithoutOne) {
  const std::string before = std::getenv("PATH");
  ::unsetenv("PATH");
  process p = process::exec({"true"});
  ::setenv("PATH", before.c_str(), 1);
  EXPECT_TRUE(p.join().success());
}

}  // namespace
}  // namespace tutti
