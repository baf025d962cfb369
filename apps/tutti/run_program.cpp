#include <apps/tutti/run_program.hpp>

#include <apps/tutti/printable.hpp>
#include <tutti/base/unique_fd.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace tutti::app {
namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t kept_output = 4096;  // the end of what a program wrote
constexpr int kept_lines = 10;
constexpr std::array ending_signals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

[[noreturn]] void fail(const char* what, int error = errno) {
  throw std::system_error(error, std::generic_category(), what);
}

// The process group to kill when a signal ends us; 0 when there is none. Lock-free, so a signal handler may read it;
// relaxed, because that handler runs on whatever thread and needs nothing but the number.
std::atomic<pid_t> running_group = 0;
static_assert(std::atomic<pid_t>::is_always_lock_free);

// Was installed with SA_RESETHAND: the signal raised here is delivered when this returns, and then ends the process.
extern "C" void kill_group_and_end(int signal) {
  if (const pid_t group = running_group.load(std::memory_order_relaxed); group > 0) ::kill(-group, SIGKILL);
  ::raise(signal);
}

// While it lives, ending signals take the group along; those that are ignored (nohup) stay so. And a program that has
// ended stays until it is waited for: where SIGCHLD is ignored, which is inherited, its exit status would be lost.
class group_guard {
 public:
  group_guard() {
    struct sigaction ours = {};
    ours.sa_handler = kill_group_and_end;
    ours.sa_flags = static_cast<int>(SA_RESETHAND);
    sigemptyset(&ours.sa_mask);
    for (std::size_t i = 0; i < ending_signals.size(); ++i) {
      ::sigaction(ending_signals[i], nullptr, &before_[i]);
      if (before_[i].sa_handler != SIG_IGN) ::sigaction(ending_signals[i], &ours, nullptr);
    }
    struct sigaction kept = {};
    kept.sa_handler = SIG_DFL;
    sigemptyset(&kept.sa_mask);
    ::sigaction(SIGCHLD, &kept, &child_before_);
  }
  ~group_guard() {
    running_group.store(0, std::memory_order_relaxed);
    for (std::size_t i = 0; i < ending_signals.size(); ++i) ::sigaction(ending_signals[i], &before_[i], nullptr);
    ::sigaction(SIGCHLD, &child_before_, nullptr);
  }
  group_guard(const group_guard&) = delete;
  group_guard& operator=(const group_guard&) = delete;

 private:
  std::array<struct sigaction, ending_signals.size()> before_ = {};
  struct sigaction child_before_ = {};
};

// Blocks the ending signals: between a process and the note of its group nothing may end us.
class signals_blocked {
 public:
  signals_blocked() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : ending_signals) sigaddset(&set, signal);
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

struct spawn_settings {
  spawn_settings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~spawn_settings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  spawn_settings(const spawn_settings&) = delete;
  spawn_settings& operator=(const spawn_settings&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<std::string> result;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (std::ranges::find(changes, name, [](const auto& change) { return std::string_view(change.first); }) ==
        changes.end())
      result.emplace_back(text);
  }
  for (const auto& [name, value] : changes) result.push_back(name + '=' + value);
  return result;
}

// The array of pointers that exec wants, into `texts`.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// The process, whose output goes to `output`; notes its group.
pid_t start_process(const program& what, int output) {
  std::vector<std::string> words = what.words;
  std::vector<std::string> environment = environment_with(what.environment);
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> envp = pointers(environment);

  spawn_settings settings;
  ::posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&settings.actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&settings.actions, output, STDERR_FILENO);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &all);
  // A session, not only a group: in the background of our terminal, a program that reads /dev/tty is stopped for ever.
  ::posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const signals_blocked blocked;
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], &settings.actions, &settings.attributes, argv.data(), envp.data());
  if (error == EAGAIN || error == ENOMEM) fail("no process for the program", error);
  if (error != 0) {
    const std::string& name = what.words.front();
    std::string text = fmt::format("\"{}\" cannot be started: {}", name, std::strerror(error));
    if (error == ENOENT && name.find('/') == std::string::npos) {
      text += "; it is in no directory of PATH";
      if (std::filesystem::is_regular_file(name) && ::access(name.c_str(), X_OK) == 0)
        text += fmt::format("; the file of that name here is ./{}", name);
    }
    throw not_a_program(text);
  }
  running_group.store(pid, std::memory_order_relaxed);
  return pid;
}

// Reads what there is, one buffer of it, without waiting, and keeps the end: who writes faster than we read must not
// keep us from looking at the clock. False at the end of the stream.
bool drain(int fd, std::string& kept) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(fd, buffer.data(), buffer.size());
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  kept.append(buffer.data(), static_cast<std::size_t>(got));
  if (kept.size() > 2 * kept_output) kept.erase(0, kept.size() - kept_output);
  return true;
}

// The last lines, indented, after a new line; "" for no output.
std::string last_lines(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return "; it wrote nothing";
  std::size_t from = text.size();
  for (int lines = 0; lines < kept_lines && from != std::string_view::npos && from != 0; ++lines)
    from = text.rfind('\n', from - 1);
  text.remove_prefix(from == std::string_view::npos || from == 0 ? 0 : from + 1);
  std::string result = "; its last lines:\n  ";
  for (;;) {
    const std::size_t end = std::min(text.find_first_of("\n\t"), text.size());
    result += printable(text.substr(0, end));
    if (end == text.size()) return result;
    result += text[end] == '\n' ? "\n  " : "\t";
    text.remove_prefix(end + 1);
  }
}

// A word that a terminal should not see as it is: $'a\033b', which bash, zsh and POSIX.1-2024 read.
std::string escaped(std::string_view word) {
  std::string result = "$'";
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F || c == '\'' || c == '\\') {
      result += fmt::format("\\{:03o}", byte);
    } else {
      result += c;
    }
  }
  return result + '\'';
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

std::string quoted(const std::vector<std::string>& words) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_{}";
  std::string result;
  for (const std::string& word : words) {
    if (!result.empty()) result += ' ';
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) {
      result += word;
      continue;
    }
    if (printable(word) != word) {
      result += escaped(word);
      continue;
    }
    result += '\'';
    for (const char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    result += '\'';
  }
  return result;
}

program_run run_program(const program& what, std::optional<double> timeout) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) fail("no pipe for the program's output");
  const unique_fd output(ends[0]);
  unique_fd input(ends[1]);
  // Only our end is to be non-blocking: programs do not expect that of theirs.
  ::fcntl(input.get(), F_SETFL, 0);

  const group_guard guard;
  const auto start = steady::now();
  const pid_t pid = start_process(what, input.get());
  input.reset();
  // By number: the C library's header for it does not say that its functions are C.
  const unique_fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int no_pidfd = process ? 0 : errno;

  std::string kept;
  bool timed_out = false;
  int no_poll = 0;
  std::array<pollfd, 2> wanted = {{{process.get(), POLLIN, 0}, {output.get(), POLLIN, 0}}};
  while (process) {
    int wait = -1;
    if (timeout) {
      const double left = *timeout - std::chrono::duration<double>(steady::now() - start).count();
      timed_out = left <= 0;
      if (timed_out) break;
      wait = static_cast<int>(std::ceil(std::min(left, 3600.0) * 1000));
    }
    if (::poll(wanted.data(), wanted.size(), wait) < 0) {
      if (errno == EINTR) continue;
      no_poll = errno;
      break;
    }
    if (wanted[0].revents != 0) break;
    if (wanted[1].revents != 0 && !drain(output.get(), kept)) wanted[1].fd = -1;
  }
  const auto end = steady::now();
  // What it left behind would take its share of the next run. Until it is waited for, nobody else has its number.
  ::kill(-pid, SIGKILL);
  running_group.store(0, std::memory_order_relaxed);
  int status = 0;
  rusage used = {};
  while (::wait4(pid, &status, 0, &used) < 0) {
    if (errno != EINTR) fail("wait4");
  }
  if (!process) fail("no pidfd for the program", no_pidfd);
  if (no_poll != 0) fail("poll", no_poll);
  // Children in groups of their own may hold the other end, and write: what a full pipe holds is enough.
  for (int buffers = 0; buffers < 16 && drain(output.get(), kept); ++buffers) {
  }

  const std::string name = fmt::format("\"{}\"{}{}", quoted(what.words), what.note.empty() ? "" : " ", what.note);
  if (timed_out) throw program_failed(fmt::format("{} did not end within {} s{}", name, *timeout, last_lines(kept)));
  if (WIFSIGNALED(status)) {
    const char* signal = ::sigabbrev_np(WTERMSIG(status));
    throw program_failed(fmt::format("{} was ended by signal {} ({}){}", name, WTERMSIG(status),
                                     signal == nullptr ? "unknown" : fmt::format("SIG{}", signal), last_lines(kept)));
  }
  if (WEXITSTATUS(status) != 0)
    throw program_failed(fmt::format("{} failed with exit code {}{}", name, WEXITSTATUS(status), last_lines(kept)));
  return {.seconds = std::chrono::duration<double>(end - start).count(),
          .cpu_seconds = seconds_of(used.ru_utime) + seconds_of(used.ru_stime),
          .peak_bytes = used.ru_maxrss * 1024};
}

}  // namespace tutti::app
