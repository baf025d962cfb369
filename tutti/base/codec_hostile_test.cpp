#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <filesystem>
#include <map>
#include <random>
#include <tutti/base/codec.hpp>
#include <vector>

namespace codec_hostile_test {

struct wide {
  std::array<std::uint64_t, 128> words{};  // 1 KiB
};
struct tree {
  std::vector<tree> children;
};
struct chain {
  std::unique_ptr<chain> next;
};
struct mixed {
  bool flag = false;
  std::string text;
  std::vector<std::string> list;
  std::map<int, std::optional<double>> map;
  std::variant<int, std::string, std::filesystem::path> choice;
};

std::size_t allocated = 0;  // bytes, in all

template <class T>
struct counting_allocator {
  using value_type = T;
  counting_allocator() = default;
  template <class U>
  explicit(false) counting_allocator(const counting_allocator<U>&) {}
  T* allocate(std::size_t n) {
    allocated += n * sizeof(T);
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) { std::allocator<T>().deallocate(p, n); }
  friend bool operator==(const counting_allocator&, const counting_allocator&) { return true; }
};
template <class T>
using counted = std::vector<T, counting_allocator<T>>;

}  // namespace codec_hostile_test

namespace {

using namespace codec_hostile_test;
using namespace std::string_literals;
using testing::HasSubstr;
using tutti::decode;
using tutti::decode_error;
using tutti::encode;

template <class T>
decode_error refused(const std::string& bytes) {
  try {
    (void)decode<T>(bytes);
  } catch (const decode_error& e) {
    return e;
  }
  ADD_FAILURE() << "decoded";
  return decode_error("");
}

std::string size_of(std::uint64_t n) {
  std::string bytes;
  for (; n >= 0x80; n >>= 7) bytes += static_cast<char>(static_cast<unsigned char>(n | 0x80));
  return bytes + static_cast<char>(n);
}

TEST(codec_hostile, false_sizes_are_refused_before_any_allocation) {
  for (const std::uint64_t size :
       {std::uint64_t{4}, std::uint64_t{1} << 31, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    const std::string bytes = size_of(size) + "abc";
    allocated = 0;
    EXPECT_THROW((void)decode<counted<char>>(bytes), decode_error);
    EXPECT_THROW((void)decode<counted<std::string>>(bytes), decode_error);
    EXPECT_THROW((void)decode<counted<wide>>(bytes), decode_error);
    EXPECT_THROW((void)decode<counted<std::monostate>>(bytes), decode_error);
    EXPECT_EQ(allocated, 0u);
    EXPECT_THROW((void)decode<std::string>(bytes), decode_error);
    EXPECT_THROW((void)decode<std::vector<std::monostate>>(bytes), decode_error);
    EXPECT_THROW((void)(decode<std::map<int, int>>(bytes)), decode_error);
  }
  EXPECT_THROW((void)decode<counted<std::uint64_t>>(size_of(3) + "abcdefgh"), decode_error);
  EXPECT_EQ(allocated, 0u);
}

TEST(codec_hostile, a_size_that_only_fits_as_bytes_costs_no_more_than_the_input) {
  const std::string bytes = size_of(100'000) + std::string(100'000, 'x');
  allocated = 0;
  EXPECT_THROW((void)decode<counted<wide>>(bytes), decode_error);
  EXPECT_LE(allocated, 4 * bytes.size());
}

TEST(codec_hostile, errors_say_where) {
  EXPECT_EQ(refused<int>("abc").offset(), 0u);
  const auto cut = refused<std::tuple<int, std::string>>(encode(1) + size_of(9) + "abc");
  EXPECT_EQ(cut.offset(), 4u);
  EXPECT_THAT(cut.what(), testing::AllOf(HasSubstr("size of 9"), HasSubstr("3 bytes left"), HasSubstr("at byte 4")));
  const auto rest = refused<int>(encode(1) + "xy");
  EXPECT_EQ(rest.offset(), 4u);
  EXPECT_THAT(rest.what(), HasSubstr("2 bytes too many"));
}

TEST(codec_hostile, values_that_are_none) {
  EXPECT_THAT(refused<bool>("\2").what(), HasSubstr("bool"));
  EXPECT_THAT(refused<std::vector<bool>>("\1\xff").what(), HasSubstr("bool"));
  EXPECT_THAT(refused<std::optional<int>>("\5").what(), HasSubstr("bool"));
  EXPECT_THAT((refused<std::variant<bool, bool>>("\2\0\0"s).what()), HasSubstr("alternative 2"));
  EXPECT_THAT(refused<std::monostate>("\1").what(), HasSubstr("empty value"));
  EXPECT_THAT(refused<std::string>(std::string(10, '\xff') + "\1").what(), HasSubstr("64 bits"));
  EXPECT_THROW((void)decode<int>(""), decode_error);
}

TEST(codec_hostile, deep_nesting) {
  // Each tree is a level, and so is its list of children.
  EXPECT_NO_THROW((void)decode<tree>(std::string(31, '\1') + '\0'));
  EXPECT_THAT(refused<tree>(std::string(100, '\1') + '\0').what(), HasSubstr("64 levels"));
  EXPECT_THROW((void)decode<tree>(std::string(1'000'000, '\1')), decode_error);
  EXPECT_THROW((void)decode<chain>(std::string(1'000'000, '\1')), decode_error);
  chain deep;
  for (int i = 0; i < 100; ++i) {
    chain outer;
    outer.next = std::make_unique<chain>(std::move(deep));
    deep = std::move(outer);
  }
  std::string out = "kept";
  EXPECT_THROW(encode(out, deep), tutti::encode_error);
  EXPECT_EQ(out, "kept");
}

TEST(codec_hostile, every_truncation_is_refused) {
  const mixed value{true, "text", {"a", "bc"}, {{1, 2.5}, {2, {}}}, std::filesystem::path("/x")};
  const std::string bytes = encode(value);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_THROW((void)decode<mixed>(bytes.substr(0, n)), decode_error) << n;
  }
}

TEST(codec_hostile, random_bytes_decode_or_are_refused) {
  const std::uint64_t seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  int decoded = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % (round % 2 == 0 ? 256 : 4));
    try {
      const mixed value = decode<mixed>(bytes);
      EXPECT_EQ(encode(decode<mixed>(encode(value))), encode(value)) << "seed " << seed;
      ++decoded;
    } catch (const decode_error& e) {
      EXPECT_LE(e.offset(), bytes.size()) << "seed " << seed;
    }
  }
  SUCCEED() << decoded;
}

}  // namespace
