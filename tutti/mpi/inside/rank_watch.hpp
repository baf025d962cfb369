// rank_watch: what the deadlock watch is told. Nothing while nobody watches.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/mpi/comm_state.hpp>

#include <cstddef>

namespace tutti::mpi::detail {

/// What ends a call that waits.
enum class ended_by : std::uint8_t { message, receiver, everyone };

/// One thing that a call waits for.
struct awaited {
  ended_by by = ended_by::message;
  const comm_state* where = nullptr;
  int peer = -1;  // of that communicator; any_source
  int tag = -1;
};

inline bool watching() noexcept { return (attention.load(std::memory_order_relaxed) & is_watched) != 0; }

/// This thread is inside a call that may wait for others, while this lives.
class watched_call {
 public:
  watched_call(const char* call, const awaited& what, const place& here) noexcept {
    if (watching()) [[unlikely]]
      begin(call, &what, 1, true, here);
  }
  /// For several things: all of them, or any one.
  watched_call(const char* call, const awaited* what, std::size_t count, bool all, const place& here) noexcept {
    if (watching()) [[unlikely]]
      begin(call, what, count, all, here);
  }
  ~watched_call() {
    if (id_ != 0) [[unlikely]]
      end();
  }
  watched_call(const watched_call&) = delete;
  watched_call& operator=(const watched_call&) = delete;

 private:
  void begin(const char* call, const awaited* what, std::size_t count, bool all, const place& here) noexcept;
  void end() noexcept;
  std::uint64_t id_ = 0;
};

void note_sent_watched(const comm_state& where, int to, int tag) noexcept;
void note_received_watched(const comm_state& where, int from, int tag) noexcept;
/// A message was handed to MPI.
inline void note_sent(const comm_state& where, int to, int tag) noexcept {
  if (watching()) [[unlikely]]
    note_sent_watched(where, to, tag);
}
/// A message has been received.
inline void note_received(const comm_state& where, int from, int tag) noexcept {
  if (watching()) [[unlikely]]
    note_received_watched(where, from, tag);
}

/// What all ranks must agree on in a collective.
struct collective_signature {
  const char* call = "";
  int root = -1;              // -1: none
  std::size_t bytes = 0;      // where all ranks must give equally many; 0: not so
  unsigned element_size = 0;  // 0: not so
  const char* op = "";        // "sum"
};
void check_collective_watched(comm_state& where, const collective_signature& what, const place& here);
/// Every collective begins with it. Throws when the ranks do not agree.
inline void check_collective(comm_state& where, const collective_signature& what, const place& here) {
  if (watching()) [[unlikely]]
    check_collective_watched(where, what, here);
}

/// From MPI's beginning to its end. `start` is called on all ranks.
void start_watch();
void stop_watch();

}  // namespace tutti::mpi::detail
