// websocket_end: how Beast ends a connection of ours, when the close frames were said.
#pragma once
#include <tutti/io/inside/async_stream.hpp>

#include <boost/asio/append.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/role.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace tutti::io::detail {

/// What a websocket is on top of.
struct websocket_carrier : async_stream {
  using async_stream::async_stream;
  bool lingers = false;        ///< somebody will close it later: its end is to be told only
  bool has_said_last = false;  ///< and was
};

// Beast finds these by their names.

inline void beast_close_socket(websocket_carrier& connection) { connection.body().close(); }
inline void teardown(boost::beast::role_type, websocket_carrier& connection, boost::system::error_code& error) {
  error = {};
  connection.body().close();
}
template <class Handler>
void async_teardown(boost::beast::role_type, websocket_carrier& connection, Handler&& handler) {
  if (!connection.lingers) {
    connection.body().close();
    asio::post(connection.get_executor(), asio::append(std::forward<Handler>(handler), boost::system::error_code()));
    return;
  }
  connection.has_said_last = true;
  auto then = [h = std::decay_t<Handler>(std::forward<Handler>(handler))](
                  const boost::system::error_code&, std::size_t) mutable { std::move(h)(boost::system::error_code()); };
  byte_stream& body = connection.body();
  body.start_shutdown(handler_operation<decltype(then)>::make(std::move(then), body, false));
}

}  // namespace tutti::io::detail
