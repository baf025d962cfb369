#include <apps/tutti/memory.hpp>

#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <string>

namespace tutti::app {
namespace {

// A line of /proc/self/status, such as "VmHWM:    1234 kB"; 0 when it is not there.
std::uint64_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word; status.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
    std::uint64_t kilobytes = 0;
    if (word == name && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

std::uint64_t memory_in_use() { return status_bytes("VmRSS:"); }

std::uint64_t peak_memory() { return status_bytes("VmHWM:"); }

void forget_peak() {
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";  // see proc(5)
}

std::uint64_t memory_of_machine() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace tutti::app
