// systems: what the competitors of the channel benchmark offer. One file per system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "../harness/team.hpp"

namespace bench::channel {

/// As many elements as there are may wait at once.
inline constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

/// Who sends and receives.
enum class sides {
  threads,     ///< each is a thread that waits
  ends,        ///< the same, one thread on each side: more need not be provided for
  coroutines,  ///< each is a coroutine, of those that two threads run
};

/// Who sends numbers to whom.
struct traffic {
  sides by = sides::threads;
  int writers = 1, readers = 1;
  std::size_t capacity = 0;  ///< 0: a rendezvous
  placement where = placement::two_cores;
};

/// One way to send numbers of 8 bytes, measured in million per second.
struct stream {
  const char* system;
  bool (*has)(const traffic&);
  /// Sends `count` numbers, a multiple of 8; million per second. Throws when not each arrives once.
  double (*run)(const traffic&, std::size_t count);
};
using streams = std::vector<stream>;

streams of_tutti();
streams of_tutti_coroutines();
streams of_std();
streams of_tbb();
streams of_lockfree();
streams of_moodycamel();
streams of_asio();

/// Four threads in a ring of rendezvous, nanoseconds per communication; see coroutines::commstime.
double tutti_commstime(std::size_t count, placement where);
double std_commstime(std::size_t count, placement where);

/// Coroutines on one thread. Each case does `count` operations and gives what was measured, or nothing when the system
/// has no such operation. Throws when their effect is wrong.
class coroutines {
 public:
  virtual ~coroutines() = default;

  /// One sends, one receives: million per second.
  virtual std::optional<double> send(std::size_t /*capacity*/, std::size_t /*count*/) { return {}; }
  /// Two send a number to and fro: nanoseconds per round trip.
  virtual std::optional<double> ping_pong(std::size_t /*count*/) { return {}; }
  /// The ring of Occam's benchmark: prefix, delta, successor and, beside it, a consumer, with rendezvous between them:
  /// nanoseconds per communication, of which there are four per number that the consumer gets.
  virtual std::optional<double> commstime(std::size_t /*count*/) { return {}; }
  /// One takes from whichever of `channels` has something, another sends to each in turn: nanoseconds per number.
  virtual std::optional<double> select(std::size_t /*channels*/, std::size_t /*count*/) { return {}; }
};
coroutines& one_thread_of_tutti();
coroutines& one_thread_of_asio();

/// Makes `count` channels with room for `capacity`, and calls `made` while they exist.
using idle = void (*)(std::size_t count, std::size_t capacity, const std::function<void()>& made);
void tutti_idle(std::size_t count, std::size_t capacity, const std::function<void()>& made);
void std_idle(std::size_t count, std::size_t capacity, const std::function<void()>& made);
void tbb_idle(std::size_t count, std::size_t capacity, const std::function<void()>& made);
void asio_idle(std::size_t count, std::size_t capacity, const std::function<void()>& made);

/// Lets `count` coroutines receive from an empty channel, calls `waiting` when all wait, sends them something. How many
/// waited and got it.
using waiters = std::size_t (*)(std::size_t count, const std::function<void()>& waiting);
std::size_t tutti_waiters(std::size_t count, const std::function<void()>& waiting);
std::size_t asio_waiters(std::size_t count, const std::function<void()>& waiting);

}  // namespace bench::channel
