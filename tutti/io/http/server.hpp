// server: answers the requests of all who connect.
#pragma once
#include <tutti/core/stop.hpp>
#include <tutti/io/http/routes.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/io/tls.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <cstddef>
#include <functional>

namespace tutti::io::http {

/// How to serve. Trivially destructible (see stop_ref): `stop` is a view of a token, which lives until the call, so
/// give the options in it.
struct serve_options {
  int max_connections = 100'000;                ///< at once, on all loops together; more wait to be accepted
  int loops = 1;                                ///< threads, each with a loop of its own; this one's is one of them
  time_limit drain = std::chrono::seconds(30);  ///< after `stop`, for requests under way
  stop_ref stop = {};  ///< asks it to take no more connections, to answer what is under way, and then to return
  std::size_t max_head = 16384;     ///< bytes of a request's line and header: more is answered with 431
  std::size_t max_body = 1U << 20;  ///< bytes of a request's body, where the handler sets no other limit: 413
  int max_requests = 0;             ///< on one connection, 0: as many as the client likes
  time_limit head_limit = std::chrono::seconds(10);      ///< from a head's first byte to its last: 408
  time_limit idle_limit = std::chrono::seconds(60);      ///< between two requests, then it is closed
  time_limit progress_limit = std::chrono::seconds(30);  ///< in which a peer must send some of a body, or
                                                         ///< take some of an answer (over TLS: 64 KiB of
                                                         ///< it): 408, or closed
};

/// What is done to a connection before HTTP is spoken on it: TLS above all. What it throws ends that connection.
using connection_wrapper = std::function<task<stream>(stream)>;

/// Accepts connections and answers their requests, one after the other on each, until `options.stop`: then connections
/// without a request are closed, the others have `drain` for theirs, which are answered with "Connection: close", and
/// it returns. As io::serve in all else; throws what that does.
///
/// A client that sends what is not HTTP, or could be understood in two ways, gets 400, and its connection is closed.
/// A handler that throws is answered with 500 without a word of why, which goes to on_unhandled, but for status_error,
/// and what it throws because the client has broken off, sent too much (413) or was too slow (408). A body that the
/// handler left unread is read if it is small, and comes within 5 s, else the connection is closed.
///
/// Answers of plain functions to several requests that came at once go out together; before a handler that is a task is
/// called, all answers before its own are sent.
[[nodiscard]] task<> serve(listener at, routes what, serve_options options = {}, connection_wrapper wrap = {});
/// The same over TLS, for https. A handshake has `head_limit`. Throws std::invalid_argument at once when `identity` is
/// a client's.
[[nodiscard]] task<> serve(listener at, routes what, const tls_context& identity, serve_options options = {});

}  // namespace tutti::io::http
