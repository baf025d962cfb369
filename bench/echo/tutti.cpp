// tutti: a coroutine for each connection, on one loop.
#include <tutti/io/listener.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/serve.hpp>

#include <array>
#include <span>

#include "systems.hpp"

namespace bench::echo {

namespace {

using tutti::task;
namespace io = tutti::io;

// As large as those of the peers.
using buffer = std::array<char, 65536>;

task<> own_buffer(io::stream peer) {
  buffer data;  // not cleared
  for (;;) {
    const std::size_t size = co_await peer.read_some(data);
    if (size == 0) co_return;
    co_await peer.write(std::span(data).first(size));
  }
}

task<> run(task<> (*serve)(io::stream)) {
  io::listener from = io::listen("127.0.0.1:0", {.backlog = backlog});
  announce(from.local().port());
  co_await io::serve(std::move(from), serve);
}

}  // namespace

void serve_tutti() { io::run(run(own_buffer)); }

}  // namespace bench::echo
