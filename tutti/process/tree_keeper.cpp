#include <tutti/process/tree_keeper.hpp>

#include <tutti/process/child_setup.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace tutti::detail {
namespace {

static_assert(keeper_terminate == SIGUSR1 && keeper_kill == SIGUSR2);

// The parent of a process, from /proc/PID/stat: "PID (name) state parent ..."; 0: gone.
::pid_t parent_of(::pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text);
  const std::size_t end = text.rfind(')');
  return end == text.npos || end + 4 > text.size() ? 0 : std::atoi(text.c_str() + end + 4);
}

std::vector<::pid_t> own_children() {
  std::vector<::pid_t> result;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const ::pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && parent_of(pid) == ::getpid()) result.push_back(pid);
  }
  return result;
}

// Our children are killed, and so are theirs once they are ours, until none is left. Nobody but us can reap a child of
// ours, so no number here is a stranger's.
void kill_all() {
  for (;;) {
    for (const ::pid_t child : own_children()) ::kill(child, SIGKILL);
    if (::waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

[[noreturn]] void end_as(int status) {
  if (!WIFSIGNALED(status)) ::_exit(WEXITSTATUS(status));
  const ::rlimit no_core{0, 0};  // one is enough
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(WTERMSIG(status), SIG_DFL);
  // Not by another signal that came too late to be heard.
  ::sigset_t all_others;
  ::sigfillset(&all_others);
  ::sigdelset(&all_others, WTERMSIG(status));
  ::sigprocmask(SIG_SETMASK, &all_others, nullptr);
  ::raise(WTERMSIG(status));
  ::_exit(128 + WTERMSIG(status));
}

[[noreturn]] void keep(::pid_t process, ::pid_t launcher, const ::sigset_t& heard) {
  for (;;) {
    int status = 0;
    const ::pid_t ended = ::waitpid(-1, &status, WNOHANG);
    if (ended == process) {
      kill_all();
      end_as(status);
    }
    if (ended > 0) continue;
    int signal = 0;
    ::sigwait(&heard, &signal);
    if (::waitpid(process, &status, WNOHANG) == process) {  // it had ended before, however it was to end
      kill_all();
      end_as(status);
    }
    if (signal == keeper_terminate) ::kill(process, SIGTERM);
    // SIGCONT is how we hear of the launcher's death; anybody may send one.
    if (signal == keeper_kill || (signal == SIGCONT && ::getppid() != launcher)) {
      ::kill(process, SIGKILL);
      // It may have been about to end otherwise: while one of its threads is left, that is not told.
      if (::waitpid(process, &status, 0) != process) status = SIGKILL;
      kill_all();
      end_as(status);
    }
  }
}

}  // namespace

void keep_tree(const unique_fd& notes) {
  ::sigset_t heard, before;
  ::sigemptyset(&heard);
  for (const int signal : {SIGCHLD, SIGTERM, SIGCONT, keeper_terminate, keeper_kill}) ::sigaddset(&heard, signal);
  ::sigprocmask(SIG_BLOCK, &heard, &before);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const ::pid_t keeper = ::getpid();
  const ::pid_t launcher = ::getppid();
  const ::pid_t process = ::fork();
  if (process == 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != keeper) ::_exit(127);
    return;
  }
  const setup_note note{process, launch_stage::fork, process < 0 ? errno : 0};
  if (process < 0) {
    const setup_note failed{0, launch_stage::fork, note.error};
    [[maybe_unused]] const ::ssize_t written = ::write(notes.get(), &failed, sizeof failed);
    ::_exit(127);
  }
  [[maybe_unused]] const ::ssize_t written = ::write(notes.get(), &note, sizeof note);
  ::close_range(3, ~0U, 0);  // the end of the pipe is the process's; all else is not for us
  ::prctl(PR_SET_NAME, "tutti-keeper");
  // Its death is not ours: there is something to be done first, also if we are stopped.
  ::prctl(PR_SET_PDEATHSIG, SIGCONT);
  if (::getppid() != launcher) {
    ::kill(process, SIGKILL);
    kill_all();
    ::_exit(127);
  }
  keep(process, launcher, heard);
}

}  // namespace tutti::detail
