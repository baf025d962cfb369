// pool_wire: what rank 0 and the other ranks of a rank_pool send each other over their two sockets.
//
// Not by MPI, which rank_pool uses to find its ranks only: a socket tells at once that its other end has died, one can
// sleep on it without burning a core, and what was half sent to a rank that died cannot make the end of MPI hang.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::mpi::detail {

enum class request_kind : std::uint32_t { define, call, leave };

/// To a worker: frames, each a number of records. A worker answers all of a frame before it begins the next one.
struct frame_head {
  std::uint64_t bytes = 0;  ///< behind this
};
struct request_head {
  request_kind kind = request_kind::call;
  std::uint32_t function = 0;  ///< its number
  std::uint64_t ticket = 0;
  std::int64_t timeout = 0;  ///< ns; 0: none
  std::uint64_t bytes = 0;   ///< of the arguments, or the definition, behind this
};
/// Behind the head of `define`.
struct function_definition {
  std::string function;
  std::uint64_t signature = 0;
  std::string name;  ///< for people
};

/// From a worker.
struct response_head {
  std::uint64_t ticket = 0;
  std::int64_t took = 0;  ///< ns
  std::uint64_t bytes = 0;
  std::uint64_t failed = 0;  ///< 1: the bytes are an exception
};

/// Over the second socket, both ways: `stop` asks the call `first` to stop when it runs; it, and `give_back` all from
/// `first` to `last`, are given back when they have not begun. The answer to both: `given_back`, from `first` to
/// `last`, nothing when `first` is above `last`.
enum class control_kind : std::uint32_t { stop, give_back, given_back };
struct control_message {
  control_kind kind = control_kind::stop;
  std::uint32_t unused = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

/// The first bytes on each socket, from the worker.
struct hello {
  std::uint64_t token[2] = {};
  std::int32_t rank = 0;
  std::int32_t pid = 0;
  std::uint32_t is_control = 0;
  std::int32_t progress = -1;  ///< the worker's descriptor of a pool_progress, which who is on the same machine can map
  char host[256] = {};
};

/// What a worker has begun, in memory that outlives it.
struct pool_progress {
  std::atomic<std::uint64_t> begun{0};  ///< the ticket of the last call
};
using progress_memory = std::shared_ptr<pool_progress>;
/// The worker's side: memory, and its descriptor, which may be closed when rank 0 has said something.
std::pair<progress_memory, unique_fd> make_progress_memory();
/// Rank 0's: null when it cannot be reached.
progress_memory map_progress_memory(int pid, int fd) noexcept;

/// One worker as rank 0 meets it.
struct rank_link {
  int rank = 0;
  int pid = 0;
  std::string host;
  unique_fd data, control;
  progress_memory progress;  ///< null: on another machine
  unique_fd progress_fd;     ///< the worker's
};

template <class T>
std::string_view bytes_of(const T& value) noexcept {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// Sends all of it; blocks. False when the other end is gone.
bool send_all(int fd, std::string_view bytes) noexcept;
/// Receives exactly so much; blocks. False when the other end is gone.
bool receive_all(int fd, void* to, std::size_t bytes) noexcept;

/// Where workers find rank 0; the same on all ranks after the exchange.
struct meeting_place {
  std::uint64_t token[2] = {};
  std::int32_t port = 0;      ///< TCP; 0: all ranks are on one machine
  char addresses[1024] = {};  ///< numeric, with spaces between
};

/// Rank 0: opens the doors. `one_machine`: no TCP.
struct open_doors {
  unique_fd local, tcp;
  meeting_place place;
};
open_doors open_meeting_place(bool one_machine);
/// Rank 0: waits for both sockets of `workers` others. Throws worker_lost after a minute.
std::vector<rank_link> meet_workers(const open_doors& doors, int workers);
/// The others: both sockets. Throws worker_lost when rank 0 cannot be reached.
rank_link meet_caller(const meeting_place& place, int rank, const std::string& host);

}  // namespace tutti::mpi::detail
