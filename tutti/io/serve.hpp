// serve: a coroutine for each connection, on one loop or on several, and an end that loses none.
#pragma once
#include <tutti/core/stop.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace tutti::io {

/// How to serve. Trivially destructible (see stop_ref): `stop` is a view of a token, which lives until the call, so
/// give the options in it.
struct serve_options {
  int max_connections = 100'000;                ///< at once, on all loops together; more wait to be accepted
  int loops = 1;                                ///< threads, each with a loop of its own; this one's is one of them
  time_limit drain = std::chrono::seconds(30);  ///< after `stop`, for connections to end by themselves
  stop_ref stop = {};  ///< asks it to take no more connections, to let those that there are end, and then to return
};

namespace detail {
using stream_handler = std::function<task<>(stream)>;
task<> serve(listener at, std::shared_ptr<const stream_handler> handler, serve_options options, std::stop_token quit);
}  // namespace detail

/// Accepts connections and runs `handler(stream)`, which returns a task, for each; returns when asked to by
/// `options.stop`: then it accepts those who have connected by then and no more, gives the handlers `drain` to end, and
/// asks those that have not to stop. Asking the task itself to stop ends all handlers at once, on all loops.
///
/// A handler's connection is closed when it ends. What it throws ends its connection only: a connection that broke,
/// timed out or sent too much is a debug line in the log; other exceptions go to on_unhandled.
///
/// With several `loops`, the system spreads connections over them, and handlers run on all of these threads at once;
/// the first loop to fail ends the others. Throws std::invalid_argument for options that make no sense, what accept
/// throws, and os_error when further loops, or threads for them, cannot be had.
template <class Handler>
  requires std::is_invocable_r_v<task<>, std::decay_t<Handler>&, stream>
[[nodiscard]] task<> serve(listener at, Handler&& handler, serve_options options = {}) {
  auto shared = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(handler));
  return detail::serve(std::move(at),
                       std::make_shared<const detail::stream_handler>(
                           [shared = std::move(shared)](stream s) { return (*shared)(std::move(s)); }),
                       options, options.stop.token());
}

}  // namespace tutti::io
