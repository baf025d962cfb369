// systems: what the process_pool benchmark asks of tutti, and the floors. The Python peers are in
// harness/peer_process.py.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace bench::process_pool {

/// A pool of worker processes that have all started.
class pool {
 public:
  virtual ~pool() = default;

  /// One empty task handed to a worker, and its result awaited.
  virtual void round_trip() = 0;
  /// Starts `count` empty tasks one by one, each with a future, then gets all of them.
  virtual void submit_each(std::size_t count) = 0;
  /// An empty function over `count` numbers by the call for many; `chunk` elements a task, 0: as the system likes.
  virtual void map(std::size_t count, std::size_t chunk) = 0;
  /// How many of so many random points lie in the quarter of the unit circle. Chunks as above.
  virtual std::int64_t hits(std::size_t count, std::size_t chunk) = 0;
  /// The array to a worker and back.
  virtual std::vector<double> by_value(std::vector<double> array) = 0;
  /// Waits until every worker has run a task.
  virtual void use_all() = 0;
  virtual std::vector<int> pids() = 0;
};

/// `cpu` >= 0: the workers run there. The threads of the pool in this process run where its maker does.
std::unique_ptr<pool> make_tutti(int workers, int cpu = -1);

/// A new pool of `workers`: milliseconds until the first result, and those that its end takes.
std::vector<double> start_and_end(int workers);

/// Of a pool of two workers: milliseconds from a call that kills its worker to its error, and from there to the next
/// result.
std::vector<double> death_and_next();

/// An array of doubles that a worker writes into without a copy of it.
class shared_doubles {
 public:
  virtual ~shared_doubles() = default;
  /// A worker of `to`, made by make_tutti, adds one to the first and last element and gives the array back.
  virtual void there_and_back(pool& to) = 0;
  virtual double first_and_last() const = 0;
};
std::unique_ptr<shared_doubles> make_shared_doubles(std::size_t size);

/// What a process sends to this one.
enum class by { queue, channel };
class sender {
 public:
  virtual ~sender() = default;
  /// Millions of numbers per second, of `count`.
  virtual double numbers(std::size_t count) = 0;
  /// Gigabytes per second, in `count` strings of 1 MB.
  virtual double blobs(std::size_t count) = 0;
};
/// The sender runs on CPU `cpu`.
std::unique_ptr<sender> make_sender(by what, int cpu);

/// Processes that add one to a number that all of them share.
class counter {
 public:
  virtual ~counter() = default;
  /// Each adds `count` times; millions of additions per second.
  virtual double add(std::size_t count) = 0;
};
std::unique_ptr<counter> make_counter(int processes);

/// A process that answers, for the least that a round trip between two costs: by two futex wake-ups, or by a cache line
/// there and back while both spin. Forked, so it must be made before this process has threads.
class partner {
 public:
  partner();
  ~partner();
  partner(const partner&) = delete;
  partner& operator=(const partner&) = delete;

  /// It runs on `cpu` from now on, and spins or sleeps between requests.
  void prepare(int cpu, bool spins);
  void round_trip();

 private:
  struct words;
  static void serve(words& shared);

  words* words_;
  pid_t pid_ = 0;
  bool spins_ = false;
};

}  // namespace bench::process_pool
