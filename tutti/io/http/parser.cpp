#include <tutti/io/http/parser.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>

#include <boost/beast/http/basic_parser.hpp>

namespace tutti::io::http::detail {
namespace {

namespace beast = boost::beast;
using beast::http::error;

constexpr const char* in_which[] = {"HTTP request", "HTTP response"};

}  // namespace

// Beast's parser, and what it found.
struct parser::machine {
  virtual ~machine() = default;
  virtual void start(bool skip_body, std::size_t most) = 0;
  virtual std::size_t put(std::string_view bytes, beast::error_code& failed) = 0;
  virtual bool head_is_done() const = 0;
  virtual void take_framing(message_head& into) const = 0;

  [[noreturn]] void refuse(const std::string& why, int status = 400) const {
    throw bad_message(fmt::format("{}: {}", in_which[requests ? 0 : 1], why), status);
  }
  void add(beast::http::field id, std::string_view name, std::string_view value);
  void check_head();

  bool requests = true;
  message_head* into = nullptr;  // while a head is read
  std::string_view bytes;        // that are being read
  mutable_buffer room;           // for the body's
  std::size_t put_there = 0;
  std::uint64_t chunk_left = 0;
  std::size_t extensions = 0;  // bytes that chunks have beside their data
  std::size_t most = 0;
  int hosts = 0;
  bool chunked = false, complete = false;
};

void parser::machine::add(beast::http::field id, std::string_view name, std::string_view value) {
  // Whoever reads a folded line as two, or as one, reads another message. Beast has unfolded it: then the value lies
  // elsewhere, or behind a line's end.
  const char* const behind = name.data() + name.size();
  const std::less<> before;
  if (before(value.data(), behind) || !before(value.data(), bytes.data() + bytes.size()) ||
      std::memchr(behind, '\n', static_cast<std::size_t>(value.data() - behind)) != nullptr)
    refuse(fmt::format("header {} goes on in the next line", name));
  if (into == nullptr) return;  // a trailer: nobody may add to the header when the head was judged already
  switch (id) {
    case beast::http::field::host: ++hosts; break;
    case beast::http::field::transfer_encoding:
      if (!same_word(value, "chunked"))
        refuse(fmt::format("Transfer-Encoding {:?}: only \"chunked\" is known", value), requests ? 501 : 400);
      chunked = true;
      break;
    case beast::http::field::expect:
      if (same_word(value, "100-continue")) {
        into->expects_continue = true;
      } else if (requests) {
        refuse(fmt::format("Expect {:?}: only \"100-continue\" is known", value), 417);
      }
      break;
    default: break;
  }
  into->headers.add_checked(name, value);
}

void parser::machine::check_head() {
  if (chunked && into->version < 11) refuse("Transfer-Encoding in HTTP/1.0");
  if (!requests) return;
  if (hosts > 1) refuse("several Host headers");
  if (hosts == 0 && into->version >= 11) refuse("no Host header");
  if (into->version < 11) into->expects_continue = false;
}

template <bool Requests>
struct parser::machine_of final : machine {
  class beast_parser final : public beast::http::basic_parser<Requests> {
    using base = beast::http::basic_parser<Requests>;

   public:
    explicit beast_parser(machine& owner) : owner_(owner) {}

   private:
    using error_code = beast::error_code;
    using text = beast::string_view;
    static std::string_view view(text t) noexcept { return {t.data(), t.size()}; }

    void on_request_impl(beast::http::verb, text method, text target, int version, error_code&) override {
      owner_.into->method.assign(method.data(), method.size());
      owner_.into->target.assign(target.data(), target.size());
      owner_.into->version = version;
    }
    void on_response_impl(int code, text, int version, error_code&) override {
      owner_.into->status = code;
      owner_.into->version = version;
    }
    void on_field_impl(beast::http::field id, text name, text value, error_code&) override {
      owner_.add(id, view(name), view(value));
    }
    void on_header_impl(error_code&) override { owner_.check_head(); }
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(text body, error_code&) override { return take(body); }
    void on_chunk_header_impl(std::uint64_t size, text extensions, error_code&) override {
      owner_.chunk_left = size;
      // Chunks of one byte with long extensions would make a small body a large one for others to read.
      owner_.extensions += extensions.size();
      if (owner_.extensions > owner_.most) owner_.refuse("too many chunk extensions");
    }
    std::size_t on_chunk_body_impl(std::uint64_t, text body, error_code&) override {
      const std::size_t n = take(body);
      owner_.chunk_left -= n;
      return n;
    }
    void on_finish_impl(error_code&) override { owner_.complete = true; }

    std::size_t take(text body) {
      const std::size_t n = std::min(body.size(), owner_.room.size());
      if (n != 0) std::memcpy(owner_.room.data(), body.data(), n);
      owner_.room = owner_.room.behind(n);
      owner_.put_there += n;
      return n;
    }

    machine& owner_;
  };

  machine_of() { requests = Requests; }
  void start(bool skip_body, std::size_t limit) override {
    beast_parser& p = beast_.emplace(*this);
    p.header_limit(static_cast<std::uint32_t>(std::min<std::size_t>(limit, 1U << 30)));
    p.body_limit(boost::none);
    if (skip_body) p.skip(true);
    extensions = 0;
    chunk_left = 0;
    most = limit;
    hosts = 0;
    chunked = complete = false;
  }
  std::size_t put(std::string_view all, beast::error_code& failed) override {
    return beast_->put(boost::asio::const_buffer(all.data(), all.size()), failed);
  }
  bool head_is_done() const override { return beast_->is_header_done(); }
  void take_framing(message_head& head) const override {
    head.keep_alive = beast_->keep_alive();
    head.length = 0;
    if (complete) {
      head.body = framing::none;
    } else if (beast_->chunked()) {
      head.body = framing::chunked;
    } else if (const auto length = beast_->content_length(); length.has_value()) {
      head.body = framing::length;
      head.length = *length;
    } else {
      head.body = framing::to_end;
    }
  }

  std::optional<beast_parser> beast_;
};

parser::parser(of what, std::size_t most) : most_(most) {
  if (what == of::requests) {
    machine_ = std::make_unique<machine_of<true>>();
  } else {
    machine_ = std::make_unique<machine_of<false>>();
  }
}

parser::~parser() = default;

void parser::begin(bool answers_head) {
  machine_->start(answers_head, most_);
  head_size_ = 0;
  plain_left_ = 0;
  body_ = framing::none;
  complete_ = false;
}

parser::step parser::head(std::string_view bytes, message_head& into) {
  machine& m = *machine_;
  step done;
  if (head_size_ == 0) {
    into.headers.clear();
    into.expects_continue = false;
    // Some clients send an empty line behind a body.
    while (m.requests && bytes.substr(done.used).starts_with("\r\n")) done.used += 2;
    if (m.requests && bytes.substr(done.used) == "\r") return done;
  }
  m.into = &into;
  m.bytes = bytes.substr(done.used);
  if (m.bytes.empty()) return done;
  beast::error_code failed;
  const std::size_t used = m.put(m.bytes, failed);
  m.into = nullptr;
  done.used += used;
  head_size_ += used;
  if (head_size_ > most_ || failed == error::header_limit ||
      (failed == error::need_more && head_size_ + bytes.size() - done.used >= most_))
    m.refuse(fmt::format("the head has more than {} bytes", most_), 431);
  if (failed == error::need_more) return done;
  if (failed) m.refuse(failed.message());
  if (!m.head_is_done()) return done;
  m.take_framing(into);
  if (into.length > no_end / 2) m.refuse("Content-Length: more than there can be");
  body_ = into.body;
  plain_left_ = body_ == framing::length ? into.length : body_ == framing::to_end ? no_end : 0;
  complete_ = body_ == framing::none;
  done.complete = true;
  return done;
}

void parser::skip(std::uint64_t bytes) noexcept {
  if (plain_left_ == no_end) return;
  plain_left_ -= bytes;
  complete_ = plain_left_ == 0;
}

parser::step parser::body(std::string_view bytes, mutable_buffer room) {
  step done{.used = 0, .put = 0, .complete = complete_};
  if (complete_) return done;
  if (body_ != framing::chunked) {
    done.put = std::min<std::uint64_t>({bytes.size(), room.size(), plain_left_});
    if (done.put != 0) std::memcpy(room.data(), bytes.data(), done.put);
    done.used = done.put;
    skip(done.put);
    done.complete = complete_;
    return done;
  }
  machine& m = *machine_;
  m.room = room;
  m.put_there = 0;
  // Where a chunk begins, at least "0\r\n\r\n" is to come; Beast asserts that it has that when it comes back to it.
  const auto enough = [&](std::size_t left) { return left >= (m.chunk_left == 0 ? 5U : 1U); };
  while (enough(bytes.size() - done.used) && !m.complete) {
    m.bytes = bytes.substr(done.used);
    beast::error_code failed;
    const std::size_t used = m.put(m.bytes, failed);
    done.used += used;
    if (failed == error::need_more) {
      if (bytes.size() - done.used >= most_)
        m.refuse(fmt::format("a chunk's size, or the trailer, has more than {} bytes", most_));
      break;
    }
    if (failed) m.refuse(failed.message());
    if (used == 0) break;  // no room
  }
  done.put = m.put_there;
  complete_ = done.complete = m.complete;
  return done;
}

void parser::end() {
  if (complete_) return;
  if (body_ != framing::to_end) throw closed("HTTP: the connection was closed within the body");
  complete_ = true;
}

}  // namespace tutti::io::http::detail
