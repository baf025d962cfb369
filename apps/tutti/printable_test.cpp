// What reaches the terminal of a text from elsewhere.
#include <apps/tutti/printable.hpp>

#include <gtest/gtest.h>

#include <string>

namespace tutti::app {
namespace {

TEST(Printable, ControlCharactersAndWhatIsNotUtf8AreReplaced) {
  EXPECT_EQ(printable("plain naïve 中文 🙂"), "plain naïve 中文 🙂");
  EXPECT_EQ(printable("a\x1b[2Jb\nc\td\re\x7f"), "a?[2Jb?c?d?e?");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J\xc2\xa0"),
            "?2J\xc2\xa0");                            // U+009B is CSI, U+00A0 only a space
  EXPECT_EQ(printable("\x9b\xff\xe4\xb8|"), "????|");  // no UTF-8: alone, never, cut off
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, CutsBetweenCodePoints) {
  EXPECT_EQ(printable("中文中文中", 5), "中文中文中");
  EXPECT_EQ(printable("中文中文中文", 5), "中文...");
  EXPECT_EQ(printable("abcd", 3), "...");
  EXPECT_EQ(code_points(printable("中\xff文中文中文中文", 7)), 7U);
}

}  // namespace
}  // namespace tutti::app
