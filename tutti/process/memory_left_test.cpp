// What is left of the memory of cgroups, in trees that are made of files.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <tutti/process/memory_left.hpp>

#include <filesystem>
#include <fstream>
#include <string>

namespace tutti::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t machine = std::size_t{8} << 30;

class MemoryLeft : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "tutti_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    write("meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = root_ / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::size_t left() const {
    return memory_left((root_ / "meminfo").string(), (root_ / "self").string(), (root_ / "fs").string());
  }

 private:
  fs::path root_;
};

TEST_F(MemoryLeft, IsTheMachinesWithoutGroups) {
  EXPECT_EQ(left(), machine);
  write("self", "0::/job\n");
  EXPECT_EQ(left(), machine);
  write("fs/job/memory.max", "max\n");
  write("fs/job/memory.current", "1000000\n");
  EXPECT_EQ(left(), machine);
  write("meminfo", "");
  EXPECT_GT(left(), machine);
}

TEST_F(MemoryLeft, Version2) {
  write("self", "0::/a/b\n");
  write("fs/a/b/memory.max", "1000000\n");
  write("fs/a/b/memory.current", "400000\n");
  EXPECT_EQ(left(), 600'000u);
  write("fs/a/b/memory.stat", "anon 100000\nactive_file 50000\ninactive_file 150000\n");
  EXPECT_EQ(left(), 800'000u);
  write("fs/a/memory.max", "500000\n");
  write("fs/a/memory.current", "450000\n");
  EXPECT_EQ(left(), 50'000u);
  write("fs/a/memory.current", "500001\n");
  EXPECT_EQ(left(), 0u);
}

TEST_F(MemoryLeft, Version2InsideAContainer) {
  write("self", "0::/\n");  // the group looks like the root from inside
  write("fs/memory.max", "1000000\n");
  write("fs/memory.current", "400000\n");
  EXPECT_EQ(left(), 600'000u);
}

TEST_F(MemoryLeft, Version1) {
  write("self", "12:pids:/job\n5:memory:/docker/x\n0::/y\n");
  write("fs/memory/docker/x/memory.limit_in_bytes", "1000000\n");
  write("fs/memory/docker/x/memory.usage_in_bytes", "900000\n");
  write("fs/memory/docker/x/memory.stat", "active_file 7\ntotal_active_file 300000\ntotal_inactive_file 100000\n");
  write("fs/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("fs/memory/memory.usage_in_bytes", "5000000\n");
  EXPECT_EQ(left(), 500'000u);
}

TEST_F(MemoryLeft, OfThisProcessIsSome) { EXPECT_GT(memory_left(), 0u); }

}  // namespace
}  // namespace tutti::detail
