// One request of a client: connecting, sending, the answer's head, and redirects.
#include <tutti/io/connect.hpp>
#include <tutti/io/helpers.hpp>
#include <tutti/io/http/client_state.hpp>
#include <tutti/task/task_group.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include <openssl/evp.h>

namespace tutti::io::http::detail {
namespace {

using io::detail::until;

std::string base64(const std::string& text) {
  std::string encoded(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int n = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                  reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  encoded.resize(static_cast<std::size_t>(n));
  return encoded;
}

bool may_be_sent_twice(std::string_view method) noexcept {
  for (const std::string_view safe : {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
    if (method == safe) return true;
  return false;
}

bool is_redirect(int status) noexcept {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Appends a request's head. Whether its body is to be sent in chunks.
bool put_request(std::string& out, const client_state& state, const client_request& what, const url& to) {
  out.append(what.method).append(" ").append(to.target()).append(" HTTP/1.1\r\n");
  if (!what.headers.contains("Host")) put_field(out, "Host", to.authority());
  if (!state.user_agent.empty() && !what.headers.contains("User-Agent")) put_field(out, "User-Agent", state.user_agent);
  if (!what.headers.contains("Accept")) put_field(out, "Accept", "*/*");
  if (to.has_user() && !what.headers.contains("Authorization"))
    put_field(out, "Authorization", "Basic " + base64(to.user() + ':' + to.password()));
  if (put_fields(out, what.headers)) put_field(out, "Connection", "close");
  const bool chunked = what.source != nullptr && !what.size;
  if (chunked) {
    put_field(out, "Transfer-Encoding", "chunked");
  } else if (what.source != nullptr) {
    put_field(out, "Content-Length", *what.size);
  } else if (!what.body.empty() || what.method == "POST" || what.method == "PUT" || what.method == "PATCH") {
    put_field(out, "Content-Length", what.body.size());
  }
  out += "\r\n";
  return chunked;
}

bool is_broken(const std::exception_ptr& failed) noexcept {
  try {
    std::rethrow_exception(failed);
  } catch (const os_error&) {
    return true;
  } catch (...) {
    return false;
  }
}

// One request on one connection.
struct exchange {
  const client_state& state;
  const client_request& what;
  const url& to;
  open_answer& answer;
  const char* phase = "sending";
  bool heard = false;  // something of the answer has come
  int interim = 0;     // answers that are none yet

  task<> send() {
    connection& wire = answer.place.wire();
    const bool chunked = put_request(wire.out, state, what, to);
    if (what.source != nullptr) {
      body_writer body(wire, what.size, chunked);
      co_await what.source(body);
      body.finish();
    } else {
      co_await wire.write(what.body);
    }
    if (!wire.out.empty()) co_await wire.flush();
  }

  // Awaits the answer's head; goes on where an earlier call was ended.
  task<> hear(until end) {
    connection& wire = answer.place.wire();
    for (; interim < 100; ++interim) {
      while (!wire.try_head(answer.head)) {
        const std::size_t n = co_await wire.io().read_some(wire.room(), end.left());
        if (n == 0)
          throw closed(fmt::format("{} closed the connection {}", wire.io().describe(),
                                   heard ? "within the head of the answer" : "without an answer"));
        heard = true;
        wire.took(n);
      }
      // 100 Continue and the like; 101 is an answer, after which something else than HTTP is spoken.
      if (answer.head.status >= 200 || answer.head.status == 101) co_return;
      wire.begin(what.method == "HEAD");
    }
    throw bad_message("HTTP response: 100 interim answers, but none that is final", 400);
  }

  // One who answers while he reads, for whom the rest is still sent.
  bool goes_on() const noexcept { return answer.head.status < 300; }

  // Sends, and listens meanwhile: who does not want what is sent may say so, and read no more of it. What went wrong
  // with sending; the answer's head may be there.
  task<std::exception_ptr> send_and_listen(bool& answered) {
    std::exception_ptr not_sent, not_heard;
    bool sent = false;
    co_await task_group::run([&](task_group& both) -> task<> {
      both.spawn([&]() -> task<> {
        try {
          co_await send();
          sent = true;
        } catch (...) {
          not_sent = std::current_exception();
        }
        both.stop();
      });
      both.spawn([&]() -> task<> {
        bool go_on = false;
        try {
          co_await hear(answer.total);
          answered = true;
          go_on = goes_on();
        } catch (const cancelled&) {
        } catch (...) {
          not_heard = std::current_exception();
        }
        if (!go_on) both.stop();
      });
      co_return;
    });
    if (sent) co_return nullptr;
    if (answered || not_heard == nullptr) co_return not_sent;
    co_return not_heard;
  }

  task<> run() {
    connection& wire = answer.place.wire();
    wire.set_progress(state.options.progress_limit);
    wire.set_deadline(answer.total);
    wire.begin(what.method == "HEAD");
    std::exception_ptr failed;
    bool answered = false;
    if (what.source != nullptr || what.body.size() > connection::most_gathered) {
      failed = co_await send_and_listen(answered);
    } else {
      try {
        co_await send();
      } catch (...) {
        failed = std::current_exception();
      }
    }
    if (failed != nullptr) {
      answer.reusable = false;
      wire.out.clear();
      // A source that fails by itself fails the request, unless nobody wants it any more.
      const bool broken = is_broken(failed);
      if (!answered && broken) answered = co_await has_answered();
      if (!answered || (!broken && goes_on())) std::rethrow_exception(failed);
    }
    if (answered) co_return;
    phase = "awaiting the answer";
    co_await hear(until(sooner(state.options.head_limit, answer.total.left())));
  }

  // Who does not want to hear more may have said why before the connection broke.
  task<bool> has_answered() {
    try {
      co_await hear(until(sooner(state.options.head_limit, answer.total.left())));
      co_return true;
    } catch (const cancelled&) {
      throw;
    } catch (const error&) {
      co_return false;
    }
  }
};

task<std::unique_ptr<connection>> connect_to(std::shared_ptr<client_state> state, url to, until end) {
  stream s;
  if (to.scheme() == "https") {
    if (!state->trust) {  // which reads files
      auto read = io::detail::helpers().submit([] { return tls_context(); });
      state->trust = co_await std::move(read);
    }
    s = co_await connect_tls(to.place(), *state->trust, connect_options{.limit = end.left()});
  } else {
    s = co_await connect(to.place(), connect_options{.limit = end.left()});
  }
  co_return std::make_unique<connection>(std::move(s), parser::of::responses, state->options.max_head,
                                         state->options.progress_limit);
}

// Without free descriptors those of connections that nobody uses are to be had.
task<std::unique_ptr<connection>> connect_or_make_room(std::shared_ptr<client_state> state, url to, until end) {
  try {
    co_return co_await connect_to(state, to, end);
  } catch (const os_error& e) {
    if ((e.code() != EMFILE && e.code() != ENFILE) || !state->connections->drop_idle()) throw;
  }
  co_return co_await connect_to(state, to, end);
}

// One request, whatever the answer.
task<std::unique_ptr<open_answer>> ask(std::shared_ptr<client_state> state, const client_request& what, url to,
                                       until total) {
  const char* phase = "connecting";
  std::exception_ptr failed;
  auto answer = std::make_unique<open_answer>();
  answer->method = what.method;
  answer->url = to.text();
  answer->total = total;
  try {
    if (to.scheme() != "http" && to.scheme() != "https")
      throw std::invalid_argument(fmt::format("URL {:?}: its scheme is neither http nor https", to.text()));
    if (!is_token(what.method))
      throw std::invalid_argument(fmt::format("http::client: {:?} is no method: \"GET\", \"POST\", ...", what.method));
    until end(sooner(state->options.connect_limit, total.left()));
    answer->place = co_await state->connections->take(to.origin(), end.left());
    bool reused = answer->place.reuse();
    for (;;) {
      phase = "connecting";
      if (!reused) {
        std::unique_ptr<connection> wire = co_await connect_or_make_room(state, to, end);
        answer->place.connected(std::move(wire));
      }
      exchange one{.state = *state, .what = what, .to = to, .answer = *answer};
      std::exception_ptr broken;
      try {
        co_await one.run();
      } catch (const os_error&) {
        broken = std::current_exception();
      } catch (const closed&) {
        broken = std::current_exception();
      } catch (const tls_error&) {  // closed without TLS's words for it
        broken = std::current_exception();
      } catch (...) {
        phase = one.phase;
        throw;
      }
      if (broken == nullptr) break;
      phase = one.phase;
      answer->place.close();
      if (!reused || one.heard || !may_be_sent_twice(what.method)) std::rethrow_exception(broken);
      reused = false;
      answer->reusable = true;
      end = until(sooner(state->options.connect_limit, total.left()));
    }
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed != nullptr) {
    answer->place.drop();
    throw_named(failed, what.method, to.text(), phase, 0);
  }
  if (answer->head.status == 101) co_return answer;  // the connection is for who takes it over
  answer->body = body_reader(answer->place.wire(), answer->head, parser::no_end);
  if (answer->body.at_end()) answer->finished();
  co_return answer;
}

// Where it is sent on to, if it is; changes the request to what is asked there.
std::optional<url> redirected(const client_options& options, const open_answer& answer, const url& from,
                              client_request& what) {
  const int status = answer.head.status;
  const auto location = answer.head.headers.get("Location");
  if (options.max_redirects == 0 || !is_redirect(status) || !location) return std::nullopt;
  const auto refuse = [&](const std::string& why, const std::exception_ptr& cause) {
    throw http_error(fmt::format("{} {}: redirecting: {}", what.method, from.text(), why), from.text(), "redirecting",
                     status, cause);
  };
  std::optional<url> to;
  try {
    to = url::resolve(from, *location);
  } catch (const std::invalid_argument& e) {
    refuse(e.what(), std::current_exception());
  }
  if (to->scheme() != "http" && to->scheme() != "https") refuse("to the scheme " + to->scheme(), nullptr);
  if (from.scheme() == "https" && to->scheme() == "http" && !options.allow_downgrade)
    refuse(fmt::format("to {}, where all can be overheard: allow it with client_options::allow_downgrade", to->text()),
           nullptr);
  if (to->origin() == from.origin()) {
    if (!to->has_user()) to->take_user(from);
  } else {
    for (const char* secret : {"Authorization", "Cookie", "Proxy-Authorization", "Host"}) what.headers.erase(secret);
  }
  if ((status == 303 && what.method != "HEAD") || ((status == 301 || status == 302) && what.method == "POST")) {
    what.method = "GET";
    what.body.clear();
    what.source = nullptr;
    for (const char* of_body : {"Content-Type", "Content-Encoding", "Content-Language", "Content-Location"})
      what.headers.erase(of_body);
  }
  return to;
}

}  // namespace

task<incoming> open(std::shared_ptr<client_state> state, client_request what) {
  state->connections->check_loop();
  until total(state->options.total_limit);
  url to = url::parse(what.url);
  std::set<std::string> seen;
  for (int redirects = 0;; ++redirects) {
    seen.insert(what.method + ' ' + to.origin() + to.target());
    std::unique_ptr<open_answer> answer = co_await ask(state, what, to, total);
    std::optional<url> next = redirected(state->options, *answer, to, what);
    if (!next) co_return incoming(answer.release());
    const bool loops = seen.contains(what.method + ' ' + next->origin() + next->target());
    if (loops || redirects == state->options.max_redirects)
      throw http_error(fmt::format("{} {}: redirecting: {}", what.method, to.text(),
                                   loops ? fmt::format("to {}, where it was before", next->text())
                                         : fmt::format("more than {} times", state->options.max_redirects)),
                       to.text(), "redirecting", answer->head.status, nullptr);
    // A small body is read, for the connection's sake.
    std::array<char, 4096> dropped;
    for (std::size_t left = 65536; !answer->body.at_end();) {
      const std::size_t n = co_await answer->read(dropped);
      if (n > left) break;
      left -= n;
    }
    to = *std::move(next);
  }
}

}  // namespace tutti::io::http::detail
