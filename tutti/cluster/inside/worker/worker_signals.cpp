#include <tutti/cluster/inside/worker/worker_signals.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <thread>
#include <utility>

namespace tutti::cluster {
namespace {

constexpr std::array numbers{SIGTERM, SIGINT, SIGQUIT};

// For the handler, on whatever thread; a pipe that is full has told enough. -1: nobody listens.
constinit std::atomic<int> told{-1};
static_assert(std::atomic<int>::is_always_lock_free);

void handle(int number) noexcept {
  const int error = errno;
  const char byte = static_cast<char>(number);
  if (const int fd = told.load(); fd >= 0) [[maybe_unused]]
    const ::ssize_t n = ::write(fd, &byte, 1);
  errno = error;
}

}  // namespace

struct worker_signals::impl {
  std::function<void()> warm, cold;
  std::array<struct ::sigaction, numbers.size()> before{};
  std::atomic<bool> restored{false};
  unique_fd out, in;
  std::thread thread;

  void restore() noexcept {
    if (restored.exchange(true)) return;
    for (std::size_t i = 0; i < numbers.size(); ++i) ::sigaction(numbers[i], &before[i], nullptr);
  }
  void listen() {
    bool is_warm = false;
    for (char byte = 0;;) {
      const ::ssize_t n = ::read(out.get(), &byte, 1);
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
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw os_error::of("a pipe for signals", errno);
  impl_->out = unique_fd(ends[0]);
  impl_->in = unique_fd(ends[1]);
  ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
  int nobody = -1;
  if (!told.compare_exchange_strong(nobody, ends[1])) {
    throw std::logic_error("only one worker of a process can handle its signals, and there is one already");
  }
  impl_->thread = std::thread([this] {
    ::sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    impl_->listen();
  });
  struct ::sigaction ours{};
  ours.sa_handler = handle;
  ours.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < numbers.size(); ++i) ::sigaction(numbers[i], &ours, &impl_->before[i]);
}

worker_signals::~worker_signals() {
  impl_->restore();
  // A handler that has begun may still write: to the pipe, which it finds open until the descriptors go, in a moment.
  told.store(-1);
  const char end = 0;
  while (::write(impl_->in.get(), &end, 1) < 0 && (errno == EINTR || errno == EAGAIN)) std::this_thread::yield();
  impl_->thread.join();
}

}  // namespace tutti::cluster
