#include <apps/tutti/rank_keeper.hpp>

#include <apps/tutti/rank_frames.hpp>
#include <tutti/base/unique_fd.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace tutti::app {
namespace {

constexpr std::array ending_signals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
constexpr std::size_t block = 65536;
constexpr int patience_ms = 500;  // from a launcher's SIGTERM to our SIGKILL; Open MPI's comes after a second

// Our number among the ranks, which each launcher says in words of its own.
int rank_here() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    const char* const text = std::getenv(name);
    int rank = 0;
    if (text == nullptr) continue;
    if (std::from_chars(text, text + std::strlen(text), rank).ec == std::errc()) return rank;
  }
  return 0;
}

std::string host_here() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "tutti: no rank can be run here: %s: %s\n", what, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

// Where records go; blocks until the launcher takes them.
class record_channel {
 public:
  explicit record_channel(int rank) : rank_(rank), fd_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
    if (!fd_) fail("standard error");
  }
  int fd() const noexcept { return fd_.get(); }
  void send(rank_news news, std::string_view bytes) {
    records_.clear();
    append_frames(records_, news, rank_, bytes);
    for (std::string_view left = records_; !left.empty();) {
      const ssize_t sent = ::write(fd_.get(), left.data(), left.size());
      if (sent > 0) {
        left.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN) {
        pollfd room{fd_.get(), POLLOUT, 0};
        ::poll(&room, 1, -1);
      } else if (errno != EINTR) {
        return;  // nobody is there to hear it: run() sees that too
      }
    }
  }

 private:
  const int rank_;
  const unique_fd fd_;
  std::string records_;
};

class rank_keeper {
 public:
  rank_keeper(char** words, bool keep_going, bool stays)
      : words_(words), stays_(stays), rank_(rank_here()), channel_(rank_) {
    ::setpgid(0, 0);  // who ends the rank ends its group; a launcher may have made one already
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGCHLD, SIG_DFL);  // may be inherited as ignored, and then there is no exit code
    // MPICH's way to tell the others that a rank has died; its default action would be their end.
    if (keep_going) ::signal(SIGUSR1, SIG_IGN);
    sigset_t heard;
    sigemptyset(&heard);
    for (const int signal : ending_signals) sigaddset(&heard, signal);
    sigaddset(&heard, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &heard, &mask_before_);
    signals_ = unique_fd(::signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) fail("signals");
  }

  int run() {
    start();
    std::array<pollfd, 4> wanted = {
        {{signals_.get(), POLLIN, 0}, {output_.get(), POLLIN, 0}, {errors_.get(), POLLIN, 0}, {channel_.fd(), 0, 0}}};
    while (!is_over_) {
      const int ready = ::poll(wanted.data(), wanted.size(), told_ ? patience_ms : -1);
      if (ready == 0) ::kill(program_, SIGKILL);
      if (ready <= 0) continue;
      if (wanted[1].revents != 0 && forward(output_, rank_news::output) == 0) wanted[1].fd = -1;
      if (wanted[2].revents != 0 && forward(errors_, rank_news::errors) == 0) wanted[2].fd = -1;
      if (wanted[0].revents != 0) hear_signals();
      if ((wanted[3].revents & (POLLERR | POLLHUP)) != 0) {  // the launcher is gone, and with it the job
        told_ = true;
        ::kill(program_, SIGKILL);
        wanted[3].fd = -1;
      }
    }
    end_descendants();
    while (forward(output_, rank_news::output) > 0) {
    }
    while (forward(errors_, rank_news::errors) > 0) {
    }
    return report();
  }

 private:
  void start() {
    std::array<int, 2> out{}, err{}, verdict{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0 ||
        ::pipe2(verdict.data(), O_CLOEXEC) != 0)
      fail("pipes");
    program_ = ::fork();
    if (program_ < 0) fail("fork");
    if (program_ == 0) {
      // With the keeper it must go, whatever kills that.
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      // Rank 0 has the input; MPICH gives the others one that never ends.
      if (rank_ != 0) ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(err[1], STDERR_FILENO);
      ::signal(SIGPIPE, SIG_DFL);
      ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
      ::execvp(words_[0], words_);
      const int why = errno;
      static_cast<void>(!::write(verdict[1], &why, sizeof why));
      ::_exit(127);
    }
    output_ = unique_fd(out[0]);
    errors_ = unique_fd(err[0]);
    for (const int fd : {out[1], err[1], verdict[1]}) ::close(fd);
    for (const int fd : {out[0], err[0]}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
    const unique_fd told(verdict[0]);
    if (::read(told.get(), &not_started_, sizeof not_started_) != sizeof not_started_) not_started_ = 0;
    close_inherited();
  }

  // What the launcher gave is for the program: who waits for its end must not wait for ours.
  void close_inherited() const {
    if (stays_) return;
    std::vector<int> ours = {signals_.get(), output_.get(), errors_.get(), channel_.fd()};
    std::ranges::sort(ours);
    unsigned from = 3;
    for (const int fd : ours) {
      const auto at = static_cast<unsigned>(fd);
      if (from < at) ::close_range(from, at - 1, 0);
      from = at + 1;
    }
    ::close_range(from, ~0U, 0);
    if (const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC); nothing >= 0) {
      ::dup2(nothing, STDIN_FILENO);  // not our output: MPICH takes the end of that for the end of the rank
      ::close(nothing);
    }
  }

  // One block of it; how much that was: 0 at the end of the stream, negative when there is none now.
  ssize_t forward(const unique_fd& from, rank_news news) {
    std::array<char, block> bytes;
    const ssize_t got = ::read(from.get(), bytes.data(), bytes.size());
    if (got > 0) channel_.send(news, {bytes.data(), static_cast<std::size_t>(got)});
    return got;
  }

  void hear_signals() {
    for (signalfd_siginfo heard{}; ::read(signals_.get(), &heard, sizeof heard) == sizeof heard;) {
      if (heard.ssi_signo == SIGCHLD) {
        is_over_ = is_over_ || ::waitpid(program_, &status_, WNOHANG) == program_;
      } else if (heard.ssi_pid != static_cast<std::uint32_t>(::getpid())) {
        told_ = true;
        ::kill(0, static_cast<int>(heard.ssi_signo));  // the group, us too
      }
    }
  }

  // Those it has left behind are our children now, and their children when they end.
  static void end_descendants() {
    for (;;) {
      std::ifstream children("/proc/thread-self/children");
      if (!children) return;  // then there may be some that nobody ends
      for (pid_t child = 0; children >> child;) ::kill(child, SIGKILL);
      if (::waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
    }
  }

  // MPICH's launcher ends all, or forgets the others, when one ends badly: so that one only ends with the job.
  void stay() {
    while (!told_) {
      std::array<pollfd, 2> wanted = {{{signals_.get(), POLLIN, 0}, {channel_.fd(), 0, 0}}};
      if (::poll(wanted.data(), wanted.size(), -1) <= 0) continue;
      if (wanted[0].revents != 0) hear_signals();
      told_ = told_ || wanted[1].revents != 0;
    }
    std::_Exit(EXIT_SUCCESS);
  }

  int report() {
    const std::string host = ' ' + host_here();
    if (not_started_ != 0) {
      channel_.send(rank_news::not_started, std::to_string(not_started_) + host);
      return 127;
    }
    if (told_) {
      channel_.send(rank_news::ended_by_us, '0' + host);
    } else if (WIFSIGNALED(status_)) {
      channel_.send(rank_news::signalled, std::to_string(WTERMSIG(status_)) + host);
    } else {
      channel_.send(rank_news::exited, std::to_string(WEXITSTATUS(status_)) + host);
    }
    if (stays_ && status_ != 0 && !told_) stay();
    if (!WIFSIGNALED(status_)) return WEXITSTATUS(status_);
    const int signal = WTERMSIG(status_);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);  // the program has left its own
    ::signal(signal, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
    ::kill(::getpid(), signal);
    return 128 + signal;
  }

  char** const words_;
  const bool stays_;
  const int rank_;
  record_channel channel_;
  sigset_t mask_before_{};
  unique_fd signals_, output_, errors_;
  pid_t program_ = 0;
  int not_started_ = 0;  // errno
  int status_ = 0;
  bool is_over_ = false;
  bool told_ = false;  // by the launcher, to end
};

}  // namespace

bool is_rank_keeper(int argc, const char* const* argv) {
  return argc > 3 && std::string_view(argv[1]) == rank_keeper_word;
}

int keep_rank(int /*argc*/, char** argv) {
  const std::string_view how = argv[2];
  return rank_keeper(argv + 3, how != "-", how == "stay").run();
}

}  // namespace tutti::app
