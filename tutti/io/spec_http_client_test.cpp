// What http/client.hpp promises, against servers that misbehave in every phase: written by hand over raw streams.
#include <gtest/gtest.h>

#include <string>
#include <tests/support/http.hpp>
#include <tests/support/io_spec.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <tutti/io/http/http.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <vector>

namespace {

using tutti::task;
using tutti::task_group;
using namespace tutti_test;
using namespace std::chrono_literals;
namespace io = tutti::io;
namespace http = tutti::io::http;

class SpecHttpClient : public io_spec {};

using handler = std::function<task<>(io::stream)>;

/// Answers each request, whatever it is, with `text`; closes then if `once`.
handler answers(std::string text, bool once = true) {
  return [text, once](io::stream s) -> task<> {
    for (;;) {
      static_cast<void>(co_await s.read_until("\r\n\r\n"));
      co_await s.write(text);
      if (once) co_return;
    }
  };
}

TEST_F(SpecHttpClient, EveryTruncationOfAnAnswer) {
  for (const std::string& whole : std::vector<std::string>{
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n"}) {
    std::size_t cut = 0;
    with_raw_server(
        [&](io::stream s) -> task<> {
          static_cast<void>(co_await s.read_until("\r\n\r\n"));
          co_await s.write(whole.substr(0, cut));
        },
        [&](std::string origin) -> task<> {
          http::client client;
          for (cut = 0; cut <= whole.size(); ++cut) {
            const std::string end = co_await how([&] { return client.get(origin); });
            if (cut == whole.size()) {
              EXPECT_EQ(end, "value");
            } else {
              const std::size_t head = whole.find("\r\n\r\n") + 4;
              EXPECT_EQ(end, cut < head ? "http_error awaiting the answer" : "http_error reading the body") << cut;
            }
            EXPECT_TRUE(cut == whole.size() || client.idle_connections() == 0) << cut;
          }
        });
  }
}

TEST_F(SpecHttpClient, AnswersThatAreNone) {
  for (const std::string& bad : std::vector<std::string>{
           "nonsense\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
           "HTTP/3.0 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
           "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", "SSH-2.0-OpenSSH_9.2\r\n\r\n",
           "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n"}) {
    with_raw_server(answers(bad), [&](std::string origin) -> task<> {
      http::client client;
      const std::string end = co_await how([&] { return client.get(origin); });
      EXPECT_TRUE(end.starts_with("http_error")) << bad << " -> " << end;
      EXPECT_EQ(client.idle_connections(), 0U) << bad;
    });
  }
}

TEST_F(SpecHttpClient, AnswersWithoutBodyWhateverTheyAnnounce) {
  with_raw_server(
      [](io::stream s) -> task<> {
        for (;;) {
          const std::string head = co_await s.read_until("\r\n\r\n");
          const int code = head.find("/204") != std::string::npos   ? 204
                           : head.find("/304") != std::string::npos ? 304
                                                                    : 200;
          co_await s.write("HTTP/1.1 " + std::to_string(code) + " X\r\nContent-Length: 5\r\n\r\n" +
                           (head.starts_with("HEAD") || code != 200 ? "" : "hello"));
        }
      },
      [](std::string origin) -> task<> {
        http::client client;
        for (int i = 0; i < 3; ++i) {
          const http::response head = co_await client.request(http::client_request(origin, "HEAD"));
          EXPECT_EQ(head.body, "");
          const http::response none = co_await client.get(origin + "/204");
          EXPECT_EQ(none.status, 204);
          const http::response same = co_await client.get(origin + "/304");
          EXPECT_EQ(same.status, 304);
          const http::response all = co_await client.get(origin);
          EXPECT_EQ(all.body, "hello");
        }
        EXPECT_EQ(client.idle_connections(), 1U);
      });
}

TEST_F(SpecHttpClient, InterimAnswersAreSkippedButNotForEver) {
  with_raw_server(answers("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 "
                          "OK\r\nContent-Length: 2\r\n\r\nok"),
                  [](std::string origin) -> task<> {
                    http::client client;
                    const http::response r = co_await client.get(origin);
                    EXPECT_EQ(r.status, 200);
                    EXPECT_EQ(r.body, "ok");
                  });
  with_raw_server(
      [](io::stream s) -> task<> {
        static_cast<void>(co_await s.read_until("\r\n\r\n"));
        for (;;) co_await s.write("HTTP/1.1 100 Continue\r\n\r\n");
      },
      [](std::string origin) -> task<> {
        http::client client({.head_limit = 300ms});
        EXPECT_NE(co_await how([&] { return client.get(origin); }), "value");
      });
}

TEST_F(SpecHttpClient, LimitsOfHeadAndBodyExactly) {
  std::string text;
  with_raw_server(
      [&](io::stream s) -> task<> {
        static_cast<void>(co_await s.read_until("\r\n\r\n"));
        co_await s.write(text);
      },
      [&](std::string origin) -> task<> {
        http::client client({.max_head = 300, .max_body = 100});
        for (const std::size_t size : {299U, 300U, 301U, 100'000U}) {
          text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
          text += std::string(size - text.size() - 4, 'x') + "\r\n\r\n";
          const std::string end = co_await how([&] { return client.get(origin); });
          if (size <= 300) {
            EXPECT_EQ(end, "value") << size;
          } else {
            EXPECT_NE(end, "value") << size;
          }
        }
        for (const std::size_t size : {99U, 100U, 101U, 100'000U})
          for (int how_long = 0; how_long < 3; ++how_long) {
            const std::string body(size, 'b');
            text = "HTTP/1.1 200 OK\r\n";
            if (how_long == 0) text += "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body;
            if (how_long == 1) text += "\r\n" + body;
            if (how_long == 2) {
              text += "Transfer-Encoding: chunked\r\n\r\n";
              for (const char c : body) text += std::string("1\r\n") + c + "\r\n";
              text += "0\r\n\r\n";
            }
            EXPECT_EQ(co_await how([&] { return client.get(origin); }), size <= 100 ? "value" : "too_long")
                << size << ' ' << how_long;
            // as it streams, there is no such limit; the caller sets one
            http::incoming in = co_await client.open(origin);
            EXPECT_EQ(co_await how([&] { return in.read_all(size); }), "value");
          }
      });
}

TEST_F(SpecHttpClient, SilenceInEachPhaseTimesOut) {
  struct phase {
    const char* name;
    std::string sends;
    bool reads;
  };
  for (const phase& p :
       {phase{"nothing is read", "", false}, phase{"no answer", "", true}, phase{"half a head", "HTTP/1.1 200 O", true},
        phase{"no body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true},
        phase{"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", true},
        phase{"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", true},
        phase{"no end", "HTTP/1.1 200 OK\r\n\r\nhello", true}}) {
    SCOPED_TRACE(p.name);
    const handler silent = [&](io::stream s) -> task<> {
      if (p.reads) static_cast<void>(co_await s.read_until("\r\n\r\n"));
      co_await s.write(p.sends);
      co_await sleep_for_ever();
    };
    const auto ask = [&](http::client client, std::string origin) -> task<> {
      http::client_request what(origin, p.reads ? "GET" : "POST");
      if (!p.reads) what.body = std::string(20'000'000, 'b');
      static_cast<void>(co_await client.request(std::move(what)));
    };
    with_raw_server(silent, [&](std::string origin) -> task<> {
      EXPECT_EQ(
          co_await how_void([&] { return ask(http::client({.head_limit = 20ms, .progress_limit = 20ms}), origin); }),
          "timed_out");
      EXPECT_EQ(co_await how_void([&] { return ask(http::client({.total_limit = 20ms}), origin); }), "timed_out");
      // and can be ended
      http::client client;
      EXPECT_EQ(co_await how_void([&] { return tutti::with_timeout(ask(client, origin), 0ns); }), "timed_out");
      EXPECT_EQ(co_await how_void([&] { return tutti::with_timeout(ask(client, origin), 20ms); }), "timed_out");
      std::string end;
      co_await task_group::run([&](task_group& group) -> task<> {
        group.spawn(note(end, [&] { return ask(client, origin); }));
        co_await some_turns();
        group.stop();
      });
      EXPECT_EQ(end, "cancelled");
      EXPECT_EQ(client.idle_connections(), 0U);
      const int with_it = open_descriptors();
      task<> loser = ask(client, origin), winner = some_turns();
      static_cast<void>(co_await tutti::when_any(std::move(loser), std::move(winner)));
      EXPECT_LE(open_descriptors(), with_it + 3);
    });
  }
}

TEST_F(SpecHttpClient, KeptConnectionThatIsDeadIsReplacedForWhatMayBeSentTwice) {
  int connections = 0, posts = 0;
  with_raw_server(
      [&](io::stream s) -> task<> {
        ++connections;
        const std::string head = co_await s.read_until("\r\n\r\n");
        if (head.starts_with("POST")) ++posts;
        co_await s.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");  // keep-alive, but:
        const std::optional<std::string> next = co_await s.read_line();      // dies with the next request
        if (next && next->starts_with("POST")) ++posts;
        will_reset(s.descriptor());
      },
      [&](std::string origin) -> task<> {
        http::client client;
        for (int i = 0; i < 5; ++i) {
          const http::response r = co_await client.get(origin);
          EXPECT_EQ(r.body, "ok");
        }
        EXPECT_EQ(connections, 5);
        EXPECT_EQ(client.idle_connections(), 1U);
        const std::string end = co_await how([&] { return client.post(origin, "x", "text/plain"); });
        EXPECT_TRUE(end.starts_with("http_error")) << end;
        EXPECT_EQ(posts, 1);  // not again
      });
}

TEST_F(SpecHttpClient, BytesBehindAnAnswerAreNoAnswerToTheNextRequest) {
  int connections = 0;
  with_raw_server(
      [&](io::stream s) -> task<> {
        ++connections;
        static_cast<void>(co_await s.read_until("\r\n\r\n"));
        co_await s.write(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        static_cast<void>(co_await s.read_all(10000));
      },
      [&](std::string origin) -> task<> {
        http::client client;
        for (int i = 0; i < 3; ++i) {
          const http::response r = co_await client.get(origin);
          EXPECT_EQ(r.body, "ok");
          co_await some_turns();
        }
        EXPECT_EQ(connections, 3);
      });
}

TEST_F(SpecHttpClient, RedirectsEndSomewhere) {
  int asked = 0;
  std::string location;
  with_raw_server(
      [&](io::stream s) -> task<> {
        for (;;) {
          const std::string head = co_await s.read_until("\r\n\r\n");
          ++asked;
          co_await s.write("HTTP/1.1 302 Found\r\nLocation: " + location + std::to_string(asked) +
                           "\r\nContent-Length: 3\r\n\r\nabc");
        }
      },
      [&](std::string origin) -> task<> {
        for (const std::string& to :
             {std::string("/again"), origin + "/x", std::string("?q"), std::string("//") + origin.substr(7) + "/"}) {
          location = to;
          asked = 0;
          http::client client({.max_redirects = 5});
          EXPECT_EQ(co_await how([&] { return client.get(origin); }), "http_error redirecting") << to;
          EXPECT_EQ(asked, 6) << to;
        }
        for (const std::string& to :
             {std::string("gopher://x/"), std::string("http://"), std::string("http://127.0.0.1:99999/"),
              std::string("mailto:a@b"), std::string("http://[::1/")}) {
          location = to + " \r\nX: ";
          http::client client;
          const std::string end = co_await how([&] { return client.get(origin); });
          EXPECT_TRUE(end.starts_with("http_error")) << to << " -> " << end;
        }
        location = "/x";
        http::client client({.max_redirects = 0});
        const http::response r = co_await client.get(origin);
        EXPECT_EQ(r.status, 302);
        EXPECT_EQ(r.body, "abc");
      });
}

TEST_F(SpecHttpClient, RequestsThatCannotBeAreRefused) {
  with_raw_server(answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), [](std::string origin) -> task<> {
    http::client client;
    for (const std::string& bad : std::vector<std::string>{"", "/", "example.org", "ftp://a/", "http://",
                                                           "http://a:b:c/", "http://a:99999/", "http:///x"})
      EXPECT_EQ(co_await how([&] { return client.get(bad); }), "invalid_argument") << bad;
    for (const std::string& method : std::vector<std::string>{"", "G T", "GET\r\nX: y", "GET /", "\x01"})
      EXPECT_EQ(co_await how([&] { return client.request(http::client_request(origin, method)); }), "invalid_argument")
          << method;
    EXPECT_THROW(http::client({.max_per_host = 0}), std::invalid_argument);
    http::fields fields;
    for (const std::string_view bad :
         std::vector<std::string_view>{"a\r\nEvil: x", "a\nb", std::string_view("a\0b", 3), "a\rb"})
      EXPECT_THROW(fields.add("X", bad), std::invalid_argument);
    for (const std::string_view bad : std::vector<std::string_view>{"", "a b", "a:", "a\r\nb", "\xc3\xa4"})
      EXPECT_THROW(fields.add(bad, "x"), std::invalid_argument);
    EXPECT_TRUE(fields.empty());
  });
}

TEST_F(SpecHttpClient, PerHostLimitIsKeptAndLeavingIsNoticed) {
  int now = 0, most = 0;
  with_raw_server(
      [&](io::stream s) -> task<> {
        most = std::max(most, ++now);
        for (;;) {
          const std::string end = co_await how([&] { return s.read_until("\r\n\r\n"); });
          if (end != "value") break;
          co_await some_turns();
          co_await s.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        --now;
      },
      [&](std::string origin) -> task<> {
        http::client client({.max_per_host = 2});
        int fine = 0, ended = 0;
        co_await task_group::run([&](task_group& group) -> task<> {
          for (int i = 0; i < 60; ++i)
            group.spawn([&, i]() -> task<> {  // every third gives up while it waits for its turn, or later
              const std::string end = co_await how([&]() -> task<int> {
                if (i % 3 == 0) {
                  static_cast<void>(
                      co_await tutti::with_timeout(client.get(origin), std::chrono::microseconds(i * 20)));
                } else {
                  static_cast<void>(co_await client.get(origin));
                }
                co_return 0;
              });
              ++(end == "value" ? fine : ended);
            });
          co_return;
        });
        EXPECT_GE(fine, 40);
        EXPECT_EQ(fine + ended, 60);
        EXPECT_LE(client.idle_connections(), 2U);
        const http::response r = co_await client.get(origin);  // no turn was lost
        EXPECT_EQ(r.body, "ok");
      });
  EXPECT_LE(most, 2 + 20);  // those that were given up may not have been noticed by the server yet
}

}  // namespace
