#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <array>
#include <bit>
#include <boost/describe/class.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <list>
#include <map>
#include <random>
#include <set>
#include <tutti/base/json.hpp>
#include <vector>

namespace json_test {

enum class color { red, blue };
struct plain {
  int number = 0;
  std::string text;
  std::optional<double> maybe;
  friend bool operator==(const plain&, const plain&) = default;
};
struct described {
  int number = 0;
  std::string text;
  std::optional<double> maybe;
  std::vector<plain> list;
  friend bool operator==(const described&, const described&) = default;
};
BOOST_DESCRIBE_STRUCT(described, (), (number, text, maybe, list))
struct more : described {
  bool extra = false;
};
BOOST_DESCRIBE_STRUCT(more, (described), (extra))
struct own {
  int a = 0;
  int b = 0;
  template <class Archive>
  void serialize(Archive& ar) {
    ar(b, a);
  }
};
struct number_text {  // a JSON number as its digits
  std::string digits = "0";
  [[nodiscard]] std::string to_json() const { return digits; }
  static number_text from_json(std::string text) { return {std::move(text)}; }
  friend bool operator==(const number_text&, const number_text&) = default;
};
struct tree {
  std::vector<tree> children;
};

}  // namespace json_test

namespace {

using namespace json_test;
using testing::HasSubstr;
using tutti::decode_json;
using tutti::encode_json;

template <class T>
void expect_json(const T& value, const std::string& text) {
  EXPECT_EQ(encode_json(value), text);
  EXPECT_EQ(decode_json<T>(text), value);
}

template <class T>
std::string refused(const std::string& text) {
  try {
    (void)decode_json<T>(text);
  } catch (const tutti::decode_error& e) {
    return e.what();
  }
  ADD_FAILURE() << "read " << text;
  return "";
}

TEST(json, simple_values) {
  expect_json(true, "true");
  expect_json(-7, "-7");
  expect_json(~std::uint64_t{0}, "18446744073709551615");
  expect_json(std::string("a\"b\n\xc3\xa4"), "\"a\\\"b\\n\xc3\xa4\"");
  expect_json(std::filesystem::path("/tmp/x"), "\"/tmp/x\"");
  expect_json(color::blue, "1");
  expect_json(std::monostate(), "null");
  expect_json(std::chrono::milliseconds(1500), "1500");
  expect_json(std::optional<int>(), "null");
  expect_json(std::optional<int>(3), "3");
  EXPECT_EQ(decode_json<double>(encode_json(0.1)), 0.1);
  EXPECT_EQ(decode_json<double>("2"), 2.0);
  EXPECT_EQ(decode_json<int>("3.0"), 3);
}

TEST(json, real_numbers_are_exact) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    double number = 0;
    do {
      number = std::bit_cast<double>(random());
    } while (!std::isfinite(number));
    EXPECT_EQ(decode_json<double>(encode_json(number)), number);
    const double plain = static_cast<double>(random() >> 11U) / 1000.0;
    EXPECT_EQ(decode_json<double>(encode_json(plain)), plain);
    std::array<char, 64> digits{};
    std::snprintf(digits.data(), digits.size(), "%.17g", number);  // as other writers do
    EXPECT_EQ(decode_json<double>(digits.data()), number);
  }
  EXPECT_EQ(decode_json<double>("0.1000000000000000055511151231257827021181583404541015625"), 0.1);
  EXPECT_EQ(decode_json<double>("123456789012345678901234567890"), 123456789012345678901234567890.0);
  EXPECT_EQ(decode_json<double>("-1e-400"), 0.0);
  EXPECT_TRUE(std::signbit(decode_json<double>("-1e-400")));
  EXPECT_EQ(decode_json<std::vector<double>>("[1.5,2.5e3 ,-0.25]"), (std::vector<double>{1.5, 2500, -0.25}));
  EXPECT_THAT(refused<double>("1e400"), HasSubstr("byte"));
  EXPECT_THAT(refused<double>("-1e400"), HasSubstr("byte"));
}

TEST(json, real_numbers_look_like_real_numbers) {
  EXPECT_EQ(encode_json(1.0), "1.0");
  EXPECT_EQ(encode_json(-0.0), "-0.0");
  EXPECT_EQ(encode_json(0.1), "0.1");
  EXPECT_EQ(encode_json(1234.5), "1234.5");
  EXPECT_EQ(encode_json(1e100), "1e+100");
  EXPECT_EQ(encode_json(0.1F), "0.10000000149011612");
}

TEST(json, containers) {
  expect_json(std::vector<int>{1, 2}, "[1,2]");
  expect_json(std::vector<bool>{true, false}, "[true,false]");
  expect_json(std::vector<int>{}, "[]");
  expect_json(std::list<std::vector<int>>{{1}, {}}, "[[1],[]]");
  expect_json(std::set<int>{1, 2}, "[1,2]");
  expect_json(std::map<std::string, int>{{"a", 1}, {"b c", 2}}, R"({"a":1,"b c":2})");
  expect_json(std::map<int, std::string>{{1, "x"}}, R"([[1,"x"]])");
  expect_json(std::tuple<int, std::string>(1, "x"), R"([1,"x"])");
  expect_json(std::array<int, 2>{1, 2}, "[1,2]");
  expect_json(std::variant<int, std::string>("x"), R"([1,"x"])");
  expect_json(std::u16string(u"ab"), "[97,98]");
  EXPECT_EQ(*decode_json<std::unique_ptr<int>>("4"), 4);
  EXPECT_EQ(encode_json(std::unique_ptr<int>()), "null");
}

TEST(json, aggregates_by_position_or_by_name) {
  expect_json(plain{1, "x", 0.5}, R"([1,"x",0.5])");
  expect_json(described{1, "x", {}, {{2, "y", {}}}}, R"({"number":1,"text":"x","maybe":null,"list":[[2,"y",null]]})");
  const auto sparse = decode_json<described>(R"({"list":[],"unknown":[1,{}],"text":"x","number":3})");
  EXPECT_EQ(sparse, (described{3, "x", {}, {}}));
  more m;
  m.number = 4;
  m.extra = true;
  EXPECT_EQ(encode_json(m), R"({"number":4,"text":"","maybe":null,"list":[],"extra":true})");
  EXPECT_TRUE(decode_json<more>(encode_json(m)).extra);
}

TEST(json, a_types_own_serialize_wins) {
  EXPECT_EQ(encode_json(own{1, 2}), "[2,1]");
  EXPECT_EQ(decode_json<own>("[2,1]").a, 1);
  EXPECT_THAT(refused<own>("[2]"), HasSubstr("too short"));
  EXPECT_THAT(refused<own>("[2,1,0]"), HasSubstr("array of 2"));
}

TEST(json, a_type_may_be_json_itself) {
  using list = std::vector<std::optional<number_text>>;
  EXPECT_EQ(encode_json(list{number_text{"1.50"}, std::nullopt}), "[1.50,null]");
  EXPECT_EQ(decode_json<list>("[ 7, null]"), (list{number_text{"7"}, std::nullopt}));
  EXPECT_EQ(
      decode_json<number_text>(R"({"a": [true, null, -3, 18446744073709551615, 0.1, "\u00e9\n"], "b": {}})").digits,
      R"({"a":[true,null,-3,18446744073709551615,0.1,"é\n"],"b":{}})");
  EXPECT_THROW((void)encode_json(number_text{"1 2"}), tutti::encode_error);
  EXPECT_THROW((void)encode_json(number_text{""}), tutti::encode_error);
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(encode_json(std::array{number_text{nested(63)}}), nested(64));
  EXPECT_THROW((void)encode_json(std::array{number_text{nested(64)}}), tutti::encode_error);
}

TEST(json, errors_say_where) {
  EXPECT_THAT(refused<std::vector<described>>(R"([{"number":1,"text":"","list":[]},{"number":"1"}])"),
              testing::AllOf(HasSubstr("$[1].number"), HasSubstr("\"1\"")));
  EXPECT_THAT(refused<described>(R"({"number":1})"), HasSubstr("\"text\""));
  EXPECT_THAT(refused<std::int8_t>("300"), HasSubstr("from -128 to 127"));
  EXPECT_THAT(refused<unsigned>("-1"), HasSubstr("from 0"));
  EXPECT_THAT(refused<int>("1.5"), HasSubstr("1.5"));
  EXPECT_THAT(refused<bool>("1"), HasSubstr("true or false"));
  EXPECT_THAT((refused<std::variant<int, bool>>("[2,0]")), HasSubstr("from 0 to 1"));
  EXPECT_THAT((refused<std::pair<int, int>>("[1]")), HasSubstr("too short"));
  EXPECT_THAT((refused<std::map<std::string, int>>("[]")), HasSubstr("object"));
  EXPECT_THAT(refused<int>("[1"), HasSubstr("byte 2"));
  EXPECT_THAT(refused<int>("1 2"), HasSubstr("byte 2"));
  EXPECT_THAT(refused<int>(""), HasSubstr("byte 0"));
  EXPECT_THAT(refused<std::string>("\"\xff\""), HasSubstr("byte"));
}

TEST(json, what_json_cannot_say) {
  EXPECT_THROW((void)encode_json(std::nan("")), tutti::encode_error);
  EXPECT_THROW((void)encode_json(HUGE_VAL), tutti::encode_error);
  EXPECT_THROW((void)encode_json(std::string("\xff")), tutti::encode_error);
  EXPECT_THROW((void)(encode_json(std::map<std::string, int>{{"\xc3", 1}})), tutti::encode_error);
}

TEST(json, deep_nesting) {
  EXPECT_THROW((void)decode_json<tree>(std::string(100'000, '[')), tutti::decode_error);
  tree deep;
  for (int i = 0; i < 100; ++i) {
    tree outer;
    outer.children.push_back(std::move(deep));
    deep = std::move(outer);
  }
  EXPECT_THROW((void)encode_json(deep), tutti::encode_error);
}

TEST(json, the_concept_knows) {
  static_assert(tutti::json_encodable<described> && tutti::json_encodable<more> && tutti::json_encodable<tree>);
  static_assert(!tutti::json_encodable<int*> && !tutti::json_encodable<std::string_view>);
}

}  // namespace
