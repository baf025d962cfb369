#include <tutti/process/launcher_main.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/child_setup.hpp>
#include <tutti/process/launch_request.hpp>
#include <tutti/process/tree_keeper.hpp>
#include <tutti/process/value_message.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tutti::detail {
namespace {

using clock = std::chrono::steady_clock;

// How long a new image of this program may take until it reaches init.
constexpr std::chrono::seconds time_to_init{5};

// Written to by the handler of signals. Handlers and this, not a signalfd: a library may have started a thread before
// init was reached, which blocks no signal, so the kernel may give it those for the process.
int heard = -1;

extern "C" void hear(int) {
  const int before = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ::ssize_t written = ::write(heard, &one, sizeof one);
  errno = before;
}

struct child {
  ::pid_t forked = 0;  // whom we reap: the process, or its keeper
  ::pid_t pid = 0;     // the process
  bool tree = false;
  unique_fd notes;               // until it runs
  clock::time_point must_run{};  // until then, if it is a new image
  std::optional<int> ended;      // before it was said to run
  std::optional<setup_note> failed;
};

class launcher_process {
 public:
  explicit launcher_process(unique_fd socket) : socket_(std::move(socket)) {}

  // Until the program is gone. Then nobody of ours is left.
  void serve() {
    prepare();
    if (!report(hello{::getpid()})) return;
    for (;;) {
      std::vector<::pollfd> polled = {{socket_.fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
      for (auto& [id, c] : children_) {
        if (c.notes) polled.push_back({c.notes.get(), POLLIN, 0});
      }
      if (::poll(polled.data(), polled.size(), time_left()) < 0 && errno != EINTR) break;
      std::uint64_t count = 0;
      // A signal that anybody may send is not the program's death.
      if (::read(signals_.get(), &count, sizeof count) > 0 && ::getppid() != program_) break;
      look_at_starting();
      reap();
      if (polled[0].revents != 0 && !take_request()) break;
    }
    end_all();
  }

 private:
  void prepare() {
    ::prctl(PR_SET_NAME, "tutti-launcher");
    program_ = ::getppid();
    struct ::sigaction ignore{};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGINT, &ignore, &traits_.on_interrupt);  // control-C is for the program
    // 0 to 2 are taken, so that nothing that is opened or received has these numbers.
    unique_fd probe(::open("/dev/null", O_RDWR | O_CLOEXEC));
    while (probe && probe.get() <= 2) {
      ::fcntl(probe.get(), F_SETFD, 0);
      static_cast<void>(probe.release());
      probe.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
    }
    signals_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!signals_) throw os_error::of("the launcher cannot hear signals", errno);
    heard = signals_.get();
    struct ::sigaction handled{};
    handled.sa_handler = hear;
    handled.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    ::sigaction(SIGCHLD, &handled, &traits_.on_child);  // ignored, it would take the exit statuses
    ::sigaction(SIGTERM, &handled, &on_terminate_);     // is not how it ends
    ::sigaction(SIGCONT, &handled, &on_continue_);
    ::sigemptyset(&heard_signals_);
    for (const int signal : {SIGCHLD, SIGTERM, SIGCONT}) ::sigaddset(&heard_signals_, signal);
    ::sigprocmask(SIG_UNBLOCK, &heard_signals_, &mask_before_);
    // When the program dies its end of the socket closes, unless a fork of it has it too: then we get this signal, the
    // only one that can be heard and wakes who is stopped.
    ::prctl(PR_SET_PDEATHSIG, SIGCONT);
    hear(SIGCONT);  // it may have died before that
    traits_.pid = ::getpid();
  }

  bool report(const launcher_report& what) { return send_value(socket_, what); }

  int time_left() const {
    int result = -1;
    for (const auto& [id, c] : children_) {
      if (!c.notes || c.must_run == clock::time_point()) continue;
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(c.must_run - clock::now()).count();
      const int wait = left < 0 ? 0 : static_cast<int>(left);
      if (result < 0 || wait < result) result = wait;
    }
    return result;
  }

  bool take_request() {
    auto received = receive_bytes(socket_);
    if (!received) return false;
    const auto request = decode<launcher_request>(received->bytes);
    if (const auto* const signal = std::get_if<signal_request>(&request)) {
      send_signal(*signal);
      return true;
    }
    return start(std::get<launch_request>(request), std::move(received->handles));
  }

  void send_signal(const signal_request& request) {
    const auto found = children_.find(request.id);
    if (found == children_.end()) return;  // it has ended
    const child& c = found->second;
    if (!c.tree) {
      ::kill(c.forked, request.signal);
    } else if (request.signal == SIGKILL) {
      kill(c);
    } else if (request.signal == SIGTERM) {
      ::kill(c.forked, keeper_terminate);
    } else if (c.pid != 0) {
      ::kill(c.pid, request.signal);
    }
  }

  // With all its descendants, if it is a tree.
  static void kill(const child& c) {
    ::kill(c.forked, c.tree ? keeper_kill : SIGKILL);
    if (c.tree) ::kill(c.forked, SIGCONT);  // a keeper that somebody has stopped would not hear it
  }

  bool start(const launch_request& request, std::vector<unique_fd> handles) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return report(start_report{request.id, 0, launch_stage::fork, errno});
    unique_fd notes(ends[0]), childs(ends[1]);
    ::fcntl(notes.get(), F_SETFL, O_NONBLOCK);
    // In the child the handler would write to what has its number there.
    ::sigprocmask(SIG_BLOCK, &heard_signals_, nullptr);
    const ::pid_t forked = ::fork();
    if (forked == 0) {
      struct ::sigaction as_usual{};
      as_usual.sa_handler = SIG_DFL;
      ::sigaction(SIGCHLD, &as_usual, nullptr);
      ::sigaction(SIGTERM, &on_terminate_, nullptr);
      ::sigaction(SIGCONT, &on_continue_, nullptr);
    }
    const int error = errno;
    ::sigprocmask(forked == 0 ? SIG_SETMASK : SIG_UNBLOCK, forked == 0 ? &mask_before_ : &heard_signals_, nullptr);
    if (forked < 0) return report(start_report{request.id, 0, launch_stage::fork, error});
    if (forked == 0) {
      notes.reset();
      socket_.close();
      signals_.reset();
      children_.clear();
      become(request, std::move(handles), std::move(childs), traits_);
    }
    child& c = children_[request.id];
    c.forked = forked;
    if (!request.tree) c.pid = forked;
    c.tree = request.tree;
    c.notes = std::move(notes);
    if (request.exec && request.kind != launch_kind::program) c.must_run = clock::now() + time_to_init;
    return true;
  }

  // Reads what starting children say, and says what became of them.
  void look_at_starting() {
    for (auto at = children_.begin(); at != children_.end();) {
      child& c = at->second;
      if (c.notes && look_at(at->first, c)) {
        at = children_.erase(at);
      } else {
        ++at;
      }
    }
  }

  // true: it never ran, and is over.
  bool look_at(std::uint64_t id, child& c) {
    setup_note note;
    ::ssize_t n = 0;
    while ((n = ::read(c.notes.get(), &note, sizeof note)) == sizeof note) {
      if (note.pid == 0) {
        c.failed = note;
      } else {
        c.pid = note.pid;
      }
    }
    if (n < 0) {  // nothing yet
      if (c.must_run == clock::time_point() || clock::now() < c.must_run) return false;
      kill(c);
      c.failed = setup_note{0, launch_stage::init, ETIMEDOUT};
    }
    c.notes.reset();
    if (!c.failed) {
      report(start_report{id, c.pid, launch_stage::fork, 0});
      return false;
    }
    if (!c.ended) ::waitpid(c.forked, nullptr, 0);
    report(start_report{id, 0, c.failed->stage, c.failed->error});
    return true;
  }

  void reap() {
    int status = 0;
    for (::pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      for (auto at = children_.begin(); at != children_.end(); ++at) {
        child& c = at->second;
        if (c.forked != ended) continue;
        c.ended = status;
        // All that it wrote is in the pipe; its descendants may keep that open.
        const bool never_ran = c.notes && close_starting(at->first, c);
        if (!never_ran) report(exit_report{at->first, status});
        children_.erase(at);
        break;
      }
    }
  }

  bool close_starting(std::uint64_t id, child& c) {
    if (look_at(id, c)) return true;
    if (c.notes) report(start_report{id, c.pid, launch_stage::fork, 0});
    return false;
  }

  void end_all() {
    for (const auto& [id, c] : children_) kill(c);
    while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
  }

  message_socket socket_;
  unique_fd signals_;
  ::sigset_t heard_signals_{}, mask_before_{};
  struct ::sigaction on_terminate_{}, on_continue_{};
  ::pid_t program_ = 0;
  launcher_traits traits_{};
  std::map<std::uint64_t, child> children_;
};

}  // namespace

// What the program's static objects would do at an exit, they are to do in the program, and it only.
int run_launcher() {
  try {
    launcher_process(unique_fd(launcher_socket)).serve();
  } catch (const std::exception& wrong) {
    std::fprintf(stderr, "tutti: the launcher of processes failed: %s\n", wrong.what());
    ::_exit(EXIT_FAILURE);
  }
  ::_exit(EXIT_SUCCESS);
}

}  // namespace tutti::detail
