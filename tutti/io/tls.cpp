#include <tutti/io/tls.hpp>

#include <tutti/io/inside/reactor.hpp>
#include <tutti/io/inside/tls_stream.hpp>
#include <tutti/io/until.hpp>

#include <fmt/format.h>

#include <stdexcept>

namespace tutti::io {

// What is known of a conversation, in words.
namespace detail {

std::string tls_stream::describe() const {
  const std::string place = lower_->describe();
  return host_.empty() || place.starts_with(host_) ? place : host_ + " at " + place;
}

std::exception_ptr tls_stream::explain(std::error_code error) const noexcept {
  try {
    const std::string tried = "TLS with " + describe();
    if (bad_.reason != 0)
      return std::make_exception_ptr(tls_error(fmt::format("{}: {}", tried, in_words(bad_, host_))));
    if (error == make_error(tls_fault::truncated))
      return std::make_exception_ptr(tls_error(
          tried + ": the peer closed the connection during the handshake: does it expect TLS, and of this version?"));
    return as_exception(tried, error);
  } catch (...) {
    return std::current_exception();
  }
}

tls_info tls_stream::info() const {
  tls_info all;
  all.protocol = ::SSL_get_version(ssl_.get());
  all.cipher = ::SSL_get_cipher_name(ssl_.get());
  const unsigned char* alpn = nullptr;
  unsigned size = 0;
  ::SSL_get0_alpn_selected(ssl_.get(), &alpn, &size);
  all.alpn.assign(reinterpret_cast<const char*>(alpn), size);
  if (const char* const name = ::SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)) all.server_name = name;
  if (const ::X509* const peer = ::SSL_get0_peer_certificate(ssl_.get())) all.peer = subject_of(peer);
  return all;
}

}  // namespace detail

namespace {

// The handshake that a coroutine awaits.
class handshake_wait final : public detail::stream_wait {
 public:
  handshake_wait(const char* what, detail::tls_stream* stream, detail::wait_limit limit)
      : stream_wait(what, stream, limit), tls_(*stream) {}
  bool await_ready() {
    occupy(stream().is_read);
    return false;
  }
  void await_resume() { finish_stream(); }

 private:
  void begin_operation() noexcept override { tls_.start_handshake(*this); }
  bool is_through(std::error_code error, std::size_t) noexcept override { return !error || fail(tls_.explain(error)); }
  std::string subject() const override { return "the TLS handshake with " + stream().describe(); }

  detail::tls_stream& tls_;
};

task<stream> speak(const char* what, stream lower, std::string host, tls_context context, time_limit limit) {
  detail::until end(limit);
  co_await lower.flush(end.left());
  auto* const tls = new detail::tls_stream(lower.release(), std::move(host), context.settings());
  stream made{detail::byte_stream_ptr(tls)};
  co_await handshake_wait(what, tls, end.left());
  co_return made;
}

}  // namespace

task<stream> tls_connect(stream lower, std::string host, tls_context context, time_limit limit) {
  if (context.settings()->is_server)
    throw std::invalid_argument("tls_connect: the context is a server's; make one by tls_context::client");
  co_return co_await speak("tls_connect", std::move(lower), std::move(host), context, limit);
}

task<stream> tls_accept(stream lower, tls_context context, time_limit limit) {
  if (!context.settings()->is_server)
    throw std::invalid_argument("tls_accept: the context is a client's; make one by tls_context::server");
  std::string nobody;
  co_return co_await speak("tls_accept", std::move(lower), std::move(nobody), context, limit);
}

task<stream> connect_tls(std::string to, tls_context context, connect_options options) {
  if (to.starts_with("unix:"))
    throw std::invalid_argument("connect_tls: \"" + to +
                                "\" has no host name for the certificate; use connect, then tls_connect");
  std::string host = detail::split_port(to).host;
  detail::until end(options.limit);
  stream lower = co_await connect(std::move(to), options);
  co_return co_await tls_connect(std::move(lower), std::move(host), context, end.left());
}

tls_info tls_info::of(const stream& s) {
  const auto* const tls = dynamic_cast<const detail::tls_stream*>(s.body());
  if (tls == nullptr) throw std::invalid_argument("tls_info::of: the stream to " + s.describe() + " is not TLS");
  return tls->info();
}

}  // namespace tutti::io
