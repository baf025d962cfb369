// processes: what tests of several processes share: what the kernel says of a process, and tests that clean up.
#pragma once
#include <dirent.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <fstream>
#include <string>
#include <tutti/base/unique_fd.hpp>

namespace tutti_test {

/// Of the first thread of the process, as in proc_pid_stat(5): 'S' asleep, 'Z' ended, but not waited for; 0: there is
/// none of that id.
inline char state_of(::pid_t id) {
  std::ifstream in("/proc/" + std::to_string(id) + "/stat");
  std::string text;
  if (!std::getline(in, text)) return 0;
  return text.at(text.rfind(')') + 2);
}

/// Whether it has ended; its parent may still have to wait for it.
inline bool is_gone(::pid_t id) {
  const char state = state_of(id);
  return state == 0 || state == 'Z';
}
inline void until_gone(::pid_t id) {
  while (!is_gone(id)) ::sched_yield();
}

/// Returns once it sleeps; fails when it ends instead.
inline void until_asleep(::pid_t id) {
  for (char state = 0; (state = state_of(id)) != 'S'; ::sched_yield())
    ASSERT_FALSE(state == 0 || state == 'Z') << "process " << id << " is gone";
}

/// The next line, without its end; blocks.
inline std::string read_line(const tutti::unique_fd& from) {
  std::string line;
  for (char c = 0; ::read(from.get(), &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

/// A path that nothing has yet; what is there in the end is removed.
class fresh_path {
 public:
  fresh_path() {
    std::string folder = testing::TempDir() + "tutti_XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) ADD_FAILURE() << "cannot make " << folder;
    folder_ = folder;
  }
  ~fresh_path() {
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  fresh_path(const fresh_path&) = delete;
  fresh_path& operator=(const fresh_path&) = delete;
  std::string path() const { return folder_ + "/file"; }

 private:
  std::string folder_;
};

inline int open_descriptors() {
  ::DIR* const all = ::opendir("/proc/self/fd");
  int count = 0;
  while (::readdir(all) != nullptr) ++count;
  ::closedir(all);
  return count;
}
/// The same once there are no more than `wanted`, or too late: helper threads close some soon, and open some for a
/// moment.
inline int settled_descriptors(int wanted) {
  const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (;;) {
    const int open = open_descriptors();
    if (open <= wanted || std::chrono::steady_clock::now() >= late) return open;
    ::sched_yield();
  }
}

/// A test that ends when it hangs, and leaves no descriptor behind.
class clean_test : public testing::Test {
 protected:
  void SetUp() override {
    ::alarm(120);
    before_ = open_descriptors();
  }
  void TearDown() override {
    EXPECT_LE(settled_descriptors(before_), before_);
    ::alarm(0);
  }

 private:
  int before_ = 0;
};

/// What `f` throws says.
template <class F>
std::string text_of(F f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

}  // namespace tutti_test
