#include <tutti/base/throw_stack.hpp>

#include <tutti/base/demangle.hpp>
#include <tutti/base/unique_fd.hpp>

#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unwind.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <typeinfo>

namespace tutti {
namespace {

struct stack {
  static constexpr int most = 64;
  void* frames[most];
  int count = 0;
};
constinit thread_local stack last{};

// A program or library as a file, in memory.
class mapped_file {
 public:
  explicit mapped_file(const char* path) {
    const unique_fd fd(::open(path, O_RDONLY | O_CLOEXEC));
    struct ::stat about{};
    if (!fd || ::fstat(fd.get(), &about) != 0 || about.st_size <= 0) return;
    size_ = static_cast<std::size_t>(about.st_size);
    void* const at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (at != MAP_FAILED) data_ = static_cast<const std::byte*>(at);
  }
  ~mapped_file() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  // `count` objects at `offset`; null if the file does not have them.
  template <class T>
  const T* at(std::uint64_t offset, std::uint64_t count = 1) const {
    if (data_ == nullptr || offset > size_ || count > (size_ - offset) / sizeof(T) || offset % alignof(T) != 0)
      return nullptr;
    return reinterpret_cast<const T*>(data_ + offset);
  }
  std::string_view text(std::uint64_t offset) const {
    if (data_ == nullptr || offset >= size_) return {};
    const char* const from = reinterpret_cast<const char*>(data_ + offset);
    return {from, ::strnlen(from, size_ - offset)};
  }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// The function at an address of a file, from its table of symbols, which has those that dladdr does not know.
std::string symbol_in(const mapped_file& file, std::uint64_t address, std::uint64_t& offset) {
  const auto* const header = file.at<ElfW(Ehdr)>(0);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return {};
  const auto* const sections = file.at<ElfW(Shdr)>(header->e_shoff, header->e_shnum);
  if (sections == nullptr) return {};
  for (unsigned n = 0; n < header->e_shnum; ++n) {
    const auto& section = sections[n];
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= header->e_shnum) continue;
    const std::uint64_t count = section.sh_size / sizeof(ElfW(Sym));
    const auto* const symbols = file.at<ElfW(Sym)>(section.sh_offset, count);
    if (symbols == nullptr) continue;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto& symbol = symbols[i];
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || address < symbol.st_value ||
          address - symbol.st_value >= symbol.st_size)
        continue;
      offset = address - symbol.st_value;
      return std::string(file.text(sections[section.sh_link].sh_offset + symbol.st_name));
    }
  }
  return {};
}

std::string describe(int number, void* frame) {
  char text[64];
  // The return address is behind the call, perhaps behind the function.
  const auto address = reinterpret_cast<std::uintptr_t>(frame) - 1;
  ::Dl_info about{};
  ::link_map* module = nullptr;
  void** const result = reinterpret_cast<void**>(&module);
  if (::dladdr1(reinterpret_cast<void*>(address), &about, result, RTLD_DL_LINKMAP) == 0 || module == nullptr) {
    std::snprintf(text, sizeof text, "#%d 0x%llx", number, static_cast<unsigned long long>(address));
    return text;
  }
  const bool is_program = module->l_name == nullptr || *module->l_name == '\0';
  const std::uint64_t in_file = address - module->l_addr;
  std::uint64_t offset = address - reinterpret_cast<std::uintptr_t>(about.dli_saddr);
  std::string name = about.dli_sname == nullptr ? "" : about.dli_sname;
  if (name.empty()) name = symbol_in(mapped_file(is_program ? "/proc/self/exe" : module->l_name), in_file, offset);
  const std::string module_name = is_program && about.dli_fname != nullptr ? about.dli_fname : module->l_name;
  if (name.empty()) {
    std::snprintf(text, sizeof text, "#%d +0x%llx in ", number, static_cast<unsigned long long>(in_file));
    return text + module_name;
  }
  std::snprintf(text, sizeof text, " +0x%llx in ", static_cast<unsigned long long>(offset));
  return '#' + std::to_string(number) + ' ' + demangle(name.c_str()) + text + module_name;
}

// What stands above the throw itself.
bool is_machinery(const std::string& line) {
  for (const char* const part :
       {"probe_type::__do_catch", "__gxx_personality", "_Unwind_", "__cxa_throw", "__cxa_rethrow"}) {
    if (line.find(part) != line.npos) return true;
  }
  return line.find("/libgcc_s.so") != line.npos;
}

// Whether destructors of inner frames have run: then the last of them has resumed the search.
bool is_unwound(const stack& now) {
  constexpr int machinery = 8;
  for (int i = 0; i < std::min(now.count, machinery); ++i) {
    if (::_Unwind_FindEnclosingFunction(now.frames[i]) == reinterpret_cast<void*>(&::_Unwind_Resume)) return true;
  }
  return false;
}

}  // namespace

namespace detail {

// Not in the unnamed namespace, as its object would be hidden there.
class probe_type final : public std::type_info {
 public:
  probe_type() : std::type_info("N5tutti6detail11throw_probeE") {}
  // Asked while the stack is still as it was at the throw; and again while it is being unwound. Never a match.
  bool __do_catch(const std::type_info*, void**, unsigned) const override {  // NOLINT(bugprone-reserved-identifier)
    stack now;
    now.count = ::backtrace(now.frames, stack::most);
    if (!is_unwound(now)) last = now;
    return false;
  }
};

// The type_info of throw_probe, which no compiler emits: its virtual function is nowhere defined.
extern const probe_type throw_probe_type asm("_ZTIN5tutti6detail11throw_probeE");
// Made before other static objects may throw.
[[gnu::init_priority(101)]] const probe_type throw_probe_type;

}  // namespace detail

std::string detail::frame_text(int number, void* return_address) { return describe(number, return_address); }

std::string throw_stack() {
  std::string result;
  int number = 0;
  bool above = true;
  for (int i = 0; i < last.count; ++i) {
    const std::string line = describe(number, last.frames[i]);
    if (above && (i == 0 || is_machinery(line) || line.find("libstdc++") != line.npos)) continue;
    above = false;
    if (line.find(" tutti::detail::invoke_encoded<") != line.npos) break;
    result += (result.empty() ? "" : "\n") + line;
    ++number;
  }
  return result;
}

}  // namespace tutti
