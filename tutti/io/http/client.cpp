#include <tutti/io/http/client.hpp>

#include <tutti/io/http/client_state.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace tutti::io::http {

namespace detail {

void throw_named(const std::exception_ptr& failed, const std::string& method, const std::string& url, const char* phase,
                 int status) {
  const auto words = [&](const std::exception& e) {
    return fmt::format("{} {}: {}: {}", method, url, phase, e.what());
  };
  try {
    std::rethrow_exception(failed);
  } catch (const cancelled&) {
    throw;
  } catch (const http_error&) {
    throw;
  } catch (const timed_out& e) {
    throw timed_out(words(e));
  } catch (const too_long& e) {
    throw too_long(words(e));
  } catch (const error& e) {
    throw http_error(words(e), url, phase, status, failed);
  }  // others are not the connection's: what a body's source throws
}

void dispose_of_answer::operator()(open_answer* a) const noexcept { delete a; }

task<std::size_t> open_answer::read(mutable_buffer room) {
  if (body.at_end() || room.empty()) co_return std::size_t{0};
  place.check_loop();
  std::exception_ptr failed;
  std::size_t n = 0;
  try {
    n = co_await body.read_some(room);
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed != nullptr) {
    place.drop();
    body = {};
    throw_named(failed, method, url, "reading the body", head.status);
  }
  if (body.at_end()) finished();
  co_return n;
}

void open_answer::finished() {
  // What comes without being asked for is no answer to the next request.
  if (reusable && head.keep_alive && !place.wire().has_input()) {
    place.keep();
  } else {
    place.drop();
  }
  body = {};
}

}  // namespace detail

int incoming::status() const noexcept { return answer_->head.status; }
const fields& incoming::headers() const noexcept { return answer_->head.headers; }
const std::string& incoming::url() const noexcept { return answer_->url; }

std::optional<std::uint64_t> incoming::size() const noexcept {
  switch (answer_->head.body) {
    case detail::framing::none: return 0;
    case detail::framing::length: return answer_->head.length;
    default: return std::nullopt;
  }
}

void incoming::throw_if_error() const {
  if (status() >= 400) detail::throw_answered(answer_->method, url(), status());
}

task<std::size_t> incoming::read_some(mutable_buffer room) { return answer_->read(room); }

stream incoming::takeover() {
  if (answer_->head.status != 101 || !answer_->place)
    throw std::logic_error(fmt::format("{} {}: takeover after an answer with status {}: 101 gives its connection, once",
                                       answer_->method, answer_->url, answer_->head.status));
  stream given = answer_->place.wire().release();
  answer_->place.drop();
  return given;
}

task<std::string> incoming::read_all(std::size_t most) {
  detail::open_answer& from = *answer_;
  std::exception_ptr failed;
  std::string all;
  try {
    if (size().value_or(0) > most)
      throw too_long(fmt::format("the body has {} bytes, more than the limit of {}", *size(), most));
    constexpr std::size_t piece = 16384, believed = 1U << 20;  // who announces much may not send it
    std::size_t used = 0;
    for (;;) {
      if (used == all.size()) {
        const std::size_t known = std::min<std::uint64_t>(size().value_or(piece), believed);
        all.resize(used + std::max<std::size_t>(used == 0 ? known : used, 1));
      }
      const std::size_t n = co_await from.read(mutable_buffer(all.data() + used, all.size() - used));
      if (n == 0) break;
      used += n;
      if (used > most) throw too_long(fmt::format("the body has more than the limit of {} bytes", most));
    }
    all.resize(used);
  } catch (const too_long&) {
    failed = std::current_exception();
  }
  if (failed != nullptr) {
    from.place.drop();
    from.body = {};
    detail::throw_named(failed, from.method, from.url, "reading the body", from.head.status);
  }
  co_return all;
}

client::client(const client_options& options, std::optional<tls_context> trust) {
  if (options.max_per_host < 1 || options.max_redirects < 0 || options.max_head < 64)
    throw std::invalid_argument(
        fmt::format("http::client: max_per_host {} is to be 1 at least, max_head {} 64 at least, max_redirects {} not "
                    "negative",
                    options.max_per_host, options.max_head, options.max_redirects));
  state_ = std::make_shared<detail::client_state>(
      detail::client_state{options, std::string(options.user_agent), std::move(trust),
                           std::make_shared<detail::pool>(options.max_per_host, options.max_idle, options.idle_limit)});
  fields().add("User-Agent", state_->user_agent);  // throws for one that is none
  state_->options.user_agent = {};
}

task<incoming> client::open(client_request what) { return detail::open(state_, std::move(what)); }

namespace {

task<response> in_memory(std::shared_ptr<detail::client_state> state, client_request what) {
  incoming from = co_await detail::open(state, std::move(what));
  response made(from.status());
  made.body = co_await from.read_all(state->options.max_body);
  made.headers = std::move(from.answer().head.headers);
  made.method = std::move(from.answer().method);
  made.url = std::move(from.answer().url);
  co_return made;
}

}  // namespace

task<response> client::request(client_request what) { return in_memory(state_, std::move(what)); }

task<response> client::get(std::string url) { return in_memory(state_, client_request(std::move(url))); }

task<response> client::post(std::string url, std::string body, std::string type) {
  client_request what(std::move(url), "POST");
  what.body = std::move(body);
  what.headers.set("Content-Type", type);
  return in_memory(state_, std::move(what));
}

std::size_t client::idle_connections() const noexcept { return state_->connections->idle(); }

}  // namespace tutti::io::http
