#include <tutti/io/websocket.hpp>

#include <tutti/core/home.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/http/url.hpp>
#include <tutti/io/inside/asio_wait.hpp>
#include <tutti/io/inside/websocket_checks.hpp>
#include <tutti/io/inside/websocket_end.hpp>
#include <tutti/io/until.hpp>
#include <tutti/sync/event.hpp>

#include <fmt/format.h>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket.hpp>

#include <stdexcept>

namespace tutti::io {

namespace detail {

namespace beast = boost::beast;
namespace ws = beast::websocket;

// All on the loop's thread. Coroutines on it have a part in it: the websocket may be gone before they begin.
class websocket_body {
 public:
  using ptr = std::shared_ptr<websocket_body>;

  websocket_body(byte_stream_ptr connection, const websocket_options& options)
      : loop_(connection->where()),
        reactor_(reactor::of(loop_).shared_from_this()),
        remote_(connection->remote()),
        name_(connection->describe()),
        options_(options),
        protocol_(options.protocol),
        stream_(std::move(connection)) {
    options_.protocol = {};
    stream_.read_message_max(options.max_message);
    ws::stream_base::timeout limits{ws::stream_base::none(), ws::stream_base::none(), false};
    if (options.silence != no_limit) {
      limits.idle_timeout = std::chrono::duration_cast<ws::stream_base::duration>(options.silence.left());
      limits.keep_alive_pings = true;
    }
    stream_.set_option(limits);
  }

  // ---------------------------------------------------------------- the beginning

  static task<> ask(ptr self, std::string host, std::string target) {
    websocket_body& me = *self;
    if (!me.protocol_.empty()) {
      me.stream_.set_option(ws::stream_base::decorator(
          [&me](ws::request_type& asked) { asked.set(beast::http::field::sec_websocket_protocol, me.protocol_); }));
    }
    ws::response_type answer;
    auto begin = [&](auto handler) { me.stream_.async_handshake(answer, host, target, std::move(handler)); };
    asio_wait shaking("connect", me.beneath(), "the websocket handshake with " + me.name_, me.options_.handshake_limit,
                      begin);
    const boost::system::error_code failed = co_await shaking;
    if (failed == ws::error::upgrade_declined)
      throw websocket_error(fmt::format("{} wants no websocket at \"{}\": it answered {} {}", me.name_, target,
                                        answer.result_int(), std::string(answer.reason())));
    me.check(failed, "the websocket handshake with " + me.name_);
  }

  static task<> answer(ptr self, const http::request& asked) {
    websocket_body& me = *self;
    beast::http::request<beast::http::empty_body> request;
    request.version(static_cast<unsigned>(asked.version()));
    request.method_string(asked.method());
    request.target(asked.target());
    for (const auto& field : asked.headers()) request.insert(field.name, field.value);
    if (!ws::is_upgrade(request))
      throw websocket_error(me.name_ + " asks for no websocket: its request has not the headers for that");
    if (!me.protocol_.empty() && asked.headers().has_token("Sec-WebSocket-Protocol", me.protocol_)) {
      me.stream_.set_option(ws::stream_base::decorator(
          [&me](ws::response_type& given) { given.set(beast::http::field::sec_websocket_protocol, me.protocol_); }));
    }
    auto begin = [&](auto handler) { me.stream_.async_accept(request, std::move(handler)); };
    asio_wait accepting("accept", me.beneath(), "the websocket handshake with " + me.name_, me.options_.handshake_limit,
                        begin);
    const boost::system::error_code failed = co_await accepting;
    me.check(failed, "the websocket handshake with " + me.name_);
  }

  // ---------------------------------------------------------------- messages

  // Beast's read cannot be taken up again once it was ended early: so it goes on, and who waits for it may leave.
  static task<std::optional<websocket_message>> receive(ptr self, time_limit limit) {
    websocket_body& me = *self;
    me.check_here("receive");
    const in_use one_at_a_time(me.receiving_, "receive", me.name_);
    if (me.ended_) co_return std::nullopt;
    if (!me.reading_ && !me.arrived_.is_set()) read(self);
    const bool in_time = co_await me.arrived_.wait_for_async(limit);
    if (!in_time)
      throw timed_out(fmt::format("a message from {} took longer than the limit of {}", me.name_, in_words(limit)));
    if (me.read_error_ == ws::error::closed) {
      if (const std::uint16_t code = me.stream_.reason().code; code > 4999)
        throw websocket_error(
            fmt::format("receiving from {}: it closed the connection with {}, which is no code", me.name_, code));
      me.ended_ = true;
      co_return std::nullopt;
    }
    me.check(me.read_error_, "receiving from " + me.name_);  // and so from now on
    me.arrived_.clear();
    websocket_message message{beast::buffers_to_string(me.buffer_.data()), me.stream_.got_binary()};
    me.buffer_.consume(me.buffer_.size());
    co_return message;
  }

  static task<> send(ptr self, bool binary, const_buffer bytes, time_limit limit) {
    websocket_body& me = *self;
    me.check_here("send");
    const in_use one_at_a_time(me.sending_, "send", me.name_);
    me.stream_.binary(binary);
    auto begin = [&](auto handler) {
      me.stream_.async_write(asio::buffer(bytes.data(), bytes.size()), std::move(handler));
    };
    asio_wait writing("send", me.beneath(), "sending to " + me.name_, limit, begin);
    const boost::system::error_code failed = co_await writing;
    me.check(failed, "sending to " + me.name_);
  }

  static task<> ping(ptr self, time_limit limit) {
    websocket_body& me = *self;
    me.check_here("ping");
    const in_use one_at_a_time(me.pinging_, "ping", me.name_);
    auto begin = [&](auto handler) { me.stream_.async_ping({}, std::move(handler)); };
    asio_wait pinging("ping", me.beneath(), "pinging " + me.name_, limit, begin);
    const boost::system::error_code failed = co_await pinging;
    me.check(failed, "pinging " + me.name_);
  }

  static task<> close(ptr self, std::uint16_t code, std::string reason, time_limit limit) {
    websocket_body& me = *self;
    me.check_here("close");
    check_close_code(code);
    ws::close_reason why(static_cast<ws::close_code>(code));
    if (reason.size() > why.reason.max_size())
      throw std::invalid_argument(
          fmt::format("close: a reason has at most {} bytes, this one has {}", why.reason.max_size(), reason.size()));
    why.reason = reason;
    const in_use one_at_a_time(me.closing_, "close", me.name_);
    auto begin = [&](auto handler) { me.stream_.async_close(why, std::move(handler)); };
    asio_wait closing("close", me.beneath(), "closing the websocket with " + me.name_, limit, begin);
    // However it goes, and it may be closed already: then it is.
    const struct at_end {
      websocket_body& me;
      ~at_end() { me.end(); }
    } here{me};
    co_await closing;
  }

  // Without a word, or when the last ones were said.
  void end() noexcept {
    was_let_go_ = true;
    const bool is_waited_for = receiving_ || sending_ || pinging_ || closing_;  // by who is to know now
    if (!carrier().lingers || is_waited_for) beneath().close();
  }

  void keep() noexcept { carrier().lingers = true; }  // open until `finish`, though its websocket may be gone
  // A talk has ended: says so if nobody has, and that such that the peer hears it, which may still send: a socket that
  // is closed with input unread has its peer forget the last words.
  static task<> finish(ptr self, std::uint16_t code) {
    websocket_body& me = *self;
    try {
      until end(std::chrono::seconds(2));
      if (me.was_let_go_ && !me.carrier().has_said_last && !me.closing_) {
        co_await close(self, code, std::string(), end.left());
      }
      std::string dropped(4096, '\0');
      for (std::size_t left = 1U << 24U; me.carrier().has_said_last && !me.reading_;) {
        const std::size_t n = co_await read_wait("close", &me.beneath(), dropped, false, end.left());
        if (n == 0 || n > left) break;
        left -= n;
      }
    } catch (const error&) {  // it is over either way
    }
    me.carrier().lingers = false;
    if (me.was_let_go_ || me.carrier().has_said_last) me.beneath().close();
  }

  const ws::close_reason& reason() const noexcept { return stream_.reason(); }
  const endpoint& remote() const noexcept { return remote_; }
  reactor& home() const noexcept { return *reactor_; }
  bool is_here() const noexcept { return reactor::here_if_any() == reactor_.get(); }

 private:
  // One coroutine at a time for each direction.
  class in_use {
   public:
    in_use(bool& flag, const char* what, const std::string& name) : flag_(flag) {
      if (flag)
        throw std::logic_error(fmt::format("{}: another coroutine does so on the websocket with {}", what, name));
      flag = true;
    }
    ~in_use() { flag_ = false; }
    in_use(const in_use&) = delete;
    in_use& operator=(const in_use&) = delete;

   private:
    bool& flag_;
  };

  websocket_carrier& carrier() noexcept { return stream_.next_layer(); }
  byte_stream& beneath() noexcept { return carrier().body(); }

  void check_here(const char* what) const {
    if (!is_here())
      throw std::logic_error(fmt::format(
          "{}: this does not run on the loop of the connection with {}; co_await resume_on(loop) first", what, name_));
  }

  static void read(const ptr& who) {
    who->reading_ = true;
    who->stream_.async_read(who->buffer_, [self = who](const boost::system::error_code& error, std::size_t) {
      self->reading_ = false;
      self->read_error_ = error;
      self->arrived_.set();
    });
  }

  void check(const boost::system::error_code& failed, const std::string& tried) const {
    if (!failed) return;
    if (failed == ws::error::message_too_big || failed == ws::error::buffer_overflow)
      throw too_long(fmt::format("{}: a message has more than {} bytes", tried, options_.max_message));
    if (failed == beast::error::timeout)
      throw timed_out(
          fmt::format("{}: it said nothing for {}, and did not answer a ping", tried, in_words(options_.silence)));
    if (failed == asio::error::eof || failed == asio::error::operation_aborted || failed == ws::error::closed)
      throw closed(tried + ": the connection has ended");
    const bool is_tls = dynamic_cast<const throwing_category*>(&from_asio(failed).category()) != nullptr;
    if (is_tls || failed.category() == boost::system::system_category())
      std::rethrow_exception(as_exception(tried, from_asio(failed)));
    throw websocket_error(tried + ": " + failed.message());
  }

  const loop_notes& loop_;
  const std::shared_ptr<reactor> reactor_;
  const endpoint remote_;
  const std::string name_;
  websocket_options options_;
  const std::string protocol_;
  ws::stream<websocket_carrier> stream_;
  beast::flat_buffer buffer_;
  boost::system::error_code read_error_;
  event arrived_{event_reset::manual, "websocket message"};
  bool reading_ = false, ended_ = false, was_let_go_ = false;
  bool receiving_ = false, sending_ = false, pinging_ = false, closing_ = false;  // by a coroutine
};

namespace {

// Ends a connection on its loop, or when that is over.
class ending final : public call_node {
 public:
  explicit ending(websocket_body::ptr body) noexcept : body_(std::move(body)) {}
  void run() noexcept override {
    body_->end();
    delete this;
  }
  void abandon(std::exception_ptr) noexcept override { body_->home().run_when_over(call(this)); }

 private:
  const websocket_body::ptr body_;
};

}  // namespace

}  // namespace detail

websocket::websocket(std::shared_ptr<detail::websocket_body> body) noexcept : body_(std::move(body)) {}

websocket::~websocket() {
  if (body_ == nullptr) return;
  if (body_->is_here()) {
    body_->end();
    return;
  }
  const std::uint64_t home = body_->home().id;
  start_at_home(home, call(new detail::ending(std::move(body_))));
}

const std::shared_ptr<detail::websocket_body>& websocket::body() const {
  if (body_ == nullptr) throw closed("the websocket was moved from, or is none");
  return body_;
}

task<websocket> websocket::connect(std::string url, websocket_options options, std::optional<tls_context> trust) {
  std::string protocol(options.protocol);  // the coroutine may begin when it is gone
  return connect_with(std::move(url), options, std::move(protocol), std::move(trust));
}

task<websocket> websocket::connect_with(std::string url, websocket_options options, std::string protocol,
                                        std::optional<tls_context> trust) {
  options.protocol = protocol;
  detail::check_options("websocket::connect", options);
  const http::url place = http::url::parse(url);
  if (place.scheme() != "ws" && place.scheme() != "wss")
    throw std::invalid_argument(fmt::format("websocket::connect: \"{}\" does not begin with ws:// or wss://", url));
  detail::until end(options.handshake_limit);
  stream connection;
  if (place.scheme() == "wss") {
    const tls_context context = trust ? *trust : tls_context();
    connection = co_await connect_tls(place.place(), context, connect_options{.limit = end.left()});
  } else {
    connection = co_await io::connect(place.place(), connect_options{.limit = end.left()});
  }
  options.handshake_limit = end.left();
  websocket made(std::make_shared<detail::websocket_body>(connection.release(), options));
  co_await detail::websocket_body::ask(made.body_, place.authority(), place.target());
  co_return made;
}

task<websocket> websocket::accept(stream connection, const http::request& asked, websocket_options options) {
  detail::check_options("websocket::accept", options);
  detail::until end(options.handshake_limit);
  co_await connection.flush(end.left());
  options.handshake_limit = end.left();
  websocket made(std::make_shared<detail::websocket_body>(connection.release(), options));
  co_await detail::websocket_body::answer(made.body_, asked);
  co_return made;
}

task<> websocket::talk_on(stream connection, const http::request& asked,
                          std::shared_ptr<std::function<task<>(websocket)>> talk, websocket_options options,
                          std::shared_ptr<const std::string> protocol) {
  options.protocol = *protocol;
  websocket made = co_await websocket::accept(std::move(connection), asked, options);
  const std::shared_ptr<detail::websocket_body> body = made.body_;
  body->keep();
  std::exception_ptr failed;
  std::uint16_t code = 1000;
  try {
    co_await (*talk)(std::move(made));
  } catch (...) {
    failed = std::current_exception();
    code = this_task::stop_requested() ? 1001 : 1011;  // "going away", or an error of the server's
  }
  co_await detail::websocket_body::finish(body, code);
  if (failed) std::rethrow_exception(failed);
}

http::response websocket::upgrade_with(const http::request& asked, std::function<task<>(websocket)> talk,
                                       websocket_options options) {
  detail::check_options("websocket::upgrade", options);
  const http::fields& headers = asked.headers();
  if (!headers.has_token("Upgrade", "websocket") || !headers.has_token("Connection", "upgrade") ||
      headers.get("Sec-WebSocket-Version") != "13") {
    http::response refused(426, "this is a websocket\n");
    refused.headers.add("Upgrade", "websocket");
    refused.headers.add("Connection", "upgrade");
    refused.headers.add("Sec-WebSocket-Version", "13");
    return refused;
  }
  // What came as a body would be taken for messages.
  const bool has_body = headers.contains("Transfer-Encoding") || headers.get("Content-Length", "0") != "0";
  // Sixteen bytes in base64.
  const std::string_view key = headers.get("Sec-WebSocket-Key", "");
  if (has_body || asked.method() != "GET" || asked.version() != 11 || key.size() != 24 || !key.ends_with("=="))
    return {400, "this is no websocket handshake\n"};
  http::response answer(101);
  answer.takeover = [talk = std::make_shared<std::function<task<>(websocket)>>(std::move(talk)), options,
                     protocol = std::make_shared<const std::string>(options.protocol)](stream connection,
                                                                                       const http::request& same) {
    return talk_on(std::move(connection), same, talk, options, protocol);
  };
  return answer;
}

task<std::optional<websocket_message>> websocket::receive(time_limit limit) {
  return detail::websocket_body::receive(body(), limit);
}
task<> websocket::send(std::string_view text, time_limit limit) {
  return detail::websocket_body::send(body(), false, text, limit);
}
task<> websocket::send_binary(const_buffer bytes, time_limit limit) {
  return detail::websocket_body::send(body(), true, bytes, limit);
}
task<> websocket::ping(time_limit limit) { return detail::websocket_body::ping(body(), limit); }
task<> websocket::close(std::uint16_t code, std::string reason, time_limit limit) {
  return detail::websocket_body::close(body(), code, std::move(reason), limit);
}

std::uint16_t websocket::close_code() const { return body()->reason().code; }
std::string websocket::close_reason() const {
  const auto& why = body()->reason().reason;
  return {why.data(), why.size()};
}
endpoint websocket::remote() const { return body()->remote(); }

}  // namespace tutti::io
