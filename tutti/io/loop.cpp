#include <tutti/io/loop.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/io/inside/reactor.hpp>
#include <tutti/io/watchdog.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tutti::io {
namespace detail {
namespace {

int new_eventfd() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw os_error::of("cannot make an io::loop", errno);
  return fd;
}

struct reactors {
  std::mutex mutex;
  std::vector<reactor*> all;
  std::uint64_t last = 0;
  std::uint32_t process = 0;

  // A forked child's parent's loops have no threads here, and are never destroyed.
  void forget_parents() noexcept {
    if (std::exchange(process, forks_before_this_process()) != forks_before_this_process()) all.clear();
  }
};

reactors& known() { return process_wide<reactors>(); }

std::uint64_t next_number() {
  const std::lock_guard lock(known().mutex);
  return ++known().last;
}

}  // namespace

reactor::list::list() {
  known().mutex.lock();
  known().forget_parents();
}
reactor::list::~list() { known().mutex.unlock(); }
const std::vector<reactor*>& reactor::list::all() const noexcept { return known().all; }

reactor::~reactor() {
  const std::lock_guard lock(known().mutex);
  known().forget_parents();
  std::erase(known().all, this);
}

reactor::reactor()
    : number_(next_number()),
      context_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE),
      goes_on_(context_.get_executor()),
      interrupts_(context_) {
  interrupts_.assign(new_eventfd());
  hear_interrupts();
  const std::lock_guard lock(known().mutex);
  known().forget_parents();
  known().all.push_back(this);
}

void reactor::hear_interrupts() {
  interrupts_.async_wait(asio::posix::descriptor_base::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;  // it is being destroyed
    std::uint64_t count = 0;
    [[maybe_unused]] const ::ssize_t n = ::read(interrupts_.native_handle(), &count, sizeof count);
    hear_interrupts();
  });
}

void reactor::interrupt() noexcept {
  const int before = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ::ssize_t n = ::write(interrupts_.native_handle(), &one, sizeof one);  // full: it is readable
  errno = before;
}

void reactor::run_when_over(call work) noexcept {
  const auto kept = shared_from_this();
  const std::lock_guard lock(after_);
  left_.push(work.release());
  if (over_) run_what_is_left();
}

void reactor::end() noexcept {
  const auto kept = shared_from_this();
  const std::lock_guard lock(after_);
  over_ = true;
  run_what_is_left();
}

void reactor::run_what_is_left() noexcept {
  while (call_node* const node = left_.pop()) node->run();
  for (int i = 0; i < most_at_the_end && context_.poll_one() != 0; ++i) {
  }
}

reactor* reactor::here_if_any() noexcept {
  const tutti::detail::loop_engine* const loop = tutti::detail::loop_engine::current();
  return loop == nullptr ? nullptr : static_cast<reactor*>(loop->poller());
}

reactor& reactor::here(const char* what) {
  if (reactor* const found = here_if_any()) return *found;
  throw std::logic_error(std::string(what) +
                         ": this does not run on an io::loop; begin it with io::run(task), or go to one first: "
                         "co_await resume_on(loop)");
}

void refuse_nested_run() {
  if (reactor::here_if_any() != nullptr)
    throw std::logic_error(
        "io::run: this thread runs an io::loop already, which would stand still meanwhile; co_await the task instead");
}

}  // namespace detail

namespace {

std::shared_ptr<detail::reactor> new_reactor() {
  try {
    return std::make_shared<detail::reactor>();
  } catch (const boost::system::system_error& e) {
    throw os_error::of("cannot make an io::loop", e.code().value());
  }
}

}  // namespace

loop::loop() : loop(new_reactor()) { detail::watch_loops_if_asked(); }
loop::loop(std::shared_ptr<detail::reactor> events) : run_loop(events) {
  events->id = id();
  events->engine = engine().weak_from_this();
}

}  // namespace tutti::io
