// systems: the servers of the http benchmark. One file per system; those of Python are in server.py.
//
// A server answers GET / with 200, Content-Type text/plain and the 12 bytes "hello, world", and keeps the connection
// open for the next request when the client wants that (HTTP/1.1's default). It has one thread and TCP_NODELAY. See
// bench::server for how it starts.
#pragma once

#include "../harness/server.hpp"

namespace bench::http {

void serve_tutti();
void serve_beast();

}  // namespace bench::http
