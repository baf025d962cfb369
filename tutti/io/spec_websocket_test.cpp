// What websocket.hpp promises, against peers that break the protocol by hand over a raw stream.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <tests/support/http.hpp>
#include <tests/support/io_spec.hpp>
#include <tests/support/unhandled_counter.hpp>
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

class SpecWebsocket : public io_spec {};

const std::string& handshake() {
  static const std::string text =
      "GET /talk HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  return text;
}

/// A client's frame; `first`: fin, reserved bits and opcode.
std::string frame(unsigned first, const std::string& data, bool masked = true) {
  std::string made(1, static_cast<char>(first));
  const unsigned mask_bit = masked ? 0x80U : 0U;
  if (data.size() < 126) {
    made += static_cast<char>(mask_bit | data.size());
  } else if (data.size() < 65536) {
    made += static_cast<char>(mask_bit | 126U);
    made += static_cast<char>(data.size() >> 8U);
    made += static_cast<char>(data.size());
  } else {
    made += static_cast<char>(mask_bit | 127U);
    for (int i = 7; i >= 0; --i) made += static_cast<char>(data.size() >> (8U * static_cast<unsigned>(i)));
  }
  if (!masked) return made + data;
  const std::string mask = "\x12\x34\x56\x78";
  made += mask;
  for (std::size_t i = 0; i < data.size(); ++i) made += static_cast<char>(data[i] ^ mask[i % 4]);
  return made;
}

/// What the server's handler saw: messages, then how it ended.
struct seen {
  std::vector<std::string> messages;
  std::string end;
  std::uint16_t code = 0;
};

/// Sends a handshake and `bytes`, then a close of ours; what the handler saw, and the server sent.
std::pair<seen, std::string> what_comes_of(const std::string& bytes, std::size_t max_message = 1000, bool cut = false) {
  seen result;
  std::string sent;
  bool over = false;
  http::routes routes;
  routes.get("/talk", [&](http::request& r) {
    return io::websocket::upgrade(r,
                                  [&](io::websocket peer) -> task<> {
                                    result.end = co_await how([&]() -> task<int> {
                                      for (;;) {
                                        const std::optional<io::websocket_message> m = co_await peer.receive(20s);
                                        if (!m) co_return 0;
                                        result.messages.push_back(m->data);
                                      }
                                    });
                                    if (result.end == "value") result.code = peer.close_code();
                                    over = true;
                                  },
                                  {.max_message = max_message});
  });
  with_http_server(std::move(routes), {.drain = 1s}, [&](http_server& server) -> task<> {
    io::stream s = co_await io::connect(server.at);
    co_await s.write(handshake());
    const std::string head = co_await s.read_until("\r\n\r\n", 5000, 20s);
    EXPECT_EQ(head.substr(0, 12), "HTTP/1.1 101");
    EXPECT_NE(head.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);
    static_cast<void>(co_await how_void([&] { return s.write(bytes, 20s); }));
    if (cut) co_await s.shutdown_write();
    sent = co_await all_of(s);
    while (!over) co_await tutti::yield_now();
  });
  return {result, sent};
}

const std::string& close_frame() {
  static const std::string text = frame(0x88, "\x03\xe8");
  return text;
}

/// The close code that the server has sent, 0 for none.
int code_in(const std::string& sent) {
  const std::size_t at = sent.find('\x88');
  if (at == std::string::npos || at + 4 > sent.size()) return 0;
  return static_cast<unsigned char>(sent[at + 2]) * 256 + static_cast<unsigned char>(sent[at + 3]);
}

TEST_F(SpecWebsocket, WellFormedOnesAreUnderstood) {
  const auto [s, sent] =
      what_comes_of(frame(0x81, "hello") + frame(0x82, std::string("\0\xff", 2)) + frame(0x81, "") +
                    frame(0x01, "a\xc3") + frame(0x89, "ping") + frame(0x00, "\xa4") + frame(0x80, "b") +
                    frame(0x8a, "unasked pong") + frame(0x81, std::string(126, 'x')) +
                    frame(0x81, std::string(1000, 'y')) + frame(0x89, std::string(125, 'p')) + close_frame());
  const std::vector<std::string> expected{"hello",
                                          std::string("\0\xff", 2),
                                          "",
                                          "a\xc3\xa4"
                                          "b",
                                          std::string(126, 'x'),
                                          std::string(1000, 'y')};
  EXPECT_EQ(s.messages, expected);
  EXPECT_EQ(s.end, "value");
  EXPECT_EQ(s.code, 1000);
  EXPECT_NE(sent.find("\x8a\x04ping"), std::string::npos);
  EXPECT_EQ(code_in(sent), 1000);
}

struct violation {
  const char* name;
  std::string bytes;
  int code;  // that the server should close with
};

TEST_F(SpecWebsocket, ViolationsEndTheConnectionAndAreToldTo) {
  const unhandled_counter unhandled;
  std::string lie = frame(0x82, "");
  lie[1] = static_cast<char>(0xff);
  const std::string mask = "\x12\x34\x56\x78";
  const auto with_length = [&](const std::string& eight) { return std::string("\x82\xff", 2) + eight + mask + "abc"; };
  const std::vector<violation> all = {
      {"unmasked", frame(0x81, "hello", false), 1002},
      {"reserved bit 1", frame(0xc1, "hello"), 1002},
      {"reserved bit 2", frame(0xa1, "hello"), 1002},
      {"reserved bit 3", frame(0x91, "hello"), 1002},
      {"reserved opcode 3", frame(0x83, "hello"), 1002},
      {"reserved opcode 7", frame(0x87, "hello"), 1002},
      {"reserved opcode 11", frame(0x8b, "hello"), 1002},
      {"reserved opcode 15", frame(0x8f, "hello"), 1002},
      {"fragmented ping", frame(0x09, "hello"), 1002},
      {"fragmented close", frame(0x08, "\x03\xe8"), 1002},
      {"ping too long", frame(0x89, std::string(126, 'p')), 1002},
      {"close too long", frame(0x88, "\x03\xe8" + std::string(124, 'p')), 1002},
      {"continuation without start", frame(0x80, "hello"), 1002},
      {"first fragment of a continuation", frame(0x00, "hello"), 1002},
      {"start within a message", frame(0x01, "a") + frame(0x81, "b"), 1002},
      {"close of one byte", frame(0x88, "\x03"), 1002},
      {"close code 0", frame(0x88, std::string("\0\0", 2)), 1002},
      {"close code 999", frame(0x88, "\x03\xe7"), 1002},
      {"close code 1004", frame(0x88, "\x03\xec"), 1002},
      {"close code 1005", frame(0x88, "\x03\xed"), 1002},
      {"close code 1006", frame(0x88, "\x03\xee"), 1002},
      {"close code 1015", frame(0x88, "\x03\xf7"), 1002},
      {"close reason not UTF-8", frame(0x88, "\x03\xe8\xc3\x28"), 1002},
      {"64 bits of length, the highest set", with_length(std::string("\x80\0\0\0\0\0\0\1", 8)), 1009},
      {"64 bits of length, all set", with_length(std::string(8, '\xff')), 1009},
      {"64 bits of length, huge", with_length(std::string("\x7f\xff\xff\xff\xff\xff\xff\xff", 8)), 1009},
      {"64 bits of length for three bytes", with_length(std::string("\0\0\0\0\0\0\0\3", 8)), 1002},
      {"16 bits of length for three bytes", std::string("\x82\xfe\0\3", 4) + mask + "abc", 1002},
      {"invalid UTF-8",
       frame(0x81,
             "a\xff"
             "b"),
       1007},
      {"overlong UTF-8", frame(0x81, "\xc0\x80"), 1007},
      {"a surrogate in UTF-8", frame(0x81, "\xed\xa0\x80"), 1007},
      {"beyond UTF-8", frame(0x81, "\xf4\x90\x80\x80"), 1007},
      {"UTF-8 cut off at the end", frame(0x81, "a\xc3"), 1007},
      {"UTF-8 cut off at the end of the last fragment", frame(0x01, "a") + frame(0x80, "\xe2\x82"), 1007},
      {"invalid UTF-8 split over fragments", frame(0x01, "a\xe2") + frame(0x00, "\x28") + frame(0x80, "\xa1"), 1007},
      {"a large message", frame(0x82, std::string(1001, 'x')), 1009},
      {"a very large message", frame(0x82, std::string(100'000, 'x')), 1009},
      {"a message large in fragments", frame(0x02, std::string(600, 'x')) + frame(0x80, std::string(401, 'x')), 1009},
  };
  for (const violation& v : all) {
    SCOPED_TRACE(v.name);
    const auto [s, sent] = what_comes_of(frame(0x81, "before") + v.bytes + frame(0x81, "after") + close_frame());
    EXPECT_EQ(s.messages, std::vector<std::string>{"before"});
    EXPECT_EQ(s.end, v.code == 1009 ? "too_long" : "websocket_error");
    EXPECT_EQ(code_in(sent), v.code);
  }
  EXPECT_EQ(unhandled_counter::all(), 0) << unhandled_counter::last_task;
}

TEST_F(SpecWebsocket, CloseCodesBeyond4999AreRefused) {
  for (const std::string& code : std::vector<std::string>{"\x13\x88", "\xff\xff"}) {
    const auto [s, sent] = what_comes_of(frame(0x88, code));  // which Beast has answered with the same code by then
    EXPECT_EQ(s.end, "websocket_error");
  }
}

/// Who breaks the protocol is a peer's fault, not a mistake of this program that somebody should hear of.
TEST_F(SpecWebsocket, BrokenPeersAreNoUnhandledErrors) {
  const unhandled_counter unhandled;
  http::routes routes;
  routes.get("/talk", [](http::request& r) {
    return io::websocket::upgrade(r, [](io::websocket peer) -> task<> {
      for (;;) {
        const std::optional<io::websocket_message> m = co_await peer.receive();
        if (!m) co_return;
      }
    });
  });
  with_http_server(std::move(routes), {}, [&](http_server& server) -> task<> {
    for (const std::string& bad :
         {frame(0x81, "unmasked", false), frame(0x81, "\xff"), frame(0x82, std::string(2'000'000, 'x'))})
      static_cast<void>(co_await raw_exchange(server.at, handshake() + bad));
    io::stream s = co_await io::connect(server.at);
    co_await s.write(handshake());
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    will_reset(s.descriptor());
    s.close();
  });
  EXPECT_EQ(unhandled_counter::all(), 0) << unhandled_counter::last_task;
}

/// RFC 6455, 4.2.1: when decoded, it has 16 bytes.
TEST_F(SpecWebsocket, KeyMustHaveItsLength) {
  http::routes routes;
  routes.get("/talk",
             [](http::request& r) { return io::websocket::upgrade(r, [](io::websocket) { return nothing(); }); });
  with_http_server(std::move(routes), {}, [&](http_server& server) -> task<> {
    std::string text = handshake();
    text.replace(text.find("dGhlIHNhbXBsZSBub25jZQ=="), 24, "c2hvcnQ=");
    EXPECT_EQ(count_of(co_await raw_exchange(server.at, text), "HTTP/1.1 4"), 1) << "a key of five bytes";
  });
}

TEST_F(SpecWebsocket, EveryTruncationIsAnEndWithoutAWord) {
  const std::string bytes =
      frame(0x01, "hello ") + frame(0x89, "p") + frame(0x80, std::string(130, 'w')) + close_frame();
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const auto [s, sent] = what_comes_of(bytes.substr(0, cut), 1000, true);
    EXPECT_EQ(s.end, "closed") << cut;
    EXPECT_EQ(s.messages.size(), cut >= bytes.size() - close_frame().size() ? 1U : 0U) << cut;
  }
}

TEST_F(SpecWebsocket, HandshakesThatAreNone) {
  http::routes routes;
  int talks = 0;
  routes.get("/talk", [&](http::request& r) {
    return io::websocket::upgrade(r, [&](io::websocket) -> task<> {
      ++talks;
      co_return;
    });
  });
  with_http_server(std::move(routes), {}, [&](http_server& server) -> task<> {
    for (const char* line : {"Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Sec-WebSocket-Version: 13\r\n",
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"}) {
      std::string text = handshake();
      text.erase(text.find(line), std::string(line).size());
      const std::string got = co_await raw_exchange(server.at, text);
      EXPECT_EQ(count_of(got, "HTTP/1.1 4"), 1) << line << got;
    }
    std::string text = handshake();
    text.replace(text.find("Version: 13"), 11, "Version: 12");
    EXPECT_EQ(count_of(co_await raw_exchange(server.at, text), "HTTP/1.1 426"), 1);
  });
  EXPECT_EQ(talks, 0);
}

TEST_F(SpecWebsocket, ClientOfAServerThatBreaksTheProtocol) {
  struct one {
    const char* name;
    std::string answer, bytes, end;
  };
  for (const one& o : std::vector<one>{
           {"no upgrade", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", "websocket_error"},
           {"404", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "", "websocket_error"},
           {"a wrong key",
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n", "",
            "websocket_error"},
           {"nonsense", "nonsense\r\n\r\n", "", "websocket_error"},
           {"an endless head", "HTTP/1.1 101 X\r\nX: " + std::string(1'000'000, 'x'), "", "websocket_error"},
           {"hung up", "", "", "closed"}}) {
    SCOPED_TRACE(o.name);
    on_a_loop([&]() -> task<> {
      io::listener at = io::listen("127.0.0.1:0");
      const std::string url = "ws://" + at.local().text() + "/";
      co_await task_group::run([&](task_group& group) -> task<> {
        group.spawn([&]() -> task<> {
          io::stream s = co_await at.accept();
          static_cast<void>(co_await s.read_until("\r\n\r\n"));
          static_cast<void>(co_await how_void([&] { return s.write(o.answer); }));
        });
        const std::string end = co_await how([&] { return io::websocket::connect(url, {.handshake_limit = 20s}); });
        EXPECT_TRUE(end == o.end || (o.answer.empty() && end == "websocket_error")) << end;
      });
    });
  }
  on_a_loop([&]() -> task<> {
    for (const char* bad : {"", "http://a/", "ws://", "example.org", "ws://a:99999/"})
      EXPECT_EQ(co_await how([&] { return io::websocket::connect(bad); }), "invalid_argument") << bad;
  });
}

TEST_F(SpecWebsocket, EveryWaitCanBeEnded) {
  // the raw peer of a client shakes hands and then says and reads nothing
  const auto client = [](bool shakes, std::function<task<>(io::websocket)> use) -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const std::string url = "ws://" + at.local().text() + "/";
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        http::routes routes;
        routes.get("/", [](http::request& r) {
          return io::websocket::upgrade(r, [](io::websocket w) -> task<> {
            co_await sleep_for_ever();
            static_cast<void>(w);
          });
        });
        if (shakes) co_await http::serve(std::move(at), std::move(routes));
        co_await sleep_for_ever();
      });
      std::exception_ptr failed;
      try {
        io::websocket w = co_await io::websocket::connect(url);
        co_await use(std::move(w));
      } catch (...) {
        failed = std::current_exception();
      }
      group.stop();
      if (failed != nullptr) std::rethrow_exception(failed);
    });
  };
  expect_it_can_be_ended("the handshake", [&]() -> task<> { co_await client(false, nullptr); });
  expect_it_can_be_ended("receive", [&]() -> task<> {
    co_await client(true, [](io::websocket w) -> task<> { static_cast<void>(co_await w.receive()); });
  });
  expect_it_can_be_ended("send", [&]() -> task<> {
    co_await client(true, [](io::websocket w) -> task<> {
      const std::string much(1'000'000, 'x');
      for (;;) co_await w.send(much);
    });
  });
  expect_it_can_be_ended("close", [&]() -> task<> {
    co_await client(true, [](io::websocket w) -> task<> { co_await w.close(1000, "", io::no_limit); });
  });
}

}  // namespace
