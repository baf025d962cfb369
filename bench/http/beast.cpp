// Boost.Beast on Asio: as in ../echo/asio.cpp a context without locks, its own executor type, deferred operations,
// errors as values, and writes that are awaited only when the socket takes no more (a tenth of the server's time). No
// timeouts: the socket is Asio's, not beast::tcp_stream.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <string>

#include "systems.hpp"

namespace bench::http {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;

using executor = asio::io_context::executor_type;
template <class T>
using coroutine = asio::awaitable<T, executor>;
using stream = asio::basic_stream_socket<tcp, executor>;
using listener = asio::basic_socket_acceptor<tcp, executor>;
constexpr auto quietly = asio::as_tuple(asio::deferred);

coroutine<void> serve(stream socket) {
  beast::flat_buffer buffer;
  for (;;) {
    beast::http::request<beast::http::empty_body> request;
    auto [ended, size] = co_await beast::http::async_read(socket, buffer, request, quietly);
    if (ended) co_return;
    beast::http::response<beast::http::string_body> response(beast::http::status::ok, request.version());
    response.set(beast::http::field::content_type, "text/plain");
    response.body() = "hello, world";
    response.keep_alive(request.keep_alive());
    response.prepare_payload();
    beast::http::response_serializer<beast::http::string_body> serializer(response);
    error_code failed;
    beast::http::write(socket, serializer, failed);
    if (failed == asio::error::would_block) {
      auto [broken, rest] = co_await beast::http::async_write(socket, serializer, quietly);
      failed = broken;
    }
    if (failed || !response.keep_alive()) co_return;
  }
}

coroutine<void> accept(listener& from) {
  for (;;) {
    auto [failed, socket] = co_await from.async_accept(quietly);
    if (failed) continue;
    socket.set_option(tcp::no_delay(true));
    socket.non_blocking(true);
    asio::co_spawn(from.get_executor(), serve(std::move(socket)), asio::detached);
  }
}

}  // namespace

void serve_beast() {
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  listener from(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  from.listen(backlog);
  announce(from.local_endpoint().port());
  asio::co_spawn(context, accept(from), asio::detached);
  context.run();
}

}  // namespace bench::http
