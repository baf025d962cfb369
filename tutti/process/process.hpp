// process: a process of its own for a function of this program, or for another program.
#pragma once
#include <tutti/base/codec.hpp>
#include <tutti/base/registry.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/async_wait.hpp>
#include <tutti/process/exit_status.hpp>
#include <tutti/process/handles.hpp>
#include <tutti/process/stdio.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {
class launched;
}
class process;

namespace detail {
// What somebody may try to run in another process, as other libraries run it in a thread: functions, and objects that
// are no options.
template <class F, class Bare = std::remove_cvref_t<F>>
concept function_without_name =
    !portable_value<F> && (std::is_function_v<std::remove_pointer_t<Bare>> ||
                           (std::is_class_v<Bare> && !std::is_aggregate_v<Bare> && !std::is_same_v<Bare, process>));
template <class F>
void refuse_function() {
  static_assert(portable_value<F>,
                "tutti: another process finds a function by its name: write tutti::fn<f> for a function f; a lambda "
                "has no name, so make it a function");
}
}  // namespace detail

/// How a process that runs code of this program begins.
enum class start_method : std::uint8_t {
  fork,  ///< as a copy of a helper with one thread that stays inside init: fast; static objects are initialised already
  exec   ///< as a new image of the program, for libraries that dislike fork
};

/// A limit of the system, see setrlimit: `{RLIMIT_CPU, 10}`. Soft and hard.
struct resource_limit {
  int resource;
  std::uint64_t value;
};

/// How to start a process. Designated initialisers, in this order. What the views refer to must live until the start.
struct process_options {
  std::string_view name = {};  ///< default: "process-N"
  bool daemon = false;         ///< killed, instead of waited for, when its object is destroyed
  bool tree = false;           ///< all its descendants end with it, however they were started
  stdio in = {}, out = {}, err = {};
  std::span<const std::pair<std::string, std::string>> environment = {};  ///< set beside, or instead of, ours
  std::string_view directory = {};                                        ///< to begin in; default: ours
  std::span<const resource_limit> limits = {};
  std::span<const int> cpus = {};           ///< processors it may run on; default: as we
  start_method start = start_method::fork;  ///< of a function
};

static_assert(std::is_trivially_destructible_v<process_options>);

/// What a process has written, and how it ended.
struct process_output {
  std::string out, err;  ///< of the streams that are pipes
  exit_status status;
};

/// A running process, or one that has ended. Whoever dies first and in whatever way, no zombie and no orphan is left: a
/// process never outlives the program that started it. Move-only. One object is used by one thread at a time, but for
/// terminate(), kill(), alive() and pid(), which may be called while it is joined.
class process {
 public:
  class join_awaiter;

  /// Holds none.
  process() noexcept = default;
  /// Calls a portable function in a process of its own: `process p{fn<work>, 1, "two"}`. The arguments are converted to
  /// its parameter types and encoded before this returns; its result is dropped. What it throws is written to standard
  /// error, kept for failure(), and makes the exit code 1. Blocks until the process runs. Throws std::logic_error when
  /// this program has not called init; os_error when the system refuses; what encoding throws.
  template <portable_value Function, class... A>
  explicit process(Function function, A&&... arguments)
      : process(process_options(), function, std::forward<A>(arguments)...) {}
  template <portable_value Function, class... A>
  process(const process_options& options, Function, A&&... arguments) {
    constexpr auto f = Function();
    const detail::outgoing_handles handles;
    const std::string encoded = encode(function_traits<f>::store(std::forward<A>(arguments)...));
    start(options, function_of<f>(), encoded, handles);
  }
  /// Says what is missing; there is no such constructor.
  template <detail::function_without_name Function, class... A>
  explicit process(Function&& /*function*/, A&&... /*arguments*/) {
    detail::refuse_function<Function>();
  }
  template <detail::function_without_name Function, class... A>
  process(const process_options& /*options*/, Function&& /*function*/, A&&... /*arguments*/) {
    detail::refuse_function<Function>();
  }
  /// Starts a program: its name, which is looked for in its PATH unless it has a slash, and its arguments. No shell
  /// takes part: a script needs its line #!. Throws os_error, naming what was not found or not allowed;
  /// std::invalid_argument for no name.
  static process exec(const std::vector<std::string>& command, const process_options& options = {});

  process(process&& other) noexcept = default;
  /// Ends what it held as the destructor does.
  process& operator=(process&& other) noexcept;
  /// Kills a daemon; blocks until the process has ended.
  ~process();

  /// False when it holds none.
  [[nodiscard]] explicit operator bool() const noexcept { return running_ != nullptr; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The number of the process, also after its end; 0 when it holds none.
  [[nodiscard]] int pid() const noexcept;
  [[nodiscard]] bool daemon() const noexcept { return daemon_; }
  /// True until it has ended. Right after terminate() or kill() it may still be.
  [[nodiscard]] bool alive() const noexcept;
  /// How it ended; nothing while it runs.
  [[nodiscard]] std::optional<exit_status> status() const noexcept;
  /// What its function threw, as far as it can cross (exception_codec.hpp); null while it runs, and otherwise.
  [[nodiscard]] std::exception_ptr failure() const;

  /// Blocks until it has ended. What pipes hold does not keep it from ending, but full pipes do: see communicate.
  /// Throws std::logic_error when it holds none.
  exit_status join(place here = place::current());
  /// The same for at most `limit`, on tutti's clock; nothing when the time is up.
  std::optional<exit_status> join(std::chrono::nanoseconds limit, place here = place::current());
  /// Suspends the coroutine until it has ended; gives its exit_status.
  [[nodiscard]] join_awaiter join_async(place here = place::current());

  /// Asks it to end: SIGTERM. Nothing if it has ended. Does not wait.
  void terminate() noexcept;
  /// Ends it, and with `tree` its descendants: SIGKILL. Nothing if it has ended. Does not wait.
  void kill() noexcept;
  /// Sends any signal.
  void signal(int number) noexcept;

  /// Our ends of its pipes; none where a stream is not a pipe. Close in() to let it see the end of its input. Writing
  /// after it has closed its end is SIGPIPE, as with every pipe.
  [[nodiscard]] unique_fd& in() noexcept { return pipes_[0]; }
  [[nodiscard]] unique_fd& out() noexcept { return pipes_[1]; }
  [[nodiscard]] unique_fd& err() noexcept { return pipes_[2]; }
  /// Writes `input` to its input pipe and closes that, reads its output pipes to their ends, then joins. Blocks
  /// until then. Throws std::logic_error for input without a pipe; os_error.
  process_output communicate(std::string_view input = {});
  /// The same for at most `limit`, on the machine's clock. When the time is up the process is killed, as by kill(), and
  /// timed_out thrown; what it wrote until then is lost.
  process_output communicate(std::string_view input, std::chrono::nanoseconds limit);

 private:
  void start(const process_options& options, const function_info& function, const std::string& arguments,
             const detail::outgoing_handles& handles);
  [[noreturn]] void too_long(std::chrono::nanoseconds limit);
  void end() noexcept;
  detail::launched& held(const char* what) const;

  std::string name_;
  bool daemon_ = false;
  std::shared_ptr<detail::launched> running_;
  unique_fd pipes_[3];
  unique_fd payload_;  // of a function: its last words
};

/// "process-1 (pid 123): running", "...: exit code 0", "...: killed by SIGTERM".
[[nodiscard]] std::string to_string(const process& p);

/// What join_async gives: await it, once; gives the exit_status. Throws `cancelled` when the task is asked to stop.
class process::join_awaiter final : public list_wait {
 public:
  exit_status await_resume();

 private:
  friend process;
  join_awaiter(std::shared_ptr<detail::launched> running, const place& here);
  bool ready() noexcept override;
  const std::shared_ptr<detail::launched> running_;
};

}  // namespace tutti
