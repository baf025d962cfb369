#include <tutti/mpi/inside/quiet_threads.hpp>

#include <dlfcn.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace tutti::mpi::detail {
namespace {

// Whether nobody outside this process can reach the address.
bool is_private(std::uint64_t address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);  // 7f0000-7f8000 rw-p ...
    std::uint64_t begin = 0, end = 0;
    char dash = 0;
    std::string rights;
    words >> std::hex >> begin >> dash >> end >> rights;
    if (address >= begin && address < end) return rights.size() == 4 && rights[3] == 'p';
  }
  return false;
}

// Whether a thread that sleeps with this stack was called by the library: one of its return addresses lies there. What
// is left there from earlier calls may look like one, which only makes the thread count as running.
bool is_inside(std::span<const code_range> library, std::uint64_t stack) {
  constexpr std::size_t most = 16384 / sizeof(std::uintptr_t);
  std::array<std::uintptr_t, most> words;
  // Copied by the system, as the thread's stack may end anywhere, and is none of our business.
  std::size_t size = sizeof words;
  ::ssize_t got = -1;
  while (size >= 256 && got < 0) {
    const ::iovec to{words.data(), size};
    const ::iovec from{reinterpret_cast<void*>(stack), size};
    got = ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0);
    if (got < 0) size /= 2;
  }
  if (got < 0) return true;
  const std::size_t count = static_cast<std::size_t>(got) / sizeof(std::uintptr_t);
  return std::any_of(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count), [&](std::uintptr_t word) {
    return std::any_of(library.begin(), library.end(),
                       [&](const code_range& code) { return word >= code.begin && word < code.end; });
  });
}

bool sleeps_until_woken(const std::string& directory, std::span<const code_range> library) {
  std::ifstream in(directory + "/syscall");  // "202 0x7f.. 0x189 0x0 0x0 ...", "running", or empty
  long number = -1;
  if (!(in >> number) || number != SYS_futex) return false;
  std::uint64_t words[7];  // address, operation, value, time limit, two more, stack pointer
  for (std::uint64_t& word : words) {
    std::string text;
    if (!(in >> text)) return false;
    word = std::strtoull(text.c_str(), nullptr, 16);
  }
  const auto operation = static_cast<int>(words[1]) & FUTEX_CMD_MASK;
  const bool waits = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET || operation == FUTEX_LOCK_PI;
  if (!waits || words[3] != 0) return false;
  return ((words[1] & FUTEX_PRIVATE_FLAG) != 0 || is_private(words[0])) && !is_inside(library, words[6]);
}

std::optional<std::uint64_t> switches_of(const std::string& directory) {
  std::ifstream in(directory + "/status");
  std::uint64_t sum = 0;
  int found = 0;
  for (std::string word; in >> word;) {
    if (word != "voluntary_ctxt_switches:" && word != "nonvoluntary_ctxt_switches:") continue;
    std::uint64_t count = 0;
    if (!(in >> count)) return {};
    sum += count;
    ++found;
  }
  if (found != 2) return {};
  return sum;
}

}  // namespace

std::vector<long> all_threads() {
  std::vector<long> numbers;
  std::error_code failed;
  for (std::filesystem::directory_iterator at("/proc/self/task", failed), end; !failed && at != end;
       at.increment(failed)) {
    numbers.push_back(std::atol(at->path().filename().c_str()));
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::vector<code_range> code_of_library(const void* function) {
  std::vector<code_range> found;
  ::Dl_info about{};
  if (::dladdr(function, &about) == 0 || about.dli_fname == nullptr) return found;
  std::error_code failed;
  const std::string path = std::filesystem::canonical(about.dli_fname, failed);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);  // 7f0000-7f8000 r-xp 00026000 fe:00 12345 /usr/lib/libmpi.so.40
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::string rights, offset, device, number, file;
    words >> std::hex >> begin >> dash >> end >> rights >> offset >> device >> number >> file;
    if (rights.size() == 4 && rights[2] == 'x' && file == path) found.push_back({begin, end});
  }
  return found;
}

std::optional<std::vector<quiet_thread>> quiet_threads(std::span<const long> others,
                                                       std::span<const code_range> library) {
  std::vector<quiet_thread> quiet;
  for (const long number : all_threads()) {
    if (std::find(others.begin(), others.end(), number) != others.end()) continue;
    const std::string directory = "/proc/self/task/" + std::to_string(number);
    if (!sleeps_until_woken(directory, library)) return {};  // in this order: what it was before the count
    const auto switches = switches_of(directory);
    if (!switches) return {};
    quiet.push_back({number, *switches});
  }
  return quiet;
}

}  // namespace tutti::mpi::detail
