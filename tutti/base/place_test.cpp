#include <gtest/gtest.h>
#include <tutti/base/fixed_string.hpp>
#include <tutti/base/place.hpp>
#include <type_traits>

namespace {

static_assert(std::is_trivially_copyable_v<tutti::place>);

tutti::place where_called(tutti::place here = tutti::place::current()) { return here; }

TEST(place, is_the_callers_line) {
  const tutti::place here = where_called();
  EXPECT_EQ(here.line, unsigned{__LINE__ - 1});
  EXPECT_NE(std::string(here.file).find("place_test.cpp"), std::string::npos);
  EXPECT_STREQ(here.function, "TestBody");
}

TEST(place, as_text) {
  EXPECT_EQ(to_string(tutti::place{"a.cpp", 7, "f"}), "a.cpp:7 (f)");
  EXPECT_EQ(to_string(tutti::place{"a.cpp", 7, ""}), "a.cpp:7");
  EXPECT_EQ(to_string(tutti::place{}), "");
}

template <tutti::fixed_string Name>
struct labelled {
  static constexpr std::string_view name = Name.view();
};

TEST(fixed_string, is_a_template_argument) {
  EXPECT_EQ(labelled<"calc.add">::name, "calc.add");
  EXPECT_EQ(labelled<"">::name, "");
  static_assert(std::is_same_v<labelled<"a">, labelled<"a">>);
  static_assert(!std::is_same_v<labelled<"a">, labelled<"b">>);
}

}  // namespace
