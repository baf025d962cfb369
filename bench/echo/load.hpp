// load: the clients of the echo benchmark, in a process of their own with one thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace bench::echo {

/// What a load goes to, and from where.
struct target {
  int port = 0;
  pid_t pid = 0;  ///< the server's process: its CPU time is counted
  int cpu = 0;    ///< where the clients run
};

/// `connections` clients, each of which sends a message of `size` bytes, waits for all of it, checks it and sends the
/// next one: for a while unmeasured, then for `seconds`. Returns messages per second, median and 99th percentile of the
/// time from sending to having it back in us, and the server's CPU time per message in us. Throws std::runtime_error
/// when a byte is wrong, a connection ends or nothing comes back for 5 s.
std::vector<double> exchange(const target& to, std::size_t connections, std::size_t size, double seconds);

/// `clients` clients, each of which connects, exchanges one message of 64 bytes and closes, again and again. Returns
/// connections per second and the server's CPU time per connection in us.
std::vector<double> reconnect(const target& to, std::size_t clients, double seconds);

/// Bytes that the server's process has more (its share, Pss) for each of `connections` that have exchanged one message
/// and are silent then.
std::vector<double> idle_memory(const target& to, std::size_t connections);

}  // namespace bench::echo
