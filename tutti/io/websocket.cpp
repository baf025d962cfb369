#include <tutti/io/websocket.hpp>

#include <tutti/core/home.hpp>
#include <tutti/core/local_executor.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/http/url.hpp>
#include <tutti/io/inside/asio_wait.hpp>
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

// How Beast ends a connection of ours: the close frames are exchanged by then, and nothing more is to be said.
void beast_close_socket(async_stream& connection) { connection.body().close(); }
void teardown(beast::role_type, async_stream& connection, boost::system::error_code& error) {
  error = {};
  connection.body().close();
}
template <class Handler>
void async_teardown(beast::role_type, async_stream& connection, Handler&& handler) {
  connection.body().close();
  asio::post(connection.get_executor(), asio::append(std::forward<Handler>(handler), boost::system::error_code()));
}

// All on the loop's thread.
class websocket_body : public std::enable_shared_from_this<websocket_body> {
 public:
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
      limits.idle_timeout = std::chrono::duration_cast<ws::stream_base::duration>(options.silence);
      limits.keep_alive_pings = true;
    }
    stream_.set_option(limits);
  }

  // ---------------------------------------------------------------- the beginning

  task<> ask(std::string host, std::string target) {
    if (!protocol_.empty()) {
      stream_.set_option(ws::stream_base::decorator(
          [this](ws::request_type& asked) { asked.set(beast::http::field::sec_websocket_protocol, protocol_); }));
    }
    ws::response_type answer;
    auto begin = [&](auto handler) { stream_.async_handshake(answer, host, target, std::move(handler)); };
    asio_wait shaking("connect", loop_, "the websocket handshake with " + name_, options_.handshake_limit, begin);
    const boost::system::error_code failed = co_await shaking;
    if (failed == ws::error::upgrade_declined)
      throw websocket_error(fmt::format("{} wants no websocket at \"{}\": it answered {} {}", name_, target,
                                        answer.result_int(), std::string(answer.reason())));
    check(failed, "the websocket handshake with " + name_);
  }

  task<> answer(const http::request& asked) {
    beast::http::request<beast::http::empty_body> request;
    request.version(static_cast<unsigned>(asked.version()));
    request.method_string(asked.method());
    request.target(asked.target());
    for (const auto& field : asked.headers()) request.insert(field.name, field.value);
    if (!ws::is_upgrade(request))
      throw websocket_error(name_ + " asks for no websocket: its request has not the headers for that");
    if (!protocol_.empty() && asked.headers().has_token("Sec-WebSocket-Protocol", protocol_)) {
      stream_.set_option(ws::stream_base::decorator(
          [this](ws::response_type& given) { given.set(beast::http::field::sec_websocket_protocol, protocol_); }));
    }
    auto begin = [&](auto handler) { stream_.async_accept(request, std::move(handler)); };
    asio_wait accepting("accept", loop_, "the websocket handshake with " + name_, options_.handshake_limit, begin);
    const boost::system::error_code failed = co_await accepting;
    check(failed, "the websocket handshake with " + name_);
  }

  // ---------------------------------------------------------------- messages

  // Beast's read cannot be taken up again once it was ended early: so it goes on, and who waits for it may leave.
  task<std::optional<websocket_message>> receive(std::chrono::nanoseconds limit) {
    const auto kept = shared_from_this();
    const in_use one_at_a_time(receiving_, "receive", name_);
    if (ended_) co_return std::nullopt;
    if (!reading_ && !arrived_.is_set()) read();
    const bool in_time = co_await arrived_.wait_for_async(limit);
    if (!in_time)
      throw timed_out(fmt::format("a message from {} took longer than the limit of {}", name_, in_words(limit)));
    if (read_error_ == ws::error::closed) {
      ended_ = true;
      co_return std::nullopt;
    }
    check(read_error_, "receiving from " + name_);  // and so from now on
    arrived_.clear();
    websocket_message message{beast::buffers_to_string(buffer_.data()), stream_.got_binary()};
    buffer_.consume(buffer_.size());
    co_return message;
  }

  task<> send(bool binary, const_buffer bytes, std::chrono::nanoseconds limit) {
    const auto kept = shared_from_this();
    const in_use one_at_a_time(sending_, "send", name_);
    stream_.binary(binary);
    auto begin = [&](auto handler) {
      stream_.async_write(asio::buffer(bytes.data(), bytes.size()), std::move(handler));
    };
    asio_wait writing("send", loop_, "sending to " + name_, limit, begin);
    const boost::system::error_code failed = co_await writing;
    check(failed, "sending to " + name_);
  }

  task<> ping(std::chrono::nanoseconds limit) {
    const auto kept = shared_from_this();
    auto begin = [&](auto handler) { stream_.async_ping({}, std::move(handler)); };
    asio_wait pinging("ping", loop_, "pinging " + name_, limit, begin);
    const boost::system::error_code failed = co_await pinging;
    check(failed, "pinging " + name_);
  }

  task<> close(std::uint16_t code, std::string reason, std::chrono::nanoseconds limit) {
    const auto kept = shared_from_this();
    ws::close_reason why(static_cast<ws::close_code>(code));
    if (reason.size() > why.reason.max_size())
      throw std::invalid_argument(
          fmt::format("close: a reason has at most {} bytes, this one has {}", why.reason.max_size(), reason.size()));
    why.reason = reason;
    auto begin = [&](auto handler) { stream_.async_close(why, std::move(handler)); };
    asio_wait closing("close", loop_, "closing the websocket with " + name_, limit, begin);
    // However it goes, and it may be closed already: then it is.
    const struct at_end {
      websocket_body& self;
      ~at_end() { self.end(); }
    } here{*this};
    co_await closing;
  }

  // Without a word.
  void end() noexcept { stream_.next_layer().body().close(); }

  const ws::close_reason& reason() const noexcept { return stream_.reason(); }
  const endpoint& remote() const noexcept { return remote_; }
  std::uint64_t loop_id() const noexcept { return loop_.id; }
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

  void read() {
    reading_ = true;
    stream_.async_read(buffer_, [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
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
    if (failed.category() == boost::system::system_category())
      std::rethrow_exception(as_exception(tried, from_asio(failed)));
    throw websocket_error(tried + ": " + failed.message());
  }

  const loop_notes& loop_;
  const std::shared_ptr<reactor> reactor_;
  const endpoint remote_;
  const std::string name_;
  websocket_options options_;
  const std::string protocol_;
  ws::stream<async_stream> stream_;
  beast::flat_buffer buffer_;
  boost::system::error_code read_error_;
  event arrived_{event_reset::manual, "websocket message"};
  bool reading_ = false, ended_ = false, receiving_ = false, sending_ = false;
};

}  // namespace detail

websocket::websocket(std::shared_ptr<detail::websocket_body> body) noexcept : body_(std::move(body)) {}

websocket::~websocket() {
  if (body_ == nullptr) return;
  if (body_->is_here()) {
    body_->end();
    return;
  }
  const std::uint64_t home = body_->loop_id();
  auto last = [body = std::move(body_)] { body->end(); };
  start_at_home(home, call(new tutti::detail::posted<decltype(last)>(std::move(last), {})));
}

detail::websocket_body& websocket::body() const {
  if (body_ == nullptr) throw closed("the websocket was moved from, or is none");
  return *body_;
}

task<websocket> websocket::connect(std::string url, websocket_options options, std::optional<tls_context> trust) {
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
  co_await made.body_->ask(place.authority(), place.target());
  co_return made;
}

task<websocket> websocket::accept(stream connection, const http::request& asked, websocket_options options) {
  websocket made(std::make_shared<detail::websocket_body>(connection.release(), options));
  co_await made.body_->answer(asked);
  co_return made;
}

namespace {

task<> talk_on(stream connection, const http::request& asked, std::shared_ptr<std::function<task<>(websocket)>> talk,
               websocket_options options, std::shared_ptr<const std::string> protocol) {
  options.protocol = *protocol;
  websocket made = co_await websocket::accept(std::move(connection), asked, options);
  co_await (*talk)(std::move(made));
}

}  // namespace

http::response websocket::upgrade_with(const http::request& asked, std::function<task<>(websocket)> talk,
                                       websocket_options options) {
  if (!asked.headers().has_token("Upgrade", "websocket")) {
    http::response refused(426, "this is a websocket\n");
    refused.headers.add("Upgrade", "websocket");
    refused.headers.add("Connection", "upgrade");
    return refused;
  }
  http::response answer(101);
  answer.takeover = [talk = std::make_shared<std::function<task<>(websocket)>>(std::move(talk)), options,
                     protocol = std::make_shared<const std::string>(options.protocol)](stream connection,
                                                                                       const http::request& same) {
    return talk_on(std::move(connection), same, talk, options, protocol);
  };
  return answer;
}

task<std::optional<websocket_message>> websocket::receive(std::chrono::nanoseconds limit) {
  return body().receive(limit);
}
task<> websocket::send(std::string_view text, std::chrono::nanoseconds limit) {
  return body().send(false, text, limit);
}
task<> websocket::send_binary(const_buffer bytes, std::chrono::nanoseconds limit) {
  return body().send(true, bytes, limit);
}
task<> websocket::ping(std::chrono::nanoseconds limit) { return body().ping(limit); }
task<> websocket::close(std::uint16_t code, std::string reason, std::chrono::nanoseconds limit) {
  return body().close(code, std::move(reason), limit);
}

std::uint16_t websocket::close_code() const { return body().reason().code; }
std::string websocket::close_reason() const {
  const auto& why = body().reason().reason;
  return {why.data(), why.size()};
}
endpoint websocket::remote() const { return body().remote(); }

}  // namespace tutti::io
