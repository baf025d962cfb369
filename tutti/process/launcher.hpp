// launcher: how this program has processes started; the near side of the launcher process.
#pragma once
#include <tutti/core/wait_list.hpp>
#include <tutti/process/exit_status.hpp>
#include <tutti/process/launch_request.hpp>
#include <tutti/process/message_socket.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace tutti::detail {

class launcher;

/// A process that was asked for. Thread-safe.
class launched {
 public:
  /// Each follows on the one before, but `failed`, which follows on `starting`, and `ended`, which may.
  enum class state : std::uint8_t { starting, running, failed, ended };

  [[nodiscard]] state now() const noexcept { return state_.load(std::memory_order_seq_cst); }
  /// True once it has ended, or could not be started.
  [[nodiscard]] bool is_over() const noexcept { return now() >= state::failed; }
  /// Its number; 0 while it starts, and when it could not be started.
  [[nodiscard]] int pid() const noexcept { return pid_.load(std::memory_order_acquire); }
  /// Once it has ended.
  [[nodiscard]] exit_status status() const noexcept { return exit_status::of_wait(status_); }
  /// Once it is over: why it could not be started; null: it was.
  [[nodiscard]] const std::exception_ptr& failure() const noexcept { return failure_; }

  /// Blocks until it runs; throws what failure() is, if that.
  void wait_started();
  /// Blocks until it is over.
  wait_result wait_over(const wait_how& how);
  /// Sleeps until the process has ended, or the machine's clock has passed `deadline`; false: it had not. That it is
  /// over is noted a moment later.
  [[nodiscard]] bool ends_until(std::chrono::steady_clock::time_point deadline) const noexcept;
  /// Who waits until it is over.
  [[nodiscard]] wait_list& waiters() noexcept { return waiters_; }
  /// Sends a signal, unless it is over. Does not wait for its effect.
  void signal(int number) noexcept;
  /// False in a forked child, for what its parent has asked for.
  [[nodiscard]] bool is_of_this_process() const noexcept;

 private:
  friend class launcher;
  void become(state next) noexcept;

  std::shared_ptr<launcher> by_;
  std::uint64_t id_ = 0;
  std::string name_, program_, directory_;  // for errors
  std::function<void(launched&)> on_over_;
  std::atomic<int> pid_{0};
  int status_ = 0;                             // written before it is `ended`
  std::exception_ptr failure_;                 // written before it is `failed`
  std::atomic<state> state_{state::starting};  // seq_cst, as wait_list wants it
  wait_list waiters_;
};

/// Starts processes of this program, or of another one that has the same functions. Each has one launcher process and
/// one thread, from its first use to the end of this program; a launcher process that dies takes all it has started
/// with it, and the next start makes a new one. Thread-safe.
class launcher : public std::enable_shared_from_this<launcher> {
 public:
  /// The one for `program`, a path; "": this program.
  static std::shared_ptr<launcher> of(const std::string& program);

  explicit launcher(std::string program);
  launcher(const launcher&) = delete;
  launcher& operator=(const launcher&) = delete;

  /// Asks for a process; the request refers to `handles`. `on_over` is called once when it is over, on the launcher's
  /// thread, and must not block. Blocks while the launcher process itself is started. Throws std::logic_error when this
  /// program has not called init, and os_error.
  std::shared_ptr<launched> start(launch_request request, std::span<const int> handles,
                                  std::function<void(launched&)> on_over = {});

 private:
  friend class launched;
  friend class launchers;

  // What is known of the launcher process.
  enum class connection : std::uint8_t { none, wanted, ready };

  void connect(std::unique_lock<std::mutex>& lock, const std::string& name);
  void run();
  void launch();
  void greet(int process);
  static void wait_for_end(int process);
  void serve(message_socket& socket);
  void take(const launcher_report& report);
  void lost();
  void over(const std::shared_ptr<launched>& child, launched::state how) noexcept;
  void signal(std::uint64_t id, int number) noexcept;
  void leave() noexcept;

  const std::string program_;
  const std::uint32_t forks_;  // before this process
  // Sends may block until the launcher process reads, which may wait for our thread to read, which takes mutex_. So
  // they have a lock of their own, taken first; socket_ changes under both.
  std::mutex sending_;
  std::mutex mutex_;  // for all below
  std::condition_variable changed_;
  connection connection_ = connection::none;
  std::uint64_t attempts_ = 0;  // to start the launcher process, that have failed
  std::exception_ptr refused_;  // why the last one did
  message_socket socket_;
  bool has_thread_ = false, leaving_ = false, left_ = false;
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<launched>> children_;
};

/// All of the environment, as a request has it.
[[nodiscard]] std::vector<std::string> current_environment();

}  // namespace tutti::detail
