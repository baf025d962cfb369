#include <tutti/io/signals.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/ready_wait.hpp>
#include <tutti/io/until.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace tutti::io {
namespace detail {
namespace {

constexpr int last_number = 64;

constexpr std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

// Handlers that run, on whatever threads.
constinit std::atomic<int> handlers_inside{0};

}  // namespace

// What the handler sees of one `signals`: a list that handlers walk while others change it. Who takes an entry out lets
// it be until no handler is inside any more.
class signal_watcher {
 public:
  signal_watcher(std::uint64_t numbers, unique_fd event)
      : numbers_(numbers), born_in_(forks_before_this_process()), event_(std::move(event)) {}
  signal_watcher(const signal_watcher&) = delete;
  signal_watcher& operator=(const signal_watcher&) = delete;

  /// Begins, and ends, to be seen by handlers.
  void add();
  void remove() noexcept;
  int event() const noexcept { return event_.get(); }

  /// A number that has come, 0 if none has.
  int take() noexcept {
    const std::uint64_t all = arrived_.load(std::memory_order_acquire);
    if (all == 0) return 0;
    const int number = std::countr_zero(all) + 1;
    arrived_.fetch_and(~bit_of(number), std::memory_order_acq_rel);
    return number;
  }

  // ---- for handlers: atomics that need no lock, and write(), are all that is allowed there
  static void handle(int number) noexcept {
    const int error = errno;
    // seq_cst, as in remove(): it sees this handler, or this one does not see what it has taken out.
    handlers_inside.fetch_add(1, std::memory_order_seq_cst);
    for (signal_watcher* w = head.load(std::memory_order_seq_cst); w != nullptr;
         w = w->next_.load(std::memory_order_seq_cst)) {
      if ((w->numbers_ & bit_of(number)) == 0) continue;
      w->arrived_.fetch_or(bit_of(number), std::memory_order_release);  // first: who is woken sees it
      const std::uint64_t one = 1;
      [[maybe_unused]] const ::ssize_t n = ::write(w->event_.get(), &one, sizeof one);
    }
    handlers_inside.fetch_sub(1, std::memory_order_seq_cst);
    errno = error;
  }

 private:
  void take_out() noexcept;

  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<signal_watcher*>::is_always_lock_free);

  struct numbers_in_use {
    struct one {
      int watchers = 0;
      struct ::sigaction before{};
      void restore(int number) noexcept {
        struct ::sigaction now{};
        // Somebody else's, in the place of ours, is left alone.
        if (::sigaction(number, nullptr, &now) == 0 && now.sa_handler == handle) ::sigaction(number, &before, nullptr);
      }
    };
    std::mutex mutex;
    std::array<one, last_number> by_number;
    one& at(int number) noexcept { return by_number[static_cast<std::size_t>(number - 1)]; }
    // Signals of a child do what they did before all this; what the parent watches is none of its business.
    numbers_in_use() {
      ::pthread_atfork(nullptr, nullptr, [] {
        head.store(nullptr, std::memory_order_relaxed);
        handlers_inside.store(0, std::memory_order_relaxed);
        numbers_in_use& all = in_use();
        for (int n = 1; n <= last_number; ++n) {
          if (std::exchange(all.at(n).watchers, 0) != 0) all.at(n).restore(n);
        }
      });
    }
  };
  template <class F>
  void for_each_number(F f) const {
    for (int n = 1; n <= last_number; ++n) {
      if ((numbers_ & bit_of(n)) != 0) f(n);
    }
  }
  static numbers_in_use& in_use() { return process_wide<numbers_in_use>(); }

  static constinit std::atomic<signal_watcher*> head;

  const std::uint64_t numbers_;
  const std::uint32_t born_in_;
  const unique_fd event_;
  std::atomic<std::uint64_t> arrived_{0};
  std::atomic<signal_watcher*> next_{nullptr};
};

constinit std::atomic<signal_watcher*> signal_watcher::head{nullptr};

void signal_watcher::add() {
  numbers_in_use& all = in_use();
  const std::lock_guard lock(all.mutex);
  next_.store(head.load(std::memory_order_relaxed), std::memory_order_relaxed);
  head.store(this, std::memory_order_seq_cst);
  int failed = 0, code = 0;
  for_each_number([&](int n) {
    if (failed != 0 || all.at(n).watchers++ != 0) return;
    struct ::sigaction ours{};
    ours.sa_handler = handle;
    ours.sa_flags = SA_RESTART;
    if (::sigaction(n, &ours, &all.at(n).before) == 0) return;
    failed = n;
    code = errno;
  });
  if (failed == 0) return;
  for_each_number([&](int n) {
    if (n <= failed && --all.at(n).watchers == 0 && n < failed) all.at(n).restore(n);
  });
  take_out();
  if (code == EINVAL)
    throw std::invalid_argument(fmt::format("io::signals: signal {} cannot be awaited on this system", failed));
  throw os_error::of(fmt::format("io::signals: signal {}", failed), code);
}

void signal_watcher::remove() noexcept {
  numbers_in_use& all = in_use();
  const std::lock_guard lock(all.mutex);
  if (born_in_ != forks_before_this_process()) return;  // the parent's; a child has forgotten it
  for_each_number([&](int n) {
    if (--all.at(n).watchers == 0) all.at(n).restore(n);
  });
  take_out();
}

// Under the lock. Afterwards no handler uses it.
void signal_watcher::take_out() noexcept {
  std::atomic<signal_watcher*>* at = &head;
  while (at->load(std::memory_order_relaxed) != this) at = &at->load(std::memory_order_relaxed)->next_;
  at->store(next_.load(std::memory_order_relaxed), std::memory_order_seq_cst);
  // A handler that came after this store does not find it; one that was inside before may be at it still.
  while (handlers_inside.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
}

namespace {

std::uint64_t as_bits(std::initializer_list<int> numbers) {
  if (numbers.size() == 0) throw std::invalid_argument("io::signals: no numbers of signals are given");
  std::uint64_t bits = 0;
  for (const int n : numbers) {
    const char* why = nullptr;
    if (n < 1 || n > last_number) why = "there is no such signal";
    if (n == SIGKILL || n == SIGSTOP) why = "nobody can catch it";
    if (n == SIGSEGV || n == SIGBUS || n == SIGFPE || n == SIGILL || n == SIGABRT)
      why = "code gets it for what it did, and cannot go on";
    if (why != nullptr)
      throw std::invalid_argument(fmt::format("io::signals: signal {} cannot be awaited: {}", n, why));
    bits |= bit_of(n);
  }
  return bits;
}

}  // namespace
}  // namespace detail

signals::signals(std::initializer_list<int> numbers) {
  const std::uint64_t bits = detail::as_bits(numbers);
  unique_fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  unique_fd same(event ? ::fcntl(event.get(), F_DUPFD_CLOEXEC, 0) : -1);
  if (!same) throw os_error::of("io::signals: no descriptor", errno);
  detail::byte_stream_ptr body = detail::make_descriptor_stream(std::move(same), {}, "this process");
  auto watcher = std::make_shared<detail::signal_watcher>(bits, std::move(event));
  watcher->add();
  body_ = std::move(body);
  watcher_ = std::move(watcher);
}

signals& signals::operator=(signals&& other) noexcept {
  if (this != &other) {
    close();
    watcher_ = std::move(other.watcher_);
    body_ = std::move(other.body_);
  }
  return *this;
}

void signals::close() noexcept {
  if (watcher_ != nullptr) watcher_->remove();
  watcher_.reset();
  body_.reset();
}

namespace {

task<int> next_of(std::shared_ptr<detail::signal_watcher> watcher, detail::pinned body, time_limit limit) {
  detail::until end(limit);
  for (;;) {
    if (body->is_disposed()) throw closed("awaiting a signal: the signals were closed meanwhile");
    // Before the look: whoever comes after it leaves it readable.
    std::uint64_t count = 0;
    [[maybe_unused]] const ::ssize_t n = ::read(watcher->event(), &count, sizeof count);
    const int number = watcher->take();
    if (number != 0) co_return number;
    co_await detail::ready_wait("signals::next", body.get(), detail::readiness::to_read, end.left());
  }
}

}  // namespace

task<int> signals::next(time_limit limit) {
  if (watcher_ == nullptr) throw closed("these signals were moved from, or are none");
  return next_of(watcher_, detail::pinned("signals::next", *body_), limit);
}

task<> stop_on(signals which, std::stop_source source) {
  co_await which.next();
  source.request_stop();
}

}  // namespace tutti::io
