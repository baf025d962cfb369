#include <gtest/gtest.h>
#include <tutti/io/http/fields.hpp>

#include <stdexcept>
#include <string>

namespace {

using tutti::io::http::fields;

TEST(http_fields, keep_their_order_and_know_no_case) {
  fields f{{"Accept", "a"}, {"X-Y", "1"}};
  f.add("accept", "b");
  EXPECT_EQ(f.get("ACCEPT"), "a");
  EXPECT_EQ(f.get("Nothing"), std::nullopt);
  EXPECT_EQ(f.get("Nothing", "x"), "x");
  std::string all;
  for (const auto [name, value] : f) all.append(name).append("=").append(value).append(" ");
  EXPECT_EQ(all, "Accept=a X-Y=1 accept=b ");
  f.set("X-y", f.get("accept").value());
  f.set("aCCept", "c");
  EXPECT_EQ(f.size(), 2U);
  EXPECT_EQ(f.get("x-y"), "a");
  EXPECT_EQ(f.get("accept"), "c");
  EXPECT_EQ(f.erase("ACCEPT"), 1U);
  EXPECT_EQ(f.erase("ACCEPT"), 0U);
  EXPECT_FALSE(f.contains("accept"));
}

TEST(http_fields, may_be_given_their_own_texts) {
  fields f{{"A", std::string(40, 'a')}};
  for (int i = 0; i < 20; ++i) {
    f.add(f[0].name, *f.get("A"));
    f.set("Last", f[f.size() - 1].value);
    EXPECT_EQ(f[f.size() - 1].value, std::string(40, 'a'));
    EXPECT_EQ(f[f.size() - 2].value, std::string(40, 'a'));
  }
  EXPECT_EQ(f.size(), 22U);
}

TEST(http_fields, take_no_more_memory_for_what_is_set_again) {
  fields f{{"Before", "first"}};
  const char* const text = [&] {
    for (int i = 0; i < 1000; ++i) f.set("X-Count", std::to_string(i));
    return f[0].name.data();
  }();
  // All texts lie in one piece: where the last begins tells how much is before it.
  EXPECT_LT(f[1].name.data() - text, 200);
  EXPECT_EQ(f[0].value, "first");
  EXPECT_EQ(f.get("x-count"), "999");
}

TEST(http_fields, words) {
  const fields f{{"Connection", "Keep-Alive , ,Upgrade"}, {"Connection", "close"}};
  EXPECT_TRUE(f.has_token("connection", "upgrade"));
  EXPECT_TRUE(f.has_token("connection", "keep-alive"));
  EXPECT_TRUE(f.has_token("connection", "CLOSE"));
  EXPECT_FALSE(f.has_token("connection", "up"));
  EXPECT_FALSE(f.has_token("connection", ""));
}

TEST(http_fields, nobody_smuggles_in_others) {
  fields f;
  for (const std::string& bad : {std::string("a\r\nX: y"), std::string("a\n"), std::string("\r"),
                                 std::string("a\0b", 3), std::string("\x7f"), std::string("\x1b[0m")}) {
    EXPECT_THROW(f.add("Name", bad), std::invalid_argument);
    EXPECT_THROW(f.set("Name", bad), std::invalid_argument);
    EXPECT_THROW(f.add("Na" + bad + "me", "x"), std::invalid_argument);
  }
  for (const char* bad : {"", "a b", "a:", "a\xc3\xb6", "(a)"}) EXPECT_THROW(f.add(bad, "x"), std::invalid_argument);
  EXPECT_TRUE(f.empty());
  try {
    f.add("X-Name", "a\r\nb");
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("X-Name"), std::string::npos);
  }
  f.add("Name", "a\tb \xc3\xb6");
  EXPECT_EQ(f.get("name"), "a\tb \xc3\xb6");
}

}  // namespace
