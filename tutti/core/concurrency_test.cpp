// How many threads: the affinity mask of a child process, and cgroup trees made of files.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <tutti/core/concurrency.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> cpus;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(static_cast<std::size_t>(i), &set)) cpus.push_back(i);
  }
  return cpus;
}

// default_concurrency() in a process that may use the first `n` of our CPUs only.
int concurrency_with(std::size_t n) {
  const auto cpus = allowed_cpus();
  const ::pid_t child = ::fork();
  if (child == 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (std::size_t i = 0; i < n; ++i) CPU_SET(static_cast<std::size_t>(cpus[i]), &set);
    ::_exit(::sched_setaffinity(0, sizeof set, &set) != 0 ? 255 : tutti::default_concurrency());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST(Concurrency, AtLeastOneAndAtMostTheMask) {
  EXPECT_GE(tutti::default_concurrency(), 1);
  EXPECT_LE(tutti::default_concurrency(), static_cast<int>(allowed_cpus().size()));
}

TEST(Concurrency, FollowsTheAffinityMask) {
  const auto quota = tutti::cgroup_cpu_quota();
  const int most = quota ? std::max(1, static_cast<int>(std::ceil(*quota))) : 4096;
  for (std::size_t n = 1; n <= std::min<std::size_t>(allowed_cpus().size(), 4); ++n) {
    EXPECT_EQ(concurrency_with(n), std::min(static_cast<int>(n), most));
  }
}

// A directory that stands for /proc/self/cgroup and /sys/fs/cgroup.
class Cgroup : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "tutti_cgroup_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = root_ / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::optional<double> quota() const {
    return tutti::cgroup_cpu_quota((root_ / "self").string(), (root_ / "fs").string());
  }

 private:
  fs::path root_;
};

TEST_F(Cgroup, NoFilesNoQuota) {
  EXPECT_EQ(quota(), std::nullopt);
  write("self", "0::/user.slice\n");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(Cgroup, Version2) {
  write("self", "0::/user.slice/job\n");
  write("fs/user.slice/job/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
  write("fs/user.slice/job/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("fs/user.slice/job/cpu.max", "10000 100000\n");
  EXPECT_EQ(quota(), 0.1);
}

TEST_F(Cgroup, Version2TheTightestAroundCounts) {
  write("self", "0::/a/b/c\n");
  write("fs/a/b/c/cpu.max", "400000 100000\n");
  write("fs/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(quota(), 2.5);
  write("fs/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), 2.5);
  write("fs/cpu.max", "50000 50000\n");
  EXPECT_EQ(quota(), 1.0);
}

TEST_F(Cgroup, Version2InsideAContainer) {
  write("self", "0::/\n");  // the group looks like the root from inside
  write("fs/cpu.max", "200000 100000\n");
  EXPECT_EQ(quota(), 2.0);
}

TEST_F(Cgroup, Version1) {
  write("self", "12:pids:/job\n5:cpu,cpuacct:/docker/x\n1:name=systemd:/job\n");
  write("fs/cpu/docker/x/cpu.cfs_quota_us", "300000\n");
  write("fs/cpu/docker/x/cpu.cfs_period_us", "200000\n");
  EXPECT_EQ(quota(), 1.5);
  write("fs/cpu/docker/cpu.cfs_quota_us", "50000\n");
  write("fs/cpu/docker/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 0.5);
  write("fs/cpu/docker/cpu.cfs_quota_us", "-1\n");
  write("fs/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(Cgroup, BothVersionsAtOnce) {
  write("self", "5:cpuacct,cpu:/x\n0::/y\n");
  write("fs/y/cpu.max", "max 100000\n");
  write("fs/cpu/x/cpu.cfs_quota_us", "200000\n");
  write("fs/cpu/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 2.0);
  write("self", "6:cpuset:/x\n0::/y\n");
  EXPECT_EQ(quota(), std::nullopt) << "cpuset is not cpu";
}

TEST_F(Cgroup, NonsenseIsNoQuota) {
  write("self", "0::/job\n");
  for (const auto* text : {"", "max", "100000", "100000 0", "-5 100000", "0 100000", "1e400x 100000", "quota period",
                           "100000 -100000", "12abc 100000"}) {
    write("fs/job/cpu.max", text);
    EXPECT_EQ(quota(), std::nullopt) << text;
  }
  write("fs/job/cpu.max", "100000 100000");
  for (const auto* text : {"", "\n\n", "nothing", "0:", "0:/job", ":::::::", "x::"}) {
    write("self", text);
    EXPECT_EQ(quota(), std::nullopt) << text;
  }
}

// Restores the variable, which other tests' pools read.
class told_workers {
 public:
  explicit told_workers(const char* text) {
    if (const char* const old = std::getenv("TUTTI_WORKERS")) before_ = old;
    ::setenv("TUTTI_WORKERS", text, 1);
  }
  ~told_workers() { before_ ? ::setenv("TUTTI_WORKERS", before_->c_str(), 1) : ::unsetenv("TUTTI_WORKERS"); }
  told_workers(const told_workers&) = delete;
  told_workers& operator=(const told_workers&) = delete;

 private:
  std::optional<std::string> before_;
};

TEST(default_workers, are_told_by_the_environment) {
  {
    const told_workers three("3");
    EXPECT_EQ(tutti::default_workers(64), 3);
    EXPECT_EQ(tutti::thread_pool().concurrency(), 3);
    EXPECT_EQ(tutti::thread_pool(2).concurrency(), 2);
  }
  const told_workers nothing("");
  EXPECT_EQ(tutti::default_workers(64), tutti::default_concurrency());
}

TEST(default_workers, nonsense_is_refused) {
  for (const char* const text : {"0", "-1", "65", "two", "3x", " 3", "99999999999999999999"}) {
    const told_workers told(text);
    try {
      static_cast<void>(tutti::default_workers(64));
      ADD_FAILURE() << text;
    } catch (const std::invalid_argument& refused) {
      EXPECT_EQ(refused.what(), "TUTTI_WORKERS=" + std::string(text) +
                                    ": it is the number of threads of a pool for which none was given, 1 to 64");
    }
  }
}

}  // namespace
