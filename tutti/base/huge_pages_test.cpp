#include <gtest/gtest.h>
#include <tutti/base/huge_pages.hpp>

#include <tutti/base/codec.hpp>

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace tutti {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

// The bytes of a range that the kernel was advised about (proc_pid_smaps(5): "hg" among the flags of a mapping).
std::size_t advised_in(const char* from, const char* to) {
  std::ifstream in("/proc/self/smaps");
  std::size_t result = 0;
  std::uintptr_t first = 0, last = 0;
  for (std::string line; std::getline(in, line);) {
    char dash = 0;
    std::istringstream numbers(line);
    std::uintptr_t a = 0, b = 0;
    if (numbers >> std::hex >> a >> dash >> b && dash == '-') {
      first = std::max(a, reinterpret_cast<std::uintptr_t>(from));
      last = std::min(b, reinterpret_cast<std::uintptr_t>(to));
    } else if (line.starts_with("VmFlags:") && line.find(" hg") != line.npos && first < last) {
      result += last - first;
    }
  }
  return result;
}

class HugePages : public testing::Test {
 protected:
  HugePages()
      : memory_(static_cast<char*>(
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~HugePages() override { ::munmap(memory_, size); }
  static constexpr std::size_t size = 32 * mib;
  char* const memory_;
};

TEST_F(HugePages, AreForLongBlocksAndForNothingBesideThem) {
  char* const block = memory_ + 3 * mib + 100;
  errno = 7;
  detail::advise_huge_pages(block, 20 * mib);
  EXPECT_EQ(errno, 7);
  EXPECT_GE(advised_in(block, block + 20 * mib), 16 * mib);
  EXPECT_EQ(advised_in(memory_, block), 0u);
  EXPECT_EQ(advised_in(block + 20 * mib, memory_ + size), 0u);
}

TEST_F(HugePages, AreNotForShortBlocks) {
  detail::advise_huge_pages(memory_, mib);
  detail::advise_huge_pages(memory_, 0);
  detail::advise_huge_pages(nullptr, 0);
  EXPECT_EQ(advised_in(memory_, memory_ + size), 0u);
}

TEST_F(HugePages, OfWhatIsDecodedHoldIt) {
  std::vector<std::uint32_t> numbers(3 * mib);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::uint32_t>(i * 2654435761U);
  const auto decoded = decode<std::vector<std::uint32_t>>(encode(numbers));
  EXPECT_EQ(decoded, numbers);
  const char* const from = reinterpret_cast<const char*>(decoded.data());
  EXPECT_GE(advised_in(from, from + decoded.size() * sizeof(std::uint32_t)), 8 * mib);
  const std::string text(9 * mib, 'x');
  EXPECT_EQ(decode<std::string>(encode(text)), text);
}

}  // namespace
}  // namespace tutti
