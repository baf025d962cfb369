// rank_watch: what the deadlock watch is told. Nothing while nobody watches.
//
// Who waits says so with watched_call. What was sent and received is counted, so that the watch knows of messages on
// their way; requests are entered when they begin, so that it knows of receives that are posted. See rank_ledger.hpp
// for what is kept, watch_thread.hpp for who looks at it.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/mpi/comm_state.hpp>
#include <tutti/mpi/inside/rank_ledger.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace tutti::mpi::detail {

inline bool watching() noexcept { return (attention.load(std::memory_order_relaxed) & is_watched) != 0; }

/// This thread is inside a call that may wait for others, while this lives.
class watched_call {
 public:
  watched_call(const char* call, const awaited& what, const place& here) {
    if (watching()) [[unlikely]]
      begin(call, &what, 1, true, here);
  }
  /// For several things: all of them, or any one.
  watched_call(const char* call, const awaited* what, std::size_t count, bool all, const place& here) {
    if (watching() && count != 0) [[unlikely]]
      begin(call, what, count, all, here);
  }
  ~watched_call() {
    if (id_ != 0) [[unlikely]]
      end();
  }
  watched_call(const watched_call&) = delete;
  watched_call& operator=(const watched_call&) = delete;

 private:
  void begin(const char* call, const awaited* what, std::size_t count, bool all, const place& here);
  void end() noexcept;
  std::uint64_t id_ = 0;
};

/// This thread does nothing but wait for work from others of this process, and ask MPI meanwhile for what coroutines
/// await, while this lives.
class watched_idle {
 public:
  watched_idle() {
    if (watching()) [[unlikely]]
      begin();
  }
  ~watched_idle() {
    if (id_ != 0) [[unlikely]]
      end();
  }
  watched_idle(const watched_idle&) = delete;
  watched_idle& operator=(const watched_idle&) = delete;

 private:
  void begin();
  void end() noexcept;
  std::uint64_t id_ = 0;
};

std::uint64_t begin_request_watched(const awaited& what);
void end_request_watched(std::uint64_t id) noexcept;
std::uint64_t begin_await_watched(const char* call, const awaited& what, const place& here);
void end_await_watched(std::uint64_t id) noexcept;
void note_sent_watched(const comm_state& where, int to, int tag);
void note_received_watched(const comm_state& where, int from, int tag);
void note_native_watched(const comm_state& where);

/// A request begins; 0 when nobody watches. Sends are counted by it. Told before MPI is.
inline std::uint64_t begin_request(const awaited& what) {
  if (watching()) [[unlikely]]
    return begin_request_watched(what);
  return 0;
}
/// It has ended, after note_received if it has received something; or it may end by something else from now on.
inline void end_request(std::uint64_t id) noexcept {
  if (id != 0) [[unlikely]]
    end_request_watched(id);
}
/// A coroutine waits; 0 when nobody watches.
inline std::uint64_t begin_await(const char* call, const awaited& what, const place& here) {
  if (watching()) [[unlikely]]
    return begin_await_watched(call, what, here);
  return 0;
}
inline void end_await(std::uint64_t id) noexcept {
  if (id != 0) [[unlikely]]
    end_await_watched(id);
}
void doubt_await_watched(std::uint64_t id) noexcept;
/// It is to be given up, which may end it.
inline void doubt_await(std::uint64_t id) noexcept {
  if (id != 0) [[unlikely]]
    doubt_await_watched(id);
}
void doubt_request_watched(const comm_state& where, std::uint64_t id) noexcept;
/// The same for a request that is waited for by who cancelled it. What it may have received is not known, nor is then
/// what else is on its way in this communicator.
inline void doubt_request(const comm_state& where, std::uint64_t id) noexcept {
  if (id != 0) [[unlikely]]
    doubt_request_watched(where, id);
}
/// A message is to be handed to MPI, by a call that blocks.
inline void note_sent(const comm_state& where, int to, int tag) {
  if (watching()) [[unlikely]]
    note_sent_watched(where, to, tag);
}
/// A message has been received.
inline void note_received(const comm_state& where, int from, int tag) {
  if (watching()) [[unlikely]]
    note_received_watched(where, from, tag);
}
/// The program has MPI's handle: from now on nothing is known of what happens in this communicator.
inline void note_native(const comm_state& where) {
  if (watching()) [[unlikely]]
    note_native_watched(where);
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
/// Every blocking collective begins with it, which then waits for all ranks. Throws deadlock, on all of them, when they
/// do not agree.
inline void check_collective(comm_state& where, const collective_signature& what, const place& here) {
  if (watching()) [[unlikely]]
    check_collective_watched(where, what, here);
}
std::uint64_t begin_collective_watched(const comm_state& where, const char* call, const place& here);
/// Every nonblocking one, as begin_request. It must not wait, so nothing is compared.
inline std::uint64_t begin_collective(const comm_state& where, const char* call, const place& here) {
  if (watching()) [[unlikely]]
    return begin_collective_watched(where, call, here);
  return 0;
}

/// A communicator that all its ranks have just made: they agree on how the watch names it. Collective.
void watch_communicator(comm_state& made);
/// Before it is freed.
void unwatch_communicator(comm_state& lost) noexcept;
/// A thread of the library's own, which does nothing for the program but what is awaited.
void note_own_thread();

/// Before MPI begins, when watching is wanted.
void before_mpi();
/// Whether all ranks want it. Collective.
bool all_watch(bool this_one);
void start_watch(bool one_thread);
/// Waits until all ranks have come here.
void stop_watch(const place& here);

}  // namespace tutti::mpi::detail
