#include <tutti/io/http/server.hpp>

#include <tutti/base/log.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/io/http/connection.hpp>
#include <tutti/io/http/server_session.hpp>
#include <tutti/io/inside/tls_stream.hpp>
#include <tutti/io/serve.hpp>

#include <fmt/format.h>

#include <memory>
#include <stdexcept>
#include <utility>

namespace tutti::io::http {

task<> serve(listener at, routes what, serve_options options, connection_wrapper wrap) {
  if (options.max_head < 64 || options.max_requests < 0)
    throw std::invalid_argument(
        fmt::format("http::serve: max_head {} is to be 64 at least, max_requests {} not negative", options.max_head,
                    options.max_requests));
  auto shared = std::make_shared<detail::server_state>(
      detail::server_state{what.table(), options, options.stop.token(), std::move(wrap)});
  shared->options.stop = {};  // its token may be gone by the time that anybody looks
  const std::stop_token quit = shared->quit;
  return io::serve(
      std::move(at), [shared](stream s) { return detail::serve_connection(std::move(s), shared); },
      io::serve_options{
          .max_connections = options.max_connections, .loops = options.loops, .drain = options.drain, .stop = quit});
}

task<> serve(listener at, routes what, const tls_context& identity, serve_options options) {
  if (!identity.settings()->is_server)
    throw std::invalid_argument(
        "http::serve: the tls_context is a client's; make one with tls_context::server, from a certificate and a key");
  return serve(std::move(at), std::move(what), options,
               [identity, limit = options.head_limit](stream s) { return tls_accept(std::move(s), identity, limit); });
}

}  // namespace tutti::io::http
