#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/base/error.hpp>
#include <tutti/cluster/json_parts.hpp>

namespace {

using namespace tutti::cluster;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string refused(std::string_view text) {
  try {
    (void)array_parts(text);
  } catch (const tutti::decode_error& e) {
    EXPECT_LE(e.offset(), text.size());
    return e.what();
  }
  ADD_FAILURE() << "read " << text;
  return "";
}

TEST(json_parts, elements_pass_unchanged) {
  EXPECT_THAT(array_parts("[]"), ElementsAre());
  EXPECT_THAT(array_parts(" [ ] "), ElementsAre());
  EXPECT_THAT(array_parts("[1,2]"), ElementsAre("1", "2"));
  EXPECT_THAT(array_parts("\t[ 1 , \"a,]\\\"\" ,\n{\"b\": [1, {}]} ,[[ ]], null ]\r\n"),
              ElementsAre("1", R"("a,]\"")", R"({"b": [1, {}]})", "[[ ]]", "null"));
  EXPECT_THAT(array_parts(R"(["\\","\\\"","\\\\",true])"), ElementsAre(R"("\\")", R"("\\\"")", R"("\\\\")", "true"));
}

TEST(json_parts, numbers_keep_their_digits) {
  EXPECT_THAT(array_parts("[123456789012345678901234567890,-0,1.10,0.1000000000000000055511151231257827,1E5,1e+400]"),
              ElementsAre("123456789012345678901234567890", "-0", "1.10", "0.1000000000000000055511151231257827", "1E5",
                          "1e+400"));
}

TEST(json_parts, members_in_order_and_the_last_of_equal_names) {
  EXPECT_THAT(object_parts("{}"), ElementsAre());
  EXPECT_THAT(object_parts(R"( { "b" : 1 , "a" : {"x":[1]} } )"),
              ElementsAre(Pair("b", "1"), Pair("a", R"({"x":[1]})")));
  EXPECT_THAT(object_parts(R"({"a":1,"b":2,"\u0061":3})"), ElementsAre(Pair("a", "3"), Pair("b", "2")));
  EXPECT_THAT(object_parts(R"({"q\"\\":1,"":2})"), ElementsAre(Pair("q\"\\", "1"), Pair("", "2")));
}

TEST(json_parts, what_is_no_json_is_refused_with_the_place) {
  EXPECT_THAT(refused(""), HasSubstr("byte 0"));
  EXPECT_THAT(refused("[1"), HasSubstr("byte 2"));
  EXPECT_THAT(refused("[1] 2"), HasSubstr("byte 4"));
  EXPECT_THAT(refused("[1,]"), HasSubstr("byte 3"));
  EXPECT_THAT(refused("{}"), HasSubstr("wanted a JSON array, found {}"));
  EXPECT_THAT(refused("[\"\xff\"]"), HasSubstr("byte"));
  EXPECT_THAT(refused("[\"\xed\xa0\x80\"]"), HasSubstr("byte"));  // half of a surrogate pair, in UTF-8
  EXPECT_THAT(refused(R"(["\ud800"])"), HasSubstr("byte"));
  EXPECT_THAT(refused("[1, NaN]"), HasSubstr("NaN is no number of JSON"));
  EXPECT_THAT(refused("[Infinity]"), HasSubstr("Infinity is no number of JSON"));
  EXPECT_THAT(refused(R"({"a": -Infinity})"), HasSubstr("-Infinity is no number of JSON"));
  EXPECT_THROW((void)object_parts("[]"), tutti::decode_error);
}

TEST(json_parts, nesting_has_a_limit) {
  const std::string deep = std::string(128, '[') + std::string(128, ']');
  EXPECT_THAT(array_parts(deep), ElementsAre(deep.substr(1, deep.size() - 2)));
  EXPECT_THAT(refused("[" + deep + "]"), HasSubstr("deeper than 128 levels"));
  EXPECT_THAT(refused(std::string(1'000'000, '[')), HasSubstr("deeper than 128 levels"));
}

TEST(json_parts, joined_again) {
  EXPECT_EQ(join_array({}), "[]");
  EXPECT_EQ(join_array({"1", "[2]"}), "[1,[2]]");
  EXPECT_EQ(join_object({}), "{}");
  EXPECT_EQ(join_object({{"a", "1"}, {"b\"", "null"}}), R"({"a":1,"b\"":null})");
}

TEST(json_parts, strings_there_and_back) {
  EXPECT_EQ(json_string("plain"), "\"plain\"");
  EXPECT_EQ(json_string("a\"b\\c\n\t\x01\x7f"), "\"a\\\"b\\\\c\\n\\u0009\\u0001\x7f\"");
  EXPECT_EQ(json_string("\xc3\xa4\xf0\x9f\x8e\xb5"), "\"\xc3\xa4\xf0\x9f\x8e\xb5\"");
  EXPECT_EQ(json_string("\xff\"x\xc3"), "\"\xef\xbf\xbd\\\"x\xef\xbf\xbd\"");
  EXPECT_EQ(json_string("\xc3\""), "\"\xef\xbf\xbd\\\"\"");
  const std::string all_ascii = [] {
    std::string text;
    for (char c = 0; c < 0x7f; ++c) text += c;
    return text;
  }();
  EXPECT_EQ(string_in(json_string(all_ascii)), all_ascii);
  EXPECT_EQ(string_in(R"( "\u00e4\ud83c\udfb5\/" )"), "\xc3\xa4\xf0\x9f\x8e\xb5/");
  EXPECT_EQ(string_in("1"), std::nullopt);
  EXPECT_EQ(string_in("\"a"), std::nullopt);
  EXPECT_EQ(string_in(""), std::nullopt);
}

TEST(json_parts, as_python_prints_it) {
  EXPECT_EQ(python_repr(R"([1,"a",null,true,false,1.50,{"k":[],"l":{"m":-1}}])"),
            "[1, 'a', None, True, False, 1.50, {'k': [], 'l': {'m': -1}}]");
  EXPECT_EQ(python_repr(R"("it's")"), R"("it's")");
  EXPECT_EQ(python_repr(R"("it's \"so\"")"), R"('it\'s "so"')");
  EXPECT_EQ(python_repr(R"("\n\r\t\\\u0001ä")"), R"('\n\r\t\\\x01ä')");
  EXPECT_EQ(python_repr("{}"), "{}");
}

TEST(json_parts, what_is_printed_has_a_limit) {
  EXPECT_EQ(python_repr("[1,2,3]", 4), "[1, ...");
  EXPECT_EQ(python_repr("\"" + std::string(1'000'000, 'x') + "\"", 5), "'xxxx...");
  EXPECT_EQ(python_repr("[" + std::string(1'000'000, '1') + "]", 5), "[1111...");
  EXPECT_EQ(python_repr("\"\xc3\xa4\xc3\xa4\"", 2), "'...");
  EXPECT_EQ(python_repr("\"\\u00e4" + std::string(100, 'x') + "\"", 4), "'\xc3\xa4x...");
  EXPECT_EQ(python_repr("[1,", 100), "[1...");
}

}  // namespace
