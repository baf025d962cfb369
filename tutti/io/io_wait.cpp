#include <tutti/io/io_wait.hpp>

#include <tutti/base/error.hpp>
#include <tutti/io/loop.hpp>

#include <fmt/format.h>

#include <ostream>
#include <stdexcept>

namespace tutti::io::detail {

bool io_wait::wait(coroutine_link& link) {
  // Only there does it go on where its operation is.
  if (link.home.id != where_.id)
    throw std::logic_error(std::string(what()) +
                           ": this coroutine runs on another executor than the loop of what it "
                           "waits for; co_await resume_on(loop) first");
  waited_ = true;
  where_.at_once = 0;
  begin(link);
  if (!(limit_ == no_limit)) {
    expiry_.emplace(ticket());
    try {
      expiry_->set(tutti::detail::time_after(limit_));
    } catch (...) {
      refused_ = std::current_exception();
      return false;
    }
  }
  show();
  // Whoever has claimed the ticket meanwhile has had this queued: nothing of it runs before the loop has this thread
  // back.
  begin_one();
  return true;
}

void io_wait::begin_one() noexcept {
  under_way_ = true;
  ++where_.under_way;
  begin_operation();
}

void io_wait::happened(std::error_code error, std::size_t bytes) noexcept {
  under_way_ = false;
  --where_.under_way;
  if (ending_) {
    // Through after all, if it was faster than its end.
    if (error != std::errc::operation_canceled) through_ = is_through(error, bytes);
    return post();
  }
  if (!is_through(error, bytes)) return begin_one();
  through_ = true;
  // Claimed by somebody else: it is queued already.
  ticket().claim(0);
}

void io_wait::go_on() noexcept {
  if (!under_way_) return suspension::go_on();
  ending_ = true;
  end_operation();
}

void io_wait::finish() {
  if (!waited_) return;
  const std::uint32_t outcome = end();
  if (expiry_) expiry_->cancel_and_wait();
  if (refused_ != nullptr) std::rethrow_exception(refused_);
  if (through_) return;  // also if it was to stop: what has arrived is not lost
  if (outcome == wait_ticket::by_stop) throw_cancelled();
  throw timed_out(fmt::format("{} took longer than the limit of {}", subject(), in_words(limit_.told())));
}

void io_wait::describe(std::ostream& out) const { out << what() << ": " << subject(); }

std::string in_words(std::chrono::nanoseconds duration) {
  struct unit {
    const char* name;
    double size;
  };
  static constexpr unit units[] = {{"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};
  const auto n = static_cast<double>(duration.count());
  // With three digits 999.9 us are 1 ms.
  const unit* u = units;
  while (u->size > 1 && n / u->size < 0.9995) ++u;
  return fmt::format("{:.3g} {}", n / u->size, u->name);
}

}  // namespace tutti::io::detail
