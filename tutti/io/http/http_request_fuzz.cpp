// http_request_fuzz: bytes of any origin are messages or refused, the same in one piece and in many; whatever a client
// sends, its connection ends.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tutti/base/init.hpp>
#include <tutti/io/http/parser.hpp>
#include <tutti/io/http/server_session.hpp>
#include <tutti/io/http/url.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <vector>

namespace {

namespace io = tutti::io;
namespace http = tutti::io::http;
using http::detail::message_head;
using http::detail::parser;

// What was understood, as text.
struct outcome {
  std::string messages;
  bool refused = false;
  friend bool operator==(const outcome&, const outcome&) = default;
};

void describe(const message_head& head, std::string& to) {
  to += head.method + ' ' + head.target + ' ' + std::to_string(head.status) + ' ' + std::to_string(head.version) +
        (head.keep_alive ? " keep" : " close") + (head.expects_continue ? " awaits" : "") + '\n';
  for (const auto [name, value] : head.headers) {
    http::fields checked;
    checked.add(name, value);  // throws what would be a hole: what is understood can be sent on as it is
    to.append(name).append("=").append(value).append("\n");
  }
  if (head.length > parser::no_end / 2) std::abort();
}

// Gives the parser `piece` bytes more at a time, as a connection does.
outcome read_all(std::string_view bytes, parser::of what, bool answers_head, std::size_t piece, std::size_t most) {
  outcome found;
  parser p(what, most);
  std::size_t begin = 0, end = 0;
  std::array<char, 7> room;
  try {
    for (;;) {
      message_head head;
      const std::size_t start = begin;
      p.begin(answers_head);
      for (;;) {
        const parser::step done = p.head(bytes.substr(begin, end - begin), head);
        if (done.used > end - begin) std::abort();
        begin += done.used;
        if (done.complete) break;
        if (end == bytes.size()) {
          found.refused = start != end;  // half a head
          return found;
        }
        end = std::min(end + piece, bytes.size());
      }
      describe(head, found.messages);
      while (!p.is_complete()) {
        const parser::step done = p.body(bytes.substr(begin, end - begin), room);
        if (done.used > end - begin || done.put > room.size()) std::abort();
        begin += done.used;
        found.messages.append(room.data(), done.put);
        if (done.complete != p.is_complete()) std::abort();
        if (done.complete || done.put != 0) continue;
        if (end == bytes.size()) {
          p.end();
          if (!p.is_complete()) std::abort();
          break;
        }
        end = std::min(end + piece, bytes.size());
      }
      found.messages += "\n--\n";
    }
  } catch (const http::bad_message& e) {
    if (e.status() < 400 || e.status() > 599) std::abort();
    found.refused = true;
  } catch (const tutti::closed&) {
    found.refused = true;
  }
  return found;
}

void read_in_pieces(std::string_view bytes, parser::of what, bool answers_head, std::size_t piece) {
  constexpr std::size_t enough = 16384, little = 100;
  const outcome whole = read_all(bytes, what, answers_head, bytes.size() + 1, enough);
  const outcome parts = read_all(bytes, what, answers_head, piece, enough);
  // Where something is refused depends on how much was there; what comes before it does not.
  if (whole.refused != parts.refused || (!whole.refused && whole != parts)) std::abort();
  static_cast<void>(read_all(bytes, what, answers_head, piece, little));
}

void urls(std::string_view text) {
  try {
    const http::url once = http::url::parse(text);
    if (http::url::parse(once.text()).text() != once.text()) std::abort();
    if (http::url::resolve(once, once.text()).text() != once.text()) std::abort();
  } catch (const std::invalid_argument&) {
  }
  static const http::url base = http::url::parse("http://u:p@a/b/c/d;p?q");
  try {
    const http::url found = http::url::resolve(base, text);
    const std::string target = found.target();
    // It stands in a request's first line.
    if (target.empty() || target[0] != '/' ||
        !std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < 127; }))
      std::abort();
    http::fields().add("Host", found.authority());
  } catch (const std::invalid_argument& e) {
    if (std::string_view(e.what()).starts_with("HTTP header")) std::abort();
  }
  static_cast<void>(http::parse_query(text));
}

std::shared_ptr<const http::detail::server_state> echo_server() {
  http::routes r;
  r.any("/{all...}", [](http::request& q) -> tutti::task<http::response> {
    const std::string body = co_await q.read_body();
    co_return http::response(q.param("all") + body);
  });
  r.get("/plain", [](http::request&) { return http::response("plain"); });
  r.get("/chunks/{n}", [](http::request& q) {
    return http::response::stream([n = q.param("n")](http::body_writer& to) -> tutti::task<> { co_await to.write(n); });
  });
  return std::make_shared<http::detail::server_state>(
      http::detail::server_state{r.table(), {.max_head = 512, .max_body = 256}, {}, {}});
}

void serve(std::string_view bytes) {
  static const auto server = echo_server();
  const auto work = [&]() -> tutti::task<> {
    auto ends = io::stream_pair();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(http::detail::serve_connection(std::move(ends.first), server));
      co_await ends.second.write(bytes);
      co_await ends.second.shutdown_write();
      static_cast<void>(co_await ends.second.read_all(1U << 24U));
    });
  };
  try {
    io::run(work());
  } catch (const tutti::os_error&) {  // closed on us
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t piece = std::size_t{1} + data[1] % 16;
  // What random bytes seldom begin with.
  static const std::string get = "GET /a HTTP/1.1\r\nHost: x\r\n", answer = "HTTP/1.1 200 OK\r\n",
                           chunks = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  switch (data[0] % 10) {
    case 0: read_in_pieces(bytes, parser::of::requests, false, piece); break;
    case 1: read_in_pieces(bytes, parser::of::responses, false, piece); break;
    case 2: read_in_pieces(bytes, parser::of::responses, true, piece); break;
    case 3: read_in_pieces(get + std::string(bytes), parser::of::requests, false, piece); break;
    case 4: read_in_pieces(answer + std::string(bytes), parser::of::responses, false, piece); break;
    case 5: read_in_pieces(chunks + std::string(bytes), parser::of::requests, false, piece); break;
    case 6: serve(bytes); break;
    case 7: serve(get + std::string(bytes)); break;
    case 8: serve(chunks + std::string(bytes)); break;
    default: urls(bytes);
  }
  return 0;
}
