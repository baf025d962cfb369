// tutti: one route, one loop; with its time limits, a Date, and the limits on what a peer may send.
#include <tutti/io/http/server.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/io/loop.hpp>

#include "systems.hpp"

namespace bench::http {

namespace {

namespace io = tutti::io;

tutti::task<> run() {
  io::http::routes routes;
  routes.get("/", [](io::http::request&) { return io::http::response(200, "hello, world", "text/plain"); });
  io::listener from = io::listen("127.0.0.1:0", {.backlog = backlog});
  announce(from.local().port());
  co_await io::http::serve(std::move(from), routes);
}

}  // namespace

void serve_tutti() { io::run(run()); }

}  // namespace bench::http
