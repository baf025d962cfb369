// systems: the servers of the echo benchmark. One file per system; those of Python are in server.py.
//
// A server sends back every byte that a connection sends, in order, without waiting for the end of a message, until the
// other side closes, and then closes too. It has one thread, TCP_NODELAY, and serves any number of connections. See
// bench::server for how it starts.
#pragma once

#include "../harness/server.hpp"

namespace bench::echo {

/// The system calls themselves: edge-triggered epoll, one buffer for all connections.
void serve_epoll();
/// As quick as Asio's coroutines can be made: see asio.cpp.
void serve_asio();
/// The same without a buffer for each connection: quicker for large messages, and small while nothing comes.
void serve_asio_one_buffer();
void serve_tutti();
void serve_libuv();

}  // namespace bench::echo
