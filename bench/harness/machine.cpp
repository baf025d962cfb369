#include "machine.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "clock.hpp"

namespace bench {

namespace {

// The first line of `file` that starts with `key`, without the key and what separates it from the value.
std::string field(const std::string& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    std::size_t from = line.find_first_not_of(" \t:", key.size());
    return from == std::string::npos ? "" : line.substr(from);
  }
  return "";
}

long number_field(const std::string& file, const std::string& key) {
  std::string text = field(file, key);
  return text.empty() ? 0 : std::stol(text);
}

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; }

double rusage_seconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double tick_seconds() { return 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK)); }

std::vector<pid_t>& own_children() {
  static std::vector<pid_t> pids;
  return pids;
}

double process_cpu_seconds(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  std::size_t after_name = text.rfind(')');
  if (after_name == std::string::npos) return 0;
  std::istringstream rest(text.substr(after_name + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) rest >> skipped;  // state .. cmajflt
  double user = 0, system = 0;
  rest >> user >> system;
  return (user + system) * tick_seconds();
}

// CPU seconds of the live processes below this one, with those of the processes that they have waited for.
double descendants_cpu_seconds() {
  struct process {
    pid_t parent = 0;
    double ticks = 0;
  };
  std::map<pid_t, process> all;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream in(entry.path() / "stat");
    std::string text((std::istreambuf_iterator<char>(in)), {});
    const std::size_t after_name = text.rfind(')');
    if (after_name == std::string::npos) continue;
    std::istringstream rest(text.substr(after_name + 2));
    std::string skipped;
    process found;
    rest >> skipped >> found.parent;
    for (int i = 0; i < 9; ++i) rest >> skipped;  // pgrp .. cmajflt
    for (int i = 0; i < 4; ++i) {                 // user and system, its own and of its children
      double ticks = 0;
      rest >> ticks;
      found.ticks += ticks;
    }
    all.emplace(static_cast<pid_t>(std::stol(name)), found);
  }
  double ticks = 0;
  for (const auto& [pid, one] : all) {
    pid_t above = one.parent;
    for (auto at = all.find(above); above != getpid() && at != all.end(); at = all.find(above))
      above = at->second.parent;
    if (above == getpid()) ticks += one.ticks;
  }
  return ticks * tick_seconds();
}

double family_cpu_seconds() {
  return rusage_seconds(RUSAGE_SELF) + rusage_seconds(RUSAGE_CHILDREN) + descendants_cpu_seconds();
}

// CPU seconds that anything on this machine used, including what the hypervisor took.
double machine_busy_seconds() {
  std::ifstream in("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
  in >> cpu >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
  return (user + nice + system + irq + softirq + steal) * tick_seconds();
}

}  // namespace

std::string cpu_name() {
  std::string name = field("/proc/cpuinfo", "model name");
  return name.empty() ? "unknown cpu" : name;
}

std::string kernel_name() {
  utsname name{};
  uname(&name);
  return std::string(name.sysname) + " " + name.release;
}

std::string compiler_name() {
#if defined(__clang__)
  return "clang++ " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

void settle() {
  for (int round = 0; round < 25; ++round) {
    double before = rusage_seconds(RUSAGE_SELF);
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
    if (rusage_seconds(RUSAGE_SELF) - before < 0.0004) return;
  }
}

const std::vector<int>& startup_cpus() {
  static const std::vector<int> cpus = [] {
    std::vector<int> found;
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(getpid(), sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) found.push_back(cpu);
    }
    return found;
  }();
  return cpus;
}

namespace {
const std::vector<int>& read_before_main = startup_cpus();
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  sched_setaffinity(0, sizeof set, &set);
}

void unpin() {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : read_before_main) CPU_SET(static_cast<std::size_t>(cpu), &set);
  sched_setaffinity(0, sizeof set, &set);
}

long peak_kib() { return number_field("/proc/self/status", "VmHWM"); }

long resident_kib() { return number_field("/proc/self/smaps_rollup", "Rss"); }

process_memory memory_of(pid_t pid) {
  const std::string file = "/proc/" + std::to_string(pid) + "/smaps_rollup";
  return {number_field(file, "Pss:"), number_field(file, "Private_Clean:") + number_field(file, "Private_Dirty:")};
}

switches context_switches(pid_t pid) {
  switches total;
  std::string tasks = "/proc/" + (pid == 0 ? std::string("self") : std::to_string(pid)) + "/task";
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(tasks, gone)) {
    std::string status = task.path().string() + "/status";
    total.voluntary += number_field(status, "voluntary_ctxt_switches");
    total.involuntary += number_field(status, "nonvoluntary_ctxt_switches");
  }
  return total;
}

double own_cpu_seconds() {
  double total = rusage_seconds(RUSAGE_SELF) + rusage_seconds(RUSAGE_CHILDREN);
  for (pid_t pid : own_children()) total += process_cpu_seconds(pid);
  return total;
}

void count_as_own(pid_t pid) { own_children().push_back(pid); }

load_meter::load_meter() : busy_(machine_busy_seconds()), own_(family_cpu_seconds()), wall_(now_ns() * 1e-9) {}

double load_meter::foreign_cores() const {
  double wall = now_ns() * 1e-9 - wall_;
  if (wall < 0.25) return 0;
  return std::max(0.0, (machine_busy_seconds() - busy_ - (family_cpu_seconds() - own_)) / wall);
}

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace bench
