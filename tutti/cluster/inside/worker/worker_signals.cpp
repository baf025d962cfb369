#include <tutti/cluster/inside/worker/worker_signals.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

namespace tutti::cluster {
namespace {

constexpr std::array numbers{SIGTERM, SIGINT, SIGQUIT};

// For the handler, on whatever thread; a pipe that is full has told enough. -1: nobody listens. The pipe is never
// closed: a handler that has begun may write at any later moment.
constinit std::atomic<int> told{-1};
static_assert(std::atomic<int>::is_always_lock_free);

void handle(int number) noexcept {
  const int error = errno;
  const char byte = static_cast<char>(number);
  if (const int fd = told.load(); fd >= 0) [[maybe_unused]]
    const ::ssize_t n = ::write(fd, &byte, 1);
  errno = error;
}

// What the signals did before; of the one worker that hears them.
constinit std::array<struct ::sigaction, numbers.size()> before{};
constinit std::atomic<bool> is_restored{true};

void restore() noexcept {
  if (is_restored.exchange(true)) return;
  for (std::size_t i = 0; i < numbers.size(); ++i) ::sigaction(numbers[i], &before[i], nullptr);
}

struct signal_pipe {
  int out = -1, in = -1;
  ::pid_t of = 0;  // a forked process has one of its own
};

struct signal_pipes {
  // In a child there is no worker: what it is told is not for its parent.
  signal_pipes() {
    ::pthread_atfork(nullptr, nullptr, [] {
      restore();
      told.store(-1);
    });
  }
  std::mutex mutex;
  signal_pipe last;
};

signal_pipe pipe_of_signals() {
  auto& [mutex, made] = process_wide<signal_pipes>();
  const std::lock_guard lock(mutex);
  if (made.of != ::getpid()) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw os_error::of("a pipe for signals", errno);
    ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
    made = {ends[0], ends[1], ::getpid()};
  }
  return made;
}

}  // namespace

struct worker_signals::impl {
  std::function<void()> warm, cold;
  const signal_pipe pipe = pipe_of_signals();
  std::thread thread;

  void listen() {
    bool is_warm = false;
    for (char byte = 0;;) {
      const ::ssize_t n = ::read(pipe.out, &byte, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0 || byte == 0) return;
      const bool is_second = is_warm && byte == SIGINT;
      if (byte == SIGQUIT || is_second) {
        restore();
        cold();
      } else if (!std::exchange(is_warm, true)) {
        warm();
      }
    }
  }
};

worker_signals::worker_signals(std::function<void()> warm, std::function<void()> cold)
    : impl_(std::make_unique<impl>()) {
  impl_->warm = std::move(warm);
  impl_->cold = std::move(cold);
  int nobody = -1;
  if (!told.compare_exchange_strong(nobody, impl_->pipe.in)) {
    throw std::logic_error("only one worker of a process can handle its signals, and there is one already");
  }
  // What was written too late for the one before.
  char old = 0;
  for (int left = 0; ::ioctl(impl_->pipe.out, FIONREAD, &left) == 0 && left > 0;) {
    if (::read(impl_->pipe.out, &old, 1) != 1) break;
  }
  try {
    impl_->thread = std::thread([this] {
      ::sigset_t all;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
      impl_->listen();
    });
  } catch (...) {
    told.store(-1);
    throw;
  }
  struct ::sigaction ours{};
  ours.sa_handler = handle;
  ours.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < numbers.size(); ++i) ::sigaction(numbers[i], &ours, &before[i]);
  is_restored.store(false);
}

worker_signals::~worker_signals() {
  restore();
  const char end = 0;
  while (::write(impl_->pipe.in, &end, 1) < 0 && (errno == EINTR || errno == EAGAIN)) std::this_thread::yield();
  impl_->thread.join();
  told.store(-1);  // nobody else has listened until now
}

}  // namespace tutti::cluster
