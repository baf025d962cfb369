// Boost.Asio: a context without locks, its own executor type, deferred operations, errors as values. What was written
// is tried on the socket at once, and awaited only when that takes no more: an async_write would do the same, but
// always come back through the queue of the context (a twentieth of the server's time per small message).
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <vector>

#include "systems.hpp"

namespace bench::echo {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

using executor = asio::io_context::executor_type;
template <class T>
using coroutine = asio::awaitable<T, executor>;
using stream = asio::basic_stream_socket<tcp, executor>;
using listener = asio::basic_socket_acceptor<tcp, executor>;
constexpr auto quietly = asio::as_tuple(asio::deferred);

// With 16 KiB messages of 64 KiB take twice the time, and small ones no less.
using buffer = std::array<char, 65536>;

// Nothing is read before all is written.
coroutine<void> own_buffer(stream socket) {
  buffer data;
  for (;;) {
    auto [ended, size] = co_await socket.async_read_some(asio::buffer(data), quietly);
    if (ended) co_return;
    error_code failed;
    const std::size_t sent = socket.write_some(asio::buffer(data, size), failed);
    if (failed && failed != asio::error::would_block) co_return;
    if (sent == size) continue;
    auto [broken, rest] = co_await asio::async_write(socket, asio::buffer(data, size) + sent, quietly);
    if (broken) co_return;
  }
}

coroutine<void> one_buffer(stream socket) {
  static buffer data;  // the context has one thread, and nothing is awaited while this holds something
  for (;;) {
    auto [ended] = co_await socket.async_wait(stream::wait_read, quietly);
    if (ended) co_return;
    error_code failed;
    const std::size_t size = socket.read_some(asio::buffer(data), failed);
    if (failed == asio::error::would_block) continue;
    if (failed) co_return;
    const std::size_t sent = socket.write_some(asio::buffer(data, size), failed);
    if (failed && failed != asio::error::would_block) co_return;
    if (sent == size) continue;
    const std::vector<char> left(data.data() + sent, data.data() + size);
    auto [broken, rest] = co_await asio::async_write(socket, asio::buffer(left), quietly);
    if (broken) co_return;
  }
}

coroutine<void> accept(listener& from, coroutine<void> (*serve)(stream)) {
  for (;;) {
    auto [failed, socket] = co_await from.async_accept(quietly);
    if (failed) continue;
    socket.set_option(tcp::no_delay(true));
    socket.non_blocking(true);
    asio::co_spawn(from.get_executor(), serve(std::move(socket)), asio::detached);
  }
}

void run(coroutine<void> (*serve)(stream)) {
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  listener from(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  from.listen(backlog);
  announce(from.local_endpoint().port());
  asio::co_spawn(context, accept(from, serve), asio::detached);
  context.run();
}

}  // namespace

void serve_asio() { run(own_buffer); }

void serve_asio_one_buffer() { run(one_buffer); }

}  // namespace bench::echo
