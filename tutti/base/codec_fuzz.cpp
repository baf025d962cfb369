// codec_fuzz: bytes of any origin must decode or be refused, and what decodes must encode to itself.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <tutti/base/codec.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/json.hpp>
#include <vector>

namespace {

struct tree {
  std::int16_t value = 0;
  std::vector<tree> children;
};
struct chain {
  std::unique_ptr<chain> next;
};
struct mixed {
  bool flag = false;
  std::string text;
  std::vector<std::optional<double>> numbers;
  std::map<std::string, std::set<int>> map;
  std::variant<std::monostate, int, std::string, std::vector<bool>> choice;
  std::filesystem::path path;
  std::chrono::nanoseconds span{};
  std::array<std::u16string, 2> wide;
};
using arguments = std::tuple<std::string, std::vector<std::uint32_t>, std::vector<std::string>, mixed>;

template <class T>
void binary(std::string_view bytes) {
  try {
    const std::string once = tutti::encode(tutti::decode<T>(bytes));
    if (tutti::encode(tutti::decode<T>(once)) != once) std::abort();
  } catch (const tutti::decode_error& e) {
    if (e.offset() > bytes.size()) std::abort();
  }
}

template <class T>
void json(std::string_view text) {
  try {
    const std::string once = tutti::encode_json(tutti::decode_json<T>(text));
    if (tutti::encode_json(tutti::decode_json<T>(once)) != once) std::abort();
  } catch (const tutti::decode_error& e) {
    if (e.offset() > text.size()) std::abort();
  }
}

void exception(std::string_view bytes) {
  try {
    const auto failure = tutti::decode_exception(bytes);
    if (!tutti::decode_exception(tutti::encode_exception(failure))) std::abort();
  } catch (const tutti::decode_error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0: binary<tree>(bytes); break;
    case 1: binary<chain>(bytes); break;
    case 2: binary<mixed>(bytes); break;
    case 3: binary<arguments>(bytes); break;
    case 4: binary<std::vector<std::monostate>>(bytes); break;
    case 5: json<mixed>(bytes); break;
    case 6: json<tree>(bytes); break;
    default: exception(bytes);
  }
  return 0;
}
