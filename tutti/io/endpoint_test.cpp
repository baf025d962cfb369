// Endpoints: addresses as text, and what is none.
#include <gtest/gtest.h>
#include <tutti/io/endpoint.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::string_literals;
using tutti::io::endpoint;

struct known {
  std::string text;  // what is parsed
  int family;
  std::string host;
  std::uint16_t port;
  std::string again;  // what it is as text
};

const std::string longest_path = '/' + std::string(sizeof(::sockaddr_un::sun_path) - 2, 'p');
const std::string longest_name = '@' + std::string(sizeof(::sockaddr_un::sun_path) - 2, 'n');

TEST(endpoint, is_the_same_there_and_back) {
  const std::vector<known> all{
      known{"127.0.0.1:80", AF_INET, "127.0.0.1", 80, "127.0.0.1:80"},
      known{"0.0.0.0:0", AF_INET, "0.0.0.0", 0, "0.0.0.0:0"},
      known{"255.255.255.255:65535", AF_INET, "255.255.255.255", 65535, "255.255.255.255:65535"},
      known{"1.2.3.4:0080", AF_INET, "1.2.3.4", 80, "1.2.3.4:80"},
      known{"localhost:8080", AF_INET, "127.0.0.1", 8080, "127.0.0.1:8080"},
      known{"*:443", AF_INET6, "::", 443, "[::]:443"},
      known{"[::1]:80", AF_INET6, "::1", 80, "[::1]:80"},
      known{"[::]:0", AF_INET6, "::", 0, "[::]:0"},
      known{"[2001:DB8:0:0::0001]:65535", AF_INET6, "2001:db8::1", 65535, "[2001:db8::1]:65535"},
      known{"[::ffff:1.2.3.4]:5", AF_INET6, "::ffff:1.2.3.4", 5, "[::ffff:1.2.3.4]:5"},
      known{"[fe80::1%lo]:80", AF_INET6, "fe80::1%lo", 80, "[fe80::1%lo]:80"},
      known{"unix:/run/a.socket", AF_UNIX, "/run/a.socket", 0, "unix:/run/a.socket"},
      known{"unix:here", AF_UNIX, "here", 0, "unix:here"},
      known{"unix:/a:80", AF_UNIX, "/a:80", 0, "unix:/a:80"},
      known{"unix:" + longest_path, AF_UNIX, longest_path, 0, "unix:" + longest_path},
      known{"unix:@name", AF_UNIX, "@name", 0, "unix:@name"},
      known{"unix:@@", AF_UNIX, "@@", 0, "unix:@@"},
      known{"unix:" + longest_name, AF_UNIX, longest_name, 0, "unix:" + longest_name}};
  for (const known& k : all) {
    SCOPED_TRACE(k.text);
    const endpoint e = endpoint::parse(k.text);
    EXPECT_EQ(e.family(), k.family);
    EXPECT_EQ(e.is_ip(), k.family != AF_UNIX);
    EXPECT_EQ(e.is_unix(), k.family == AF_UNIX);
    EXPECT_EQ(e.host(), k.host);
    EXPECT_EQ(e.port(), k.port);
    EXPECT_EQ(e.text(), k.again);
    EXPECT_EQ(endpoint::parse(e.text()), e);
    EXPECT_EQ(endpoint(e.data(), e.size()), e);
    if (e.is_ip()) {
      EXPECT_EQ(endpoint::of(e.host(), e.port()), e);
    }
  }
}

std::string refusal(std::string_view text) {
  try {
    return "taken as " + endpoint::parse(text).text();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

TEST(endpoint, says_what_is_wrong_with_a_text) {
  const auto bad_port = [](const std::string& text, const std::string& port) {
    EXPECT_EQ(refusal(text), "address \"" + text + "\": the port \"" + port + "\" is not a number from 0 to 65535");
  };
  bad_port("127.0.0.1:", "");
  bad_port("127.0.0.1:65536", "65536");
  bad_port("127.0.0.1:99999999999999999999", "99999999999999999999");
  bad_port("127.0.0.1:-1", "-1");
  bad_port("127.0.0.1:+1", "+1");
  bad_port("127.0.0.1: 80", " 80");
  bad_port("127.0.0.1:80 ", "80 ");
  bad_port("127.0.0.1:0x50", "0x50");
  bad_port("127.0.0.1:http", "http");
  bad_port("[::1]", "1]");
  bad_port("[::1]:", "");
  bad_port("*:*", "*");

  const auto no_port = [](const std::string& text) {
    EXPECT_EQ(refusal(text), "address \"" + text + "\" has no port: write it behind a colon, \"" + text + ":80\"");
  };
  no_port("");
  no_port("127.0.0.1");
  no_port("80");
  no_port("/run/a.socket");

  EXPECT_EQ(refusal(":80"), "address \":80\" has no host; for all addresses write \"*:80\"");
  EXPECT_EQ(refusal("[]:80"), "address \"[]:80\" has no host; for all addresses write \"*:80\"");
  EXPECT_EQ(refusal("::1:80"), "address \"::1:80\": write an IPv6 address in brackets, \"[::1]:80\"");
  EXPECT_EQ(refusal("http://1.2.3.4:80"),
            "address \"http://1.2.3.4:80\": write an IPv6 address in brackets, \"[http://1.2.3.4]:80\"");

  const auto no_number = [](const std::string& text, const std::string& host) {
    EXPECT_EQ(refusal(text),
              "address \"" + text + "\": \"" + host +
                  "\" is not an address in numbers (known besides: \"*\", \"localhost\", \"unix:/path\"); names of "
                  "hosts are looked up by connect and resolve");
  };
  no_number("example.com:80", "example.com");
  no_number("256.0.0.1:80", "256.0.0.1");
  no_number("1.2.3.4.5:80", "1.2.3.4.5");
  no_number(" 127.0.0.1:80", " 127.0.0.1");
  no_number("[::g]:80", "::g");
  no_number("[1:2:3]:80", "1:2:3");
  no_number("[::1%no such zone]:80", "::1%no such zone");
  no_number("[127.0.0.1:80", "[127.0.0.1");
  no_number("127.0.0.1]:80", "127.0.0.1]");
  EXPECT_EQ(refusal("[[1.2.3.4]]:80"), "address \"[[1.2.3.4]]:80\": brackets are for IPv6 addresses");
  no_number("**:80", "**");

  const auto bad_path = [](const std::string& path) {
    EXPECT_EQ(refusal("unix:" + path), "address \"unix:" + path + "\": the path has " + std::to_string(path.size()) +
                                           " bytes; a Unix socket's has 1 to 107");
  };
  bad_path("");
  bad_path("@");
  bad_path(longest_path + "p");
  bad_path(longest_name + "n");
  // what() ends at a zero byte.
  EXPECT_EQ(refusal("127.0.0.1:8\0"s), "address \"127.0.0.1:8");
  EXPECT_EQ(refusal("127.0.0.1\0.2:80"s), "address \"127.0.0.1");
  EXPECT_EQ(refusal("unix:/a\0b"s), "address \"unix:...\": the path contains a zero byte");
  EXPECT_EQ(refusal("unix:@a\0b"s), "address \"unix:...\": the path contains a zero byte");
}

TEST(endpoint, of_takes_addresses_in_numbers_only) {
  for (const std::string& text : {""s, "localhost"s, "*"s, "[::1]"s, "127.0.0.1:80"s, "unix:/a"s, "127.0.0.1\0"s})
    EXPECT_THROW(static_cast<void>(endpoint::of(text, 1)), std::invalid_argument) << text;
  EXPECT_EQ(endpoint::of("::1", std::numeric_limits<std::uint16_t>::max()).text(), "[::1]:65535");
}

TEST(endpoint, none_is_none) {
  const endpoint none;
  EXPECT_EQ(none.family(), AF_UNSPEC);
  EXPECT_FALSE(none.is_ip());
  EXPECT_FALSE(none.is_unix());
  EXPECT_EQ(none.host(), "");
  EXPECT_EQ(none.port(), 0);
  EXPECT_EQ(none.text(), "an unnamed socket");
  EXPECT_EQ(none, endpoint());
  EXPECT_THROW(static_cast<void>(endpoint::parse(none.text())), std::invalid_argument);
}

TEST(endpoint, of_the_system_that_makes_no_sense_is_none) {
  ::sockaddr_storage address{};
  address.ss_family = AF_INET;
  auto* const at = reinterpret_cast<const ::sockaddr*>(&address);
  EXPECT_EQ(endpoint(at, 0), endpoint());
  EXPECT_EQ(endpoint(at, 1), endpoint());
  EXPECT_EQ(endpoint(at, sizeof address + 1), endpoint()) << "larger than any";
}

TEST(endpoint, a_unix_socket_without_a_name_has_none) {
  ::sockaddr_un local{};
  local.sun_family = AF_UNIX;
  const endpoint e(reinterpret_cast<const ::sockaddr*>(&local), offsetof(::sockaddr_un, sun_path));
  EXPECT_TRUE(e.is_unix());
  EXPECT_EQ(e.host(), "");
  EXPECT_EQ(e.text(), "an unnamed socket");
}

TEST(endpoint, differs_by_each_of_its_parts) {
  const char* const all[] = {"127.0.0.1:1",   "127.0.0.1:2", "127.0.0.2:1", "[::1]:1", "[::2]:1", "[fe80::1%1]:1",
                             "[fe80::1%2]:1", "unix:a",      "unix:ab",     "unix:@a", "unix:@ab"};
  for (const char* const a : all)
    for (const char* const b : all) EXPECT_EQ(endpoint::parse(a) == endpoint::parse(b), a == b) << a << ' ' << b;
}

}  // namespace
