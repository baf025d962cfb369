#include <gtest/gtest.h>
#include <cereal/cereal.hpp>
#include <cereal/types/bitset.hpp>
#include <cereal/types/complex.hpp>
#include <cereal/types/queue.hpp>
#include <cmath>
#include <deque>
#include <filesystem>
#include <limits>
#include <list>
#include <map>
#include <set>
#include <tutti/base/codec.hpp>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace codec_test {

// Its load counts on being new.
struct appends_when_loaded {
  std::vector<int> all;
  template <class Archive>
  void save(Archive& ar) const {
    ar(all);
  }
  template <class Archive>
  void load(Archive& ar) {
    std::vector<int> more;
    ar(more);
    all.insert(all.end(), more.begin(), more.end());
  }
  friend bool operator==(const appends_when_loaded&, const appends_when_loaded&) = default;
};

enum class color : std::uint8_t { red = 1, blue = 200 };

struct nothing {
  friend bool operator==(const nothing&, const nothing&) = default;
};

struct point {
  int x = 0;
  double y = 0;
  friend bool operator==(const point&, const point&) = default;
};

struct record {
  std::string name;
  std::vector<point> points;
  std::optional<color> shade;
  std::map<std::string, std::vector<int>> index;
  nothing empty;
  bool flag = false;
  friend bool operator==(const record&, const record&) = default;
};

struct tree {
  int value = 0;
  std::vector<tree> children;
  friend bool operator==(const tree&, const tree&) = default;
};

// Fields that Boost.PFR's own count cannot take on g++ 12.
struct awkward {
  std::array<std::string, 2> texts;
  std::optional<std::optional<int>> maybe;
  std::variant<std::string, int> choice;
  std::vector<std::vector<bool>> bits;
  std::array<std::array<std::vector<int>, 2>, 2> lists;
  std::tuple<std::string, int> pair;
  friend bool operator==(const awkward&, const awkward&) = default;
};
struct one_array {
  std::array<std::string, 3> texts;
  friend bool operator==(const one_array&, const one_array&) = default;
};

struct list_node {
  int value = 0;
  std::unique_ptr<list_node> next;
};

// An aggregate whose own serialize writes less than its fields: the own one must win.
struct half {
  int kept = 0;
  int dropped = 0;
  template <class Archive>
  void serialize(Archive& ar) {
    ar(kept);
  }
};

class secretive {
 public:
  secretive() = default;
  explicit secretive(int value) : value_(value) {}
  int value() const { return value_; }

 private:
  friend class cereal::access;
  template <class Archive>
  void serialize(Archive& ar) {
    ar(cereal::make_nvp("value", value_));
  }
  int value_ = 0;
};

struct split {
  std::string text;
  template <class Archive>
  void save(Archive& ar) const {
    ar(text.size(), cereal::binary_data(text.data(), text.size()));
  }
  template <class Archive>
  void load(Archive& ar) {
    std::size_t size = 0;
    ar(size);
    if (size > 100) throw std::invalid_argument("split: too long");
    text.resize(size);
    ar(cereal::binary_data(text.data(), size));
  }
};

struct outside {
  int a = 0;
};
template <class Archive>
void serialize(Archive& ar, outside& o) {
  ar & o.a;
}

struct base {
  int b = 0;
  template <class Archive>
  void serialize(Archive& ar) {
    ar(b);
  }
};
struct derived : base {
  int d = 0;
  template <class Archive>
  void serialize(Archive& ar) {
    ar(cereal::base_class<base>(this), d);
  }
};

struct with_base_only : point {
  int z = 0;
};
struct no_default {
  explicit no_default(int v) : value(v) {}
  int value;
};
struct with_pointer {
  int* p = nullptr;
};

}  // namespace codec_test

namespace {

using namespace codec_test;
using tutti::decode;
using tutti::encodable;
using tutti::encode;

template <class T>
void expect_same(const T& value) {
  const std::string bytes = encode(value);
  EXPECT_EQ(decode<T>(bytes), value);
  EXPECT_EQ(encode(decode<T>(bytes)), bytes);
}

TEST(codec, numbers) {
  expect_same(true);
  expect_same('x');
  expect_same(std::numeric_limits<std::int64_t>::min());
  expect_same(std::numeric_limits<std::uint64_t>::max());
  expect_same(-0.0);
  expect_same(1.5f);
  expect_same(color::blue);
  expect_same(std::byte{7});
  EXPECT_TRUE(std::isnan(decode<double>(encode(std::nan("")))));
}

TEST(codec, the_format_is_stable) {
  using namespace std::string_literals;
  EXPECT_EQ(encode(std::int32_t{0x01020304}), "\x04\x03\x02\x01"s);
  EXPECT_EQ(encode(true), "\1"s);
  EXPECT_EQ(encode("abc"s), "\3abc"s);
  EXPECT_EQ(encode(std::string(300, 'x')).substr(0, 2), "\xac\x02"s);
  EXPECT_EQ(encode(std::vector<std::uint16_t>{1, 2}), "\2\1\0\2\0"s);
  EXPECT_EQ(encode(std::optional<bool>()), "\0"s);
  EXPECT_EQ(encode(std::variant<int, bool>(true)), "\1\1"s);
  EXPECT_EQ(encode(std::monostate()), "\0"s);
  EXPECT_EQ(encode(std::tuple()), "\0"s);
  EXPECT_EQ(encode(point{1, 0}), "\1\0\0\0\0\0\0\0\0\0\0\0"s);
  EXPECT_EQ(encode(std::map<std::string, bool>{{"a", true}}), "\1\1a\1"s);
}

TEST(codec, standard_types) {
  using namespace std::chrono_literals;
  expect_same(std::string("zero\0inside", 11));
  expect_same(std::u16string(u"wide"));
  expect_same(std::filesystem::path("/tmp/some file"));
  expect_same(std::chrono::nanoseconds(-5));
  expect_same(std::chrono::duration<double>(0.25));
  expect_same(std::chrono::system_clock::time_point(12345s));
  expect_same(std::vector<bool>{true, false, true});
  expect_same(std::vector<std::byte>(1000, std::byte{9}));
  expect_same(std::vector<std::string>{"", "a", "bc"});
  expect_same(std::deque<int>{1, 2, 3});
  expect_same(std::list<std::string>{"x"});
  expect_same(std::array<std::string, 2>{"a", "b"});
  expect_same(std::array<int, 0>{});
  expect_same(std::pair<int, std::string>(1, "x"));
  expect_same(std::tuple<int, bool, std::string>(1, true, "x"));
  expect_same(std::set<int>{3, 1, 2});
  expect_same(std::multiset<int>{1, 1});
  expect_same(std::map<int, std::string>{{1, "a"}, {2, "b"}});
  expect_same(std::multimap<int, int>{{1, 2}, {1, 3}});
  EXPECT_EQ((decode<std::unordered_map<int, int>>(encode(std::unordered_map<int, int>{{1, 2}, {3, 4}})).at(3)), 4);
  EXPECT_EQ(decode<std::unordered_set<std::string>>(encode(std::unordered_set<std::string>{"q"})).count("q"), 1u);
  expect_same(std::optional<std::string>("x"));
  expect_same(std::optional<std::optional<int>>(std::optional<int>()));
  expect_same(std::variant<std::monostate, int, std::string>("x"));
  expect_same(std::variant<std::monostate, int, std::string>());
}

TEST(codec, elements_that_are_empty_still_count) {
  expect_same(std::vector<nothing>(1000));
  expect_same(std::vector<std::monostate>(3));
  expect_same(std::vector<std::tuple<>>(3));
  expect_same(std::vector<std::array<int, 0>>(3));
}

TEST(codec, aggregates) {
  expect_same(point{1, 2.5});
  expect_same(record{"r", {{1, 2}, {3, 4}}, color::red, {{"k", {1, 2}}}, {}, true});
  expect_same(awkward{{"a", "b"}, std::optional<int>(3), 7, {{true}}, {}, {"x", 1}});
  expect_same(one_array{{"a", "b", "c"}});
  expect_same(tree{1, {{2, {}}, {3, {{4, {}}}}}});
}

TEST(codec, unique_pointers) {
  list_node list{1, std::make_unique<list_node>(list_node{2, nullptr})};
  const auto back = decode<list_node>(encode(list));
  EXPECT_EQ(back.value, 1);
  ASSERT_TRUE(back.next);
  EXPECT_EQ(back.next->value, 2);
  EXPECT_FALSE(back.next->next);
}

TEST(codec, a_types_own_serialize_wins) {
  const half back = decode<half>(encode(half{1, 2}));
  EXPECT_EQ(back.kept, 1);
  EXPECT_EQ(back.dropped, 0);
  EXPECT_EQ(decode<secretive>(encode(secretive(5))).value(), 5);
  EXPECT_EQ(decode<split>(encode(split{"hello"})).text, "hello");
  EXPECT_EQ(decode<outside>(encode(outside{4})).a, 4);
  derived d;
  d.b = 1;
  d.d = 2;
  const derived d2 = decode<derived>(encode(d));
  EXPECT_EQ(d2.b, 1);
  EXPECT_EQ(d2.d, 2);
}

TEST(codec, what_a_types_own_load_throws_is_a_decode_error) {
  try {
    (void)decode<split>(encode(split{std::string(101, 'x')}));
    FAIL() << "decoded";
  } catch (const tutti::decode_error& e) {
    EXPECT_NE(std::string(e.what()).find("split: too long"), std::string::npos);
    EXPECT_EQ(e.offset(), 8u);
  }
}

TEST(codec, cereals_types_with_its_headers) {
  expect_same(std::complex<double>(1, 2));
  expect_same(std::bitset<70>("101"));
  std::queue<int> queue;
  queue.push(3);
  EXPECT_EQ(decode<std::queue<int>>(encode(queue)).front(), 3);
}

TEST(codec, the_concept_knows) {
  static_assert(encodable<int> && encodable<record> && encodable<tree> && encodable<list_node> && encodable<derived>);
  static_assert(!encodable<int*> && !encodable<const int> && !encodable<int&> && !encodable<long double>);
  static_assert(!encodable<std::string_view> && !encodable<std::shared_ptr<int>> && !encodable<void (*)()>);
  static_assert(!encodable<with_base_only> && !encodable<no_default> && !encodable<with_pointer>);
  static_assert(!encodable<std::vector<with_pointer>> && !encodable<std::map<int, std::optional<int*>>>);
  static_assert(!encodable<std::tuple<int, no_default>> && !encodable<std::variant<int, int*>>);
}

TEST(codec, appends) {
  std::string out = "before";
  encode(out, 7);
  EXPECT_EQ(out.substr(0, 6), "before");
  EXPECT_EQ(decode<int>(std::string_view(out).substr(6)), 7);
}

TEST(codec, reads_into_memory_that_is_there) {
  using rows = std::vector<std::vector<std::string>>;
  const rows first{{std::string(100, 'a'), std::string(200, 'b')}, {std::string(300, 'c')}};
  rows value = first;
  const std::string* const row = value[1].data();
  const rows second{{"x", std::string(150, 'y'), "z"}, {}};
  tutti::decode_into(encode(second), value);
  EXPECT_EQ(value, second);
  EXPECT_EQ(value[1].data(), row);
  tutti::decode_into(encode(first), value);
  EXPECT_EQ(value, first);
  tutti::decode_into(encode(rows{{"", "short"}}), value);
  EXPECT_EQ(value, (rows{{"", "short"}}));
  value = first;
  const char* const kept = value[0][1].data();
  tutti::decode_into(encode(rows{{"q", std::string(199, 'r')}}), value);
  EXPECT_EQ(value[0][1].data(), kept);
}

TEST(codec, nothing_of_the_old_value_stays) {
  const auto replaced = []<class T>(T old, const T& by) {
    tutti::decode_into(encode(by), old);
    EXPECT_EQ(old, by);
  };
  replaced(std::list<std::string>{"a", "b", "c"}, {"d"});
  replaced(std::deque<std::string>{"a"}, {"d", "e"});
  replaced(std::vector<std::set<int>>{{1, 2}, {3}}, {{4}, {}});
  replaced(std::vector<std::optional<int>>{1, 2}, {std::nullopt, 5});
  replaced(std::map<int, std::vector<int>>{{1, {1, 2}}, {2, {}}}, {{1, {3}}});
  replaced(std::vector<std::deque<std::vector<int>>>{{{1, 2, 3}, {4}}}, {{{5}}, {}});
  replaced(std::vector<point>{{1, 2}, {3, 4}}, {{5, 6}});
  replaced(std::optional<std::vector<int>>{{1, 2}}, std::optional<std::vector<int>>());
  replaced(std::u16string(u"abc"), std::u16string(u"d"));
  replaced(appends_when_loaded{{1, 2}}, appends_when_loaded{{3}});
  replaced(std::tuple(appends_when_loaded{{1, 2}}, 5), std::tuple(appends_when_loaded{{3}}, 6));
  std::vector<std::string> cut{"old"};
  EXPECT_THROW(tutti::decode_into(encode(std::vector<std::string>{"abc", "def"}).substr(0, 6), cut),
               tutti::decode_error);
}

}  // namespace
