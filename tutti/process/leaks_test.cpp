// After the tests of this program, or the one that was chosen: no process, descriptor or segment is left.
#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::string first_line(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

// Zombies too.
std::vector<int> children_of(int parent) {
  std::vector<int> result;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    const std::string about = first_line("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t end = about.rfind(')');
    if (end != about.npos && std::atoi(about.c_str() + end + 4) == parent) result.push_back(pid);
  }
  return result;
}

bool has_in_command(int pid, const char* text) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/cmdline");
  const std::string command{std::istreambuf_iterator<char>(in), {}};
  return command.find(text) != command.npos;
}
bool is_launcher(int pid) { return has_in_command(pid, "--tutti-worker=launcher"); }
// A sanitizer's own, with a pipe each way.
bool is_symbolizer(int pid) { return has_in_command(pid, "llvm-symbolizer"); }

std::set<std::string> descriptors() {
  std::set<std::string> result;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = fs::read_symlink(entry.path(), gone);
    if (!gone) result.insert(entry.path().filename().string() + " -> " + target.string());
  }
  return result;
}

class nothing_is_left : public testing::Environment {
 public:
  void SetUp() override { before_ = descriptors(); }
  void TearDown() override {
    // The launcher's thread may be just about to let go what belonged to a process whose end it has told of.
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    std::vector<std::string> left = what_is_left();
    while (!left.empty() && std::chrono::steady_clock::now() < late) {
      std::this_thread::yield();
      left = what_is_left();
    }
    for (const std::string& one : left) ADD_FAILURE() << one;
  }

 private:
  std::vector<std::string> what_is_left() const {
    std::vector<std::string> left;
    // A launcher stays as long as this program; what it had started is gone.
    std::size_t launchers = 0, symbolizers = 0;
    const auto note_process = [&](int pid) {
      left.push_back("process left: " + first_line("/proc/" + std::to_string(pid) + "/stat"));
    };
    for (const int child : children_of(::getpid())) {
      if (is_launcher(child)) {
        ++launchers;
        for (const int grandchild : children_of(child)) note_process(grandchild);
      } else if (is_symbolizer(child)) {
        ++symbolizers;
      } else {
        note_process(child);
      }
    }
    std::size_t sockets = 0, pipes = 0;
    for (const std::string& now : descriptors()) {
      if (before_.contains(now) || now.find("/proc/") != now.npos) continue;
      if (now.find("socket:") != now.npos) {
        ++sockets;
      } else if (symbolizers != 0 && now.find("pipe:") != now.npos) {
        ++pipes;
      } else {
        left.push_back("descriptor left: " + now);
      }
    }
    if (sockets > launchers) left.push_back(std::to_string(sockets - launchers) + " sockets left");
    if (pipes > 2 * symbolizers) left.push_back(std::to_string(pipes - 2 * symbolizers) + " pipes left");
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.find("/memfd:") != line.npos) left.push_back("segment left: " + line);
    }
    return left;
  }

  std::set<std::string> before_;
};

[[maybe_unused]] testing::Environment* const check = testing::AddGlobalTestEnvironment(new nothing_is_left);

}  // namespace
