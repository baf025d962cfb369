#include <gtest/gtest.h>
#include <tutti/io/http/url.hpp>

#include <stdexcept>
#include <string>

namespace {

using tutti::io::http::parse_query;
using tutti::io::http::percent_decode;
using tutti::io::http::percent_encode;
using tutti::io::http::url;

TEST(http_url, parts) {
  const url u = url::parse("HTTP://us%40er:p:w@Example.ORG:8080/a%20b/../c?x=1&y#part");
  EXPECT_EQ(u.scheme(), "http");
  EXPECT_EQ(u.user(), "us@er");
  EXPECT_EQ(u.password(), "p:w");
  EXPECT_EQ(u.host(), "example.org");
  EXPECT_EQ(u.port(), 8080);
  EXPECT_EQ(u.path(), "/c");
  EXPECT_EQ(u.query(), "x=1&y");
  EXPECT_EQ(u.fragment(), "part");
  EXPECT_EQ(u.target(), "/c?x=1&y");
  EXPECT_EQ(u.origin(), "http://example.org:8080");
  EXPECT_EQ(u.text(), "http://example.org:8080/c?x=1&y#part");
  const url six = url::parse("https://[2001:DB8::1]");
  EXPECT_EQ(six.host(), "2001:db8::1");
  EXPECT_EQ(six.port(), 443);
  EXPECT_EQ(six.text(), "https://[2001:db8::1]/");
  EXPECT_EQ(url::parse("http://x:80").authority(), "x");
  EXPECT_EQ(url::parse("https://x:80").authority(), "x:80");
  EXPECT_EQ(url::parse("http://x:").authority(), "x");
  EXPECT_EQ(url::parse("http://x?").text(), "http://x/?");
  EXPECT_FALSE(url::parse("http://x").has_user());
  EXPECT_TRUE(url::parse("http://@x").has_user());
  EXPECT_EQ(url::parse(" http://x/a b\xc3\xb6\"%41%4\r\n ").text(), "http://x/a%20b%C3%B6%22%41%254");
}

TEST(http_url, refuses_what_is_none) {
  for (const char* bad : {"",
                          "x",
                          "/x",
                          "//x",
                          "http:",
                          "http:/x",
                          "http://",
                          "http:///x",
                          "http://:80",
                          "http://x:y",
                          "http://x:65536",
                          "http://x:99999999999",
                          "http://[::1",
                          "http://[x]",
                          "http://[1.2.3.4]",
                          "http://[::1]x",
                          "http://a b/",
                          "http://a\"b/",
                          "1http://x",
                          "mailto:a@b",
                          "http://a\\b/",
                          "http://\xc3\xb6/",
                          "http://a<b>/"})
    EXPECT_THROW(static_cast<void>(url::parse(bad)), std::invalid_argument) << bad;
}

TEST(http_url, errors_keep_passwords_to_themselves) {
  for (const char* bad : {"http://user:secret@host:99999/", "http://user:secret@ho st/", "//user:secret@host/",
                          "user:secret@host", "http://user:se/cret@host/", "http://user:secret@@h[/"}) {
    std::string words;
    try {
      static_cast<void>(url::parse(bad));
    } catch (const std::invalid_argument& e) {
      words = e.what();
    }
    EXPECT_NE(words.find("...@"), std::string::npos) << words;
    EXPECT_EQ(words.find("secret"), std::string::npos) << words;
    EXPECT_EQ(words.find("cret@"), std::string::npos) << words;
  }
}

TEST(http_url, misleading_ones) {
  // To browsers this is evil.com.
  EXPECT_THROW(static_cast<void>(url::parse("http://evil.com\\@good.com/")), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(url::parse("http://a\x01@good.com/")), std::invalid_argument);
  EXPECT_EQ(url::parse("http://a/b/%2e%2E/c/.%2e/%2e/d%2e").path(), "/d%2e");
}

// RFC 3986, 5.4.
TEST(http_url, relative_ones) {
  const url base = url::parse("http://a/b/c/d;p?q");
  const std::pair<const char*, const char*> all[] = {
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g/"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"#s", "http://a/b/c/d;p?q#s"},
      {"g#s", "http://a/b/c/g#s"},
      {"g?y#s", "http://a/b/c/g?y#s"},
      {";x", "http://a/b/c/;x"},
      {"g;x", "http://a/b/c/g;x"},
      {"g;x?y#s", "http://a/b/c/g;x?y#s"},
      {"", "http://a/b/c/d;p?q"},
      {".", "http://a/b/c/"},
      {"./", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../", "http://a/b/"},
      {"../g", "http://a/b/g"},
      {"../..", "http://a/"},
      {"../../", "http://a/"},
      {"../../g", "http://a/g"},
      {"../../../g", "http://a/g"},
      {"../../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"/../g", "http://a/g"},
      {"g.", "http://a/b/c/g."},
      {".g", "http://a/b/c/.g"},
      {"g..", "http://a/b/c/g.."},
      {"..g", "http://a/b/c/..g"},
      {"./../g", "http://a/b/g"},
      {"./g/.", "http://a/b/c/g/"},
      {"g/./h", "http://a/b/c/g/h"},
      {"g/../h", "http://a/b/c/h"},
      {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
      {"g;x=1/../y", "http://a/b/c/y"},
      {"g?y/./x", "http://a/b/c/g?y/./x"},
      {"g?y/../x", "http://a/b/c/g?y/../x"},
      {"g#s/./x", "http://a/b/c/g#s/./x"},
      {"https://x/y", "https://x/y"},
      {"./a:b", "http://a/b/c/a:b"},
      {" g\n", "http://a/b/c/g"},
  };
  for (const auto& [link, meant] : all) EXPECT_EQ(url::resolve(base, link).text(), meant) << link;
  EXPECT_THROW(static_cast<void>(url::resolve(base, "mailto:x@y")), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(url::resolve(base, "g:h")), std::invalid_argument);
  EXPECT_FALSE(url::resolve(url::parse("http://u:p@a/"), "//b").has_user());
  EXPECT_TRUE(url::resolve(url::parse("http://u:p@a/"), "b").has_user());
}

TEST(http_url, percent) {
  EXPECT_EQ(percent_encode("a b/\xff-~"), "a%20b%2F%FF-~");
  EXPECT_EQ(percent_decode("a%20b%2f%FF+%"), "a b/\xff+%");
  EXPECT_EQ(percent_decode("%4%zz%41"), "%4%zzA");
  const auto all = parse_query("a=1&b=x+y%21&&c&=d&a=2");
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(all[0], std::pair(std::string("a"), std::string("1")));
  EXPECT_EQ(all[1], std::pair(std::string("b"), std::string("x y!")));
  EXPECT_EQ(all[2], std::pair(std::string("c"), std::string()));
  EXPECT_EQ(all[3], std::pair(std::string(), std::string("d")));
  EXPECT_EQ(all[4], std::pair(std::string("a"), std::string("2")));
}

}  // namespace
