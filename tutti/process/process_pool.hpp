// process_pool: an executor over worker processes, which may crash, leak or hang without harm to anything but their
// call.
#pragma once
#include <tutti/core/executor.hpp>
#include <tutti/process/handles.hpp>
#include <tutti/process/process.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {
class pool_core;
struct pool_initializer;
}  // namespace detail

/// How a process_pool is made. Designated initialisers, in this order. What the views refer to must live until the
/// pool is made.
struct process_pool_options {
  int workers = 0;                          ///< processes; 0: as default_concurrency(), or TUTTI_WORKERS
  std::string_view name = {};               ///< for errors; default: "process_pool-N"
  start_method start = start_method::fork;  ///< how workers begin
  std::uint64_t max_tasks_per_worker = 0;   ///< a worker that has run so many calls is replaced; 0: never
  std::uint64_t memory_limit = 0;           ///< bytes that a worker may allocate beyond those it has at its start:
                                            ///< std::bad_alloc in the task; shared memory is not counted; 0: no
                                            ///< limit, else at least 1 MiB
  std::chrono::nanoseconds grace = std::chrono::seconds(1);  ///< from a call's timeout until its worker is killed
  std::string_view program = {};  ///< whose processes do the work; default: this one. It must have the same functions
};

static_assert(std::is_trivially_destructible_v<process_pool_options>);

/// What a pool has done, and is doing.
struct process_pool_stats {
  int workers = 0;              ///< processes there are, or are being started
  std::uint64_t queued = 0;     ///< calls that no worker has begun, as far as is known
  std::uint64_t running = 0;    ///< calls that one has
  std::uint64_t completed = 0;  ///< calls that have come to an end, whatever it was
  std::uint64_t retried = 0;    ///< further attempts
  std::uint64_t started = 0;    ///< workers, ever
  std::uint64_t lost = 0;       ///< workers that died, or were killed for a call that did not end
};

/// Worker processes that run portable functions: submit<f>(args...), map<f>(range), with(options), as on every
/// executor. A worker that dies, of whatever, takes its own call with it (`worker_lost`, or another attempt with
/// .retries) and is replaced; other calls do not notice. A call that outlives its timeout is asked to stop and fails
/// with `timed_out`; after `grace` its worker is killed. Arguments and results are encoded; shared_array and others
/// like it travel as handles. What a call writes to standard output or error appears on ours.
///
/// Thread-safe. Destroying it finishes what it was given.
class process_pool : public executor {
 public:
  /// The most workers of one pool.
  static constexpr int most_workers = 4096;

  /// A pool of as many workers as this machine has processors for us.
  process_pool() : process_pool(process_pool_options()) {}
  /// A pool of `workers` processes.
  explicit process_pool(int workers) : process_pool(process_pool_options{.workers = workers}) {}
  /// Workers are being started when this returns. Throws std::invalid_argument for options that make no sense;
  /// std::logic_error when this program has not called init; os_error when the system refuses.
  explicit process_pool(const process_pool_options& options);
  /// Each worker first calls `initializer` with the arguments. If it throws, or dies, the worker is replaced; after
  /// three in a row the waiting calls fail with that error, and the next submit begins anew.
  template <portable_value Function, class... A>
  process_pool(const process_pool_options& options, Function, A&&... arguments) {
    constexpr auto f = Function();
    detail::outgoing_handles handles;
    std::string encoded = encode(function_traits<f>::store(std::forward<A>(arguments)...));
    make(options, &function_of<f>(), std::move(encoded), handles.take());
  }
  template <portable_value Function, class... A>
  process_pool(int workers, Function initializer, A&&... arguments)
      : process_pool(process_pool_options{.workers = workers}, initializer, std::forward<A>(arguments)...) {}
  /// Says what is missing; there is no such constructor.
  template <detail::function_without_name Function, class... A>
  process_pool(const process_pool_options& /*options*/, Function&& /*function*/, A&&... /*arguments*/) {
    detail::refuse_function<Function>();
  }
  template <detail::function_without_name Function, class... A>
  process_pool(int /*workers*/, Function&& /*function*/, A&&... /*arguments*/) {
    detail::refuse_function<Function>();
  }
  ~process_pool() override;

  int concurrency() const override;
  void shutdown(shutdown_mode mode = finish) override;
  std::unique_ptr<executor> share() override;

  /// More workers, or fewer: those beyond `workers` end when they are through with what they have. Throws
  /// std::invalid_argument unless 1 to 4096, `closed` after shutdown.
  void resize(int workers);
  /// A snapshot.
  [[nodiscard]] process_pool_stats stats() const;
  /// The numbers of the worker processes that run (a snapshot).
  [[nodiscard]] std::vector<int> pids() const;

 protected:
  void start(call work) override;

 private:
  process_pool(std::uint64_t id, std::shared_ptr<detail::pool_core> core);
  void make(const process_pool_options& options, const function_info* initializer, std::string arguments,
            std::vector<unique_fd> handles);

  std::shared_ptr<detail::pool_core> core_;
};

}  // namespace tutti
