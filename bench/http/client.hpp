// client: looks at what a server of the http benchmark answers, as wrk does not.
#pragma once

namespace bench::http {

/// Asks the server at 127.0.0.1:`port` twice over one connection. Throws std::runtime_error when an answer is not the
/// one that systems.hpp asks for, or none comes for 5 s.
void check(int port);

}  // namespace bench::http
