// What comes from files does not command the terminal.
#include <gtest/gtest.h>
#include <tutti/trace/shown_text.hpp>

#include <string>

namespace {

using tutti::detail::shown;

TEST(shown_text, leaves_text_alone) {
  EXPECT_EQ(shown(""), "");
  EXPECT_EQ(shown("a task \"x\" ~"), "a task \"x\" ~");
  EXPECT_EQ(shown("\xC3\xA9\xC2\xA0\xF0\x9F\x98\x80"), "\xC3\xA9\xC2\xA0\xF0\x9F\x98\x80");
}

TEST(shown_text, replaces_controls) {
  EXPECT_EQ(shown("\x1B[2J\n\x7F"), "?[2J??");
  EXPECT_EQ(shown(std::string_view("\0a", 2)), "?a");
  EXPECT_EQ(shown("\xC2\x80|\xC2\x9B|\xC2\x9F"), "?|?|?");
}

TEST(shown_text, replaces_what_is_not_utf8) {
  EXPECT_EQ(shown("a\x9B"
                  "b\xFF\xC3"),
            "a?b??");
  EXPECT_EQ(shown("\xC0\x9B"), "??");  // overlong: a control to lax terminals
}

TEST(shown_text, cuts_between_characters) {
  EXPECT_EQ(shown("abc", 3), "abc");
  EXPECT_EQ(shown("abcd", 3), "abc...");
  EXPECT_EQ(shown("\xC3\xA9\xC3\xA9\xC3\xA9", 2), "\xC3\xA9\xC3\xA9...");
}

}  // namespace
