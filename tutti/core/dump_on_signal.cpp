// The half of dump.hpp that listens to signals.
#include <tutti/base/at_fork.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/dump.hpp>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

namespace tutti {
namespace {

// What the handler reads. After a fork the descriptor is still the parent's as well, so that a child must not write to
// it: it would have the parent dump. Whose it is can be seen from the process id, also in children that run no handlers
// of pthread_atfork. `owner` is stored last, with release: who finds itself there finds its own descriptor.
std::atomic<pid_t> owner{0};
std::atomic<int> bell{-1};
static_assert(std::atomic<pid_t>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

// Async-signal-safe: getpid and write, and atomics without locks.
void ring(int /*signal*/) {
  if (owner.load(std::memory_order_acquire) != ::getpid()) return;
  const int saved = errno;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(bell.load(std::memory_order_relaxed), &one, sizeof one));
  errno = saved;
}

void write_all(std::string_view text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(STDERR_FILENO, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads it
    done += static_cast<std::size_t>(written);
  }
}

void answer(int fd) {
  ::pthread_setname_np(::pthread_self(), "tutti/dump");
  for (std::uint64_t rings = 0;;) {
    if (::read(fd, &rings, sizeof rings) != sizeof rings) continue;
    try {
      std::ostringstream out;
      out << "tutti: dump of process " << ::getpid() << ":\n";
      dump(out);
      write_all(std::move(out).str());
    } catch (const std::exception&) {  // no memory for it
      write_all("tutti: no memory for a dump\n");
    }
  }
}

struct answering {
  std::mutex mutex;
};

// Under the lock of `answering`.
void start_answering() {
  if (owner.load(std::memory_order_relaxed) == ::getpid()) return;
  unique_fd fd(::eventfd(0, EFD_CLOEXEC));
  if (!fd) throw std::system_error(errno, std::generic_category(), "dump_on_signal: no descriptor");
  // Signals are for the program's threads: none of its handlers runs on this one.
  sigset_t all{}, before{};
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread(answer, fd.get()).detach();
  } catch (const std::system_error& e) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw std::system_error(e.code(), "dump_on_signal: cannot start its thread");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  bell.store(fd.release(), std::memory_order_relaxed);  // for as long as the process lives; a parent's stays open, too
  owner.store(::getpid(), std::memory_order_release);
}

}  // namespace

void dump_on_signal(int signal) {
  constexpr std::array faults{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
  const std::lock_guard lock(process_wide<answering>().mutex);
  struct sigaction action{}, before{};
  action.sa_handler = ring;
  action.sa_flags = SA_RESTART;
  if (std::find(faults.begin(), faults.end(), signal) != faults.end() || ::sigaction(signal, &action, &before) != 0) {
    const char* const name = ::sigdescr_np(signal);
    throw std::invalid_argument("dump_on_signal: signal " + std::to_string(signal) + " (" +
                                (name == nullptr ? "unknown" : name) + ") cannot be answered; take SIGUSR1");
  }
  try {
    start_answering();
  } catch (...) {
    ::sigaction(signal, &before, nullptr);
    throw;
  }
}

}  // namespace tutti
