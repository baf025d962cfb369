#include <tutti/process/launcher.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/init.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/launchers.hpp>
#include <tutti/process/machine_time.hpp>
#include <tutti/process/value_message.hpp>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>

namespace tutti::detail {
namespace {

constexpr std::chrono::milliseconds time_to_init{5000}, time_to_leave{5000}, time_to_end{2000};

constexpr const char* init_line = "make `tutti::init(argc, argv);` the first line of its main";

// Where this program may run. A thread that makes a pool may have less, which is not for workers.
const ::cpu_set_t cpus_at_start = [] {
  ::cpu_set_t cpus;
  CPU_ZERO(&cpus);
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  return cpus;
}();

std::string in_quotes(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string own_path() {
  std::error_code unknown;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", unknown);
  return unknown ? "this program" : path.string();
}

// Of a launcher's program, for errors.
std::string shown_path(const std::string& program) { return program.empty() ? own_path() : program; }

}  // namespace

launcher::launcher(std::string program) : program_(std::move(program)), forks_(forks_before_this_process()) {}

std::shared_ptr<launcher> launcher::of(const std::string& program) { return launchers::of(program); }

// ---------------------------------------------------------------- starting

std::shared_ptr<launched> launcher::start(launch_request request, std::span<const int> handles,
                                          std::function<void(launched&)> on_over) {
  if (program_.empty() && !initialised()) {
    throw std::logic_error("cannot start process " + in_quotes(request.name) + ": this program, " + own_path() +
                           ", has not called tutti::init, by which its processes begin: " + init_line);
  }
  auto child = std::make_shared<launched>();
  child->by_ = shared_from_this();
  child->name_ = request.name;
  child->program_ = request.arguments.empty() ? own_path() : request.arguments.front();
  child->directory_ = request.directory;
  child->on_over_ = std::move(on_over);
  for (;;) {  // the launcher process may have died unnoticed
    {
      std::unique_lock lock(mutex_);
      connect(lock, request.name);
      request.id = child->id_ = ++last_id_;
      children_.emplace(request.id, child);
    }
    try {
      const std::lock_guard sending(sending_);
      const bool still_wanted = [&] {  // or else the launcher process died, and this socket is the next one's
        const std::lock_guard lock(mutex_);
        return children_.contains(request.id);
      }();
      if (still_wanted && socket_ && send_value(socket_, launcher_request(request), handles)) return child;
    } catch (...) {
      const std::lock_guard lock(mutex_);
      children_.erase(request.id);
      throw;
    }
    std::unique_lock lock(mutex_);
    if (children_.erase(request.id) == 0) return child;  // its end has been told by then
    changed_.wait(lock, [this] { return connection_ != connection::ready || leaving_; });
    if (leaving_) break;
  }
  throw closed("cannot start process " + in_quotes(request.name) + ": this program is ending");
}

// `name`: for whom.
void launcher::connect(std::unique_lock<std::mutex>& lock, const std::string& name) {
  const std::uint64_t before = attempts_;
  while (connection_ != connection::ready) {
    if (leaving_) throw closed("cannot start process " + in_quotes(name) + ": this program is ending");
    if (attempts_ != before) std::rethrow_exception(refused_);
    if (!has_thread_) {
      try {  // until leave(), or the end of the process
        std::thread([self = shared_from_this()] { self->run(); }).detach();
      } catch (const std::system_error& wrong) {
        throw os_error::of("cannot start process " + in_quotes(name) + ": the thread that starts processes of " +
                               in_quotes(shown_path(program_)) + " cannot be made",
                           wrong.code().value());
      }
      has_thread_ = true;
    }
    if (connection_ == connection::none) connection_ = connection::wanted;
    changed_.notify_all();
    before_sleeping();
    changed_.wait(lock);
  }
}

void launcher::signal(std::uint64_t id, int number) noexcept {
  if (forks_ != forks_before_this_process()) return;  // it is the parent's
  const std::lock_guard sending(sending_);
  try {
    if (socket_) send_value(socket_, launcher_request(signal_request{id, number}));
  } catch (const std::exception& wrong) {
    log(log_level::error, std::string("a signal for a process was not sent: ") + wrong.what());
  }
}

// ---------------------------------------------------------------- the thread

// It, and nobody else, starts launcher processes: they are told of the death of the thread that did.
void launcher::run() {
  ::pthread_setname_np(::pthread_self(), "tutti-launcher");
  ::sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);  // handlers are the program's business
  ::sched_setaffinity(0, sizeof cpus_at_start, &cpus_at_start);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return connection_ == connection::wanted || leaving_; });
    if (leaving_) break;
    lock.unlock();
    launch();
    lock.lock();
  }
  left_ = true;
  changed_.notify_all();
}

// Starts a launcher process and serves it until it is gone.
void launcher::launch() {
  ::pid_t process = -1;
  int opened = -1;
  try {
    auto [ours, theirs] = message_socket::pair();
    ::posix_spawn_file_actions_t files;
    ::posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    // It has our three streams, its socket, and nothing else of ours.
    ::posix_spawn_file_actions_adddup2(&files, theirs.fd(), launcher_socket);
    ::posix_spawn_file_actions_addclosefrom_np(&files, launcher_socket + 1);
    ::sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    const std::string path = program_.empty() ? "/proc/self/exe" : program_;
    std::string shown = shown_path(program_);
    std::string flag = "--tutti-worker=launcher";
    char* const arguments[] = {shown.data(), flag.data(), nullptr};
    std::vector<std::string> environment = current_environment();
    std::erase_if(environment, [](const std::string& v) { return v.starts_with("TUTTI_TRACE="); });  // it runs no tasks
    std::vector<char*> variables;
    variables.reserve(environment.size() + 1);
    for (std::string& variable : environment) variables.push_back(variable.data());
    variables.push_back(nullptr);
    const int error = ::posix_spawn(&process, path.c_str(), &files, &attributes, arguments, variables.data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&files);
    if (error != 0) {
      process = -1;
      throw os_error::of("cannot start " + in_quotes(shown) + " as the launcher of processes", error);
    }
    theirs.close();
    opened = ours.fd();
    launchers::opened(opened);
    {
      const std::lock_guard sending(sending_);
      const std::lock_guard lock(mutex_);
      socket_ = std::move(ours);
      if (leaving_) ::shutdown(socket_.fd(), SHUT_RDWR);
    }
    greet(process);
    {
      const std::lock_guard lock(mutex_);
      connection_ = connection::ready;
    }
    changed_.notify_all();
    serve(socket_);
    wait_for_end(process);
  } catch (const std::exception&) {
    const std::lock_guard lock(mutex_);
    if (connection_ == connection::ready) {
      log(log_level::error, "the launcher of processes is given up: what it said makes no sense",
          {{"program", shown_path(program_)}});
    } else {
      refused_ = std::current_exception();
      ++attempts_;
    }
  }
  if (process > 0) {
    ::kill(process, SIGKILL);  // if it is still there, it cannot be talked to; we have not reaped it
    ::waitpid(process, nullptr, 0);
  }
  if (opened >= 0) launchers::closed(opened);
  lost();
}

// It has closed its socket, or seen us close ours: then it ends what it has started, which takes a moment.
void launcher::wait_for_end(int process) {
  const unique_fd ended(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  if (!ended) return;
  ::pollfd polled{ended.get(), POLLIN, 0};
  while (::poll(&polled, 1, static_cast<int>(time_to_end.count())) < 0 && errno == EINTR) {
  }
}

// Waits for its first words.
void launcher::greet(int process) {
  const std::string shown = shown_path(program_);
  ::pollfd polled{socket_.fd(), POLLIN, 0};
  int ready = 0;
  const auto end = std::chrono::steady_clock::now() + time_to_init;
  do {
    ready = ::poll(&polled, 1, milliseconds_until(end));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    throw os_error(
        in_quotes(shown) + ", started as the launcher of processes, did not reach tutti::init within 5 s: " + init_line,
        ETIMEDOUT);
  }
  try {
    const std::optional<message> first = receive_bytes(socket_);
    if (first && std::holds_alternative<hello>(decode<launcher_report>(first->bytes))) return;
    if (first) throw decode_error("something else");
  } catch (const decode_error&) {
    throw os_error(in_quotes(shown) +
                       ", started as the launcher of processes, has not begun with a greeting, but has written "
                       "something else to its descriptor " +
                       std::to_string(launcher_socket) + ": it must be a program of tutti::process; " + init_line,
                   ENOEXEC);
  }
  int status = 0;
  ::siginfo_t ended{};
  wait_for_end(process);
  ::waitid(P_PID, static_cast<::id_t>(process), &ended, WEXITED | WNOWAIT | WNOHANG);
  if (ended.si_pid == 0) {
    throw os_error(in_quotes(shown) +
                       ", started as the launcher of processes, has closed its socket before it reached " +
                       "tutti::init: it must be a program of tutti::process; " + init_line,
                   ENOEXEC);
  }
  status = ended.si_code == CLD_EXITED ? ended.si_status << 8 : ended.si_status;
  throw os_error(in_quotes(shown) + ", started as the launcher of processes, ended (" +
                     to_string(exit_status::of_wait(status)) +
                     ") before it reached tutti::init: it must be a program of "
                     "tutti::process; " +
                     init_line,
                 ENOEXEC);
}

void launcher::serve(message_socket& socket) {
  while (const auto received = receive_bytes(socket)) take(decode<launcher_report>(received->bytes));
}

void launcher::take(const launcher_report& report) {
  if (const auto* const started = std::get_if<start_report>(&report)) {
    std::shared_ptr<launched> child;
    {
      const std::lock_guard lock(mutex_);
      const auto found = children_.find(started->id);
      if (found == children_.end()) return;
      child = found->second;
      if (started->pid == 0) children_.erase(found);
    }
    if (started->pid != 0) {
      child->pid_.store(started->pid, std::memory_order_release);
      return child->become(launched::state::running);
    }
    std::string text = "cannot start process " + in_quotes(child->name_) + ": ";
    switch (started->stage) {
      case launch_stage::fork: text += "fork"; break;
      case launch_stage::streams: text += "its standard streams"; break;
      case launch_stage::directory: text += "directory " + in_quotes(child->directory_); break;
      case launch_stage::limits: text += "its resource limits"; break;
      case launch_stage::cpus: text += "its processors"; break;
      case launch_stage::program:
        text += "program " + in_quotes(child->program_);
        if (started->error == ENOEXEC) text += " (a script begins with a line like #!/bin/sh)";
        break;
      case launch_stage::init: text += child->program_ + " did not reach tutti::init within 5 s; " + init_line; break;
    }
    child->failure_ = std::make_exception_ptr(os_error::of(text, started->error));
    over(child, launched::state::failed);
  } else if (const auto* const ended = std::get_if<exit_report>(&report)) {
    std::shared_ptr<launched> child;
    {
      const std::lock_guard lock(mutex_);
      const auto found = children_.find(ended->id);
      if (found == children_.end()) return;
      child = std::move(found->second);
      children_.erase(found);
    }
    child->status_ = ended->status;
    over(child, launched::state::ended);
  }
}

void launcher::over(const std::shared_ptr<launched>& child, launched::state how) noexcept {
  auto on_over = std::exchange(child->on_over_, {});
  child->become(how);
  if (on_over) on_over(*child);
}

// The launcher process is gone, and with it whoever it has started.
void launcher::lost() {
  std::unordered_map<std::uint64_t, std::shared_ptr<launched>> children;
  {
    const std::lock_guard sending(sending_);
    const std::lock_guard lock(mutex_);
    socket_.close();
    connection_ = connection::none;
    children.swap(children_);
  }
  changed_.notify_all();
  // They are being killed, which may take a moment: nobody is said to have ended while another one still works.
  const auto end = std::chrono::steady_clock::now() + time_to_end;
  for (const auto& [id, child] : children) {
    if (child->pid() != 0) static_cast<void>(child->ends_until(end));
  }
  for (auto& [id, child] : children) {
    if (child->now() == launched::state::starting) {
      child->failure_ = std::make_exception_ptr(worker_lost("cannot start process " + in_quotes(child->name_) +
                                                            ": the launcher of processes died; try again"));
      over(child, launched::state::failed);
    } else {
      child->status_ = SIGKILL;
      over(child, launched::state::ended);
    }
  }
}

void launcher::leave() noexcept {
  std::unique_lock lock(mutex_);
  leaving_ = true;
  if (socket_) ::shutdown(socket_.fd(), SHUT_RDWR);
  changed_.notify_all();
  if (has_thread_) changed_.wait_for(lock, time_to_leave, [this] { return left_; });
}

std::vector<std::string> current_environment() {
  std::vector<std::string> result;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
    result.emplace_back(*variable);
  return result;
}

}  // namespace tutti::detail
