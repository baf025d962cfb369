#include <tutti/io/tls.hpp>

#include <tutti/io/inside/reactor.hpp>
#include <tutti/io/inside/tls_stream.hpp>
#include <tutti/io/until.hpp>

#include <stdexcept>

namespace tutti::io {
namespace {

// The handshake that a coroutine awaits.
class handshake_wait final : public detail::stream_wait {
 public:
  handshake_wait(const char* what, detail::tls_stream* stream, std::chrono::nanoseconds limit)
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

task<stream> speak(const char* what, stream lower, std::string host, tls_context context,
                   std::chrono::nanoseconds limit) {
  const detail::until end(limit);
  co_await lower.flush(end.left());
  auto* const tls = new detail::tls_stream(lower.release(), std::move(host), context.settings());
  stream made{detail::byte_stream_ptr(tls)};
  co_await handshake_wait(what, tls, end.left());
  co_return made;
}

}  // namespace

task<stream> tls_connect(stream lower, std::string host, tls_context context, std::chrono::nanoseconds limit) {
  if (context.settings()->is_server)
    throw std::invalid_argument("tls_connect: the context is a server's; make one by tls_context::client");
  co_return co_await speak("tls_connect", std::move(lower), std::move(host), context, limit);
}

task<stream> tls_accept(stream lower, tls_context context, std::chrono::nanoseconds limit) {
  if (!context.settings()->is_server)
    throw std::invalid_argument("tls_accept: the context is a client's; make one by tls_context::server");
  co_return co_await speak("tls_accept", std::move(lower), {}, context, limit);
}

task<stream> connect_tls(std::string to, tls_context context, connect_options options) {
  if (to.starts_with("unix:"))
    throw std::invalid_argument("connect_tls: \"" + to +
                                "\" has no host name for the certificate; use connect, then tls_connect");
  std::string host = detail::split_port(to).host;
  const detail::until end(options.limit);
  stream lower = co_await connect(std::move(to), options);
  co_return co_await tls_connect(std::move(lower), std::move(host), context, end.left());
}

tls_info tls_info::of(const stream& s) {
  const auto* const tls = dynamic_cast<const detail::tls_stream*>(s.body());
  if (tls == nullptr) throw std::invalid_argument("tls_info::of: the stream to " + s.describe() + " is not TLS");
  return tls->info();
}

}  // namespace tutti::io
