// pool_wire: what a process_pool and its workers have between them: a lane of shared memory each, and a bell for all.
#pragma once
#include <tutti/core/spin.hpp>
#include <tutti/process/record_ring.hpp>

#include <atomic>
#include <cstdint>
#include <string>

namespace tutti::detail {

inline constexpr std::uint32_t lane_capacity = 64 * 1024;
using lane_ring = record_ring<lane_capacity>;
/// Longer arguments and results go through a parcel.
inline constexpr std::size_t most_inline = 8 * 1024;

/// The memory of one worker and the pool.
struct lane_memory {
  lane_ring::memory requests;   ///< to the worker
  lane_ring::memory responses;  ///< from it
  // Futex words. 1 while its owner sleeps; whoever wakes it stores 0 first.
  alignas(64) std::atomic<std::uint32_t> worker_sleeps;  ///< for want of requests
  wake_hint worker_hint;
  alignas(64) std::atomic<std::uint32_t> responses_full;  ///< the worker waits for room
  alignas(64) std::atomic<std::uint32_t> stops;           ///< counts: the worker's other thread sleeps on it
  alignas(64) std::atomic<std::uint32_t> requests_full;   ///< 1: the pool waits for room; the worker stores 0 and rings
  alignas(64) std::atomic<std::uint32_t> part;            ///< of the call that runs: see part_begun
  std::atomic<std::int32_t> pid;                          ///< the worker's; 0: it has not begun
  std::uint32_t has_initializer = 0;                      ///< 1: it is the first request
  std::uint64_t memory_limit = 0;                         ///< bytes beyond what it has at the start; 0: none
};

/// Who collects responses, and whether somebody has to be woken for that. Who publishes does so before it looks here;
/// who falls asleep says so here before it looks for the last time. All seq_cst, so one of the two sees the other.
struct bell_words {
  enum : std::uint32_t { away, asleep, awake };
  alignas(64) std::atomic<std::uint32_t> visitor;  ///< a thread that waits for a result, and collects meanwhile
  wake_hint visitor_hint;
  alignas(64) std::atomic<std::uint32_t> resident;  ///< the pool's own thread, when there is no visitor
  wake_hint resident_hint;
};

/// Wakes who collects, if nobody is awake for it.
void ring(bell_words& bell) noexcept;
/// The same, whatever the words say: who died may have said that it wakes somebody, and not done it.
void ring_loudly(bell_words& bell) noexcept;

enum class request_kind : std::uint8_t {
  define,      ///< a function has a number from now on
  call,        ///< call it
  initialise,  ///< the same, before everything else
  forget,      ///< a parcel will not be used any more
  lost,        ///< a parcel of the worker's has not arrived: it is to be sent anew
  leave        ///< end
};

/// The beginning of each request's record.
struct request_head {
  request_kind kind = request_kind::call;
  std::uint8_t has_handles = 0;  ///< 1: a message with them, and the ticket, is in the socket
  std::uint32_t function = 0;    ///< its number
  std::uint64_t ticket = 0;
  std::int64_t timeout = 0;  ///< ns; 0: none
  std::uint32_t parcel = 0;  ///< the number of the one that has the arguments; 0: they follow here
  std::uint64_t size = 0;    ///< bytes of the arguments
};

/// Behind the head of `define`.
struct function_definition {
  std::string function;
  std::uint64_t signature = 0;
  std::string library;
  std::string name;  ///< for people
};

enum class response_kind : std::uint8_t {
  ready,    ///< it is initialised, and takes calls
  result,   ///< what the call has returned
  error,    ///< encode_exception's bytes
  part,     ///< the beginning of either, of which more is to come
  refused,  ///< the call was not begun: the worker has lost what it needs for it, and ends
  worn,     ///< the worker has lost what it may need: it goes on, and should be replaced
  forget    ///< a parcel will not be used any more
};

/// The beginning of each response's record.
struct response_head {
  response_kind kind = response_kind::result;
  std::uint8_t has_handles = 0;
  std::uint32_t parcel = 0;
  std::uint64_t ticket = 0;
  std::uint64_t size = 0;  ///< of the whole answer
  std::int64_t took = 0;   ///< ns
};

}  // namespace tutti::detail
