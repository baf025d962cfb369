// Which handler gets which path, and what of the path it gets.
#include <gtest/gtest.h>
#include <tests/support/http.hpp>

#include <string>

namespace {

using testing::HasSubstr;
using testing::StartsWith;
using tutti::task;
using tutti_test::http_server;
using tutti_test::raw_exchange;
using tutti_test::with_http_server;
namespace http = tutti::io::http;

std::string last(const std::string& method, const std::string& path) {
  return method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
}

TEST(http_routes, what_is_put_behind_a_folder_stays_in_it) {
  http::routes r;
  r.get("/files/{path...}", [](http::request& q) { return http::response("[" + q.param("path") + "]"); });
  r.get("/one/{name}", [](http::request& q) { return http::response("[" + q.param("name") + "]"); });
  r.get("/two/{a}/{b...}", [](http::request& q) { return http::response("[" + q.param("a") + q.param("b") + "]"); });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    EXPECT_TRUE((co_await raw_exchange(s.at, last("GET", "/files/a//b%20c"))).ends_with("[a//b c]"));
    EXPECT_TRUE((co_await raw_exchange(s.at, last("GET", "/files/a%2Fb..c"))).ends_with("[a/b..c]"));
    EXPECT_TRUE((co_await raw_exchange(s.at, last("GET", "/one/a%20..b"))).ends_with("[a ..b]"));
    EXPECT_TRUE((co_await raw_exchange(s.at, last("GET", "/two/a/b/c"))).ends_with("[ab/c]"));
    for (const char* path :
         {"/files//etc/passwd", "/files/%2Fetc/passwd", "/files/%5Cwindows", "/files/%5c%5chost", "/files/a%00b",
          "/files/..", "/files/a/%2e%2e/b", "/one/..", "/one/%2e%2e", "/one/..%2Fb", "/one/%2Fetc%2Fpasswd",
          "/one/a%2Fb", "/one/a%5Cb", "/one/a%00", "/two/../b", "/two/a%2f..%2fb/c", "/two/a//b", "/two/a/%00"})
      EXPECT_THAT(co_await raw_exchange(s.at, last("GET", path)), StartsWith("HTTP/1.1 404 ")) << path;
  });
}

TEST(http_routes, allow_names_each_method_once) {
  const auto hello = [](http::request&) { return http::response("hello"); };
  http::routes r;
  r.add("XPOST", "/a", hello).add("HEAD", "/a", hello).get("/a", hello).post("/a", hello);
  with_http_server(r, {}, [](http_server& s) -> task<> {
    EXPECT_THAT(co_await raw_exchange(s.at, last("PUT", "/a")),
                HasSubstr("\r\nAllow: XPOST, HEAD, GET, POST, OPTIONS\r\n"));
  });
}

}  // namespace
