// asio_wait: a coroutine that waits for an operation of Asio's or Beast's.
#pragma once
#include <tutti/io/inside/async_stream.hpp>
#include <tutti/io/io_wait.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <string>

namespace tutti::io::detail {

/// `begin(handler)` begins the operation, on top of `beneath`. Awaiting gives its error. Ending it early closes
/// `beneath`: then `cancelled` or timed_out is thrown, even if the operation was through by then. `subject`: for the
/// words of that.
template <class Begin>
class [[nodiscard]] asio_wait final : public io_wait {
 public:
  asio_wait(const char* what, byte_stream& beneath, std::string subject, std::chrono::nanoseconds limit, Begin& begin)
      : io_wait(what, beneath.where(), limit), beneath_(beneath), subject_(std::move(subject)), begin_(begin) {}

  static bool await_ready() noexcept { return false; }
  boost::system::error_code await_resume() {
    finish();
    return error_;
  }

 private:
  void begin_operation() noexcept override {
    begin_(asio::bind_cancellation_slot(
        signal_.slot(),
        operation_handler(*this, [this](operation& op, const boost::system::error_code& error, std::size_t bytes) {
          error_ = error;
          op.happened(ended_early_ ? std::make_error_code(std::errc::operation_canceled) : from_asio(error), bytes);
        })));
  }
  // The signal is heard once, by the step that is under way; there may be none: one is through, and the next not yet
  // begun. That one fails because `beneath` is closed.
  void end_operation() noexcept override {
    ended_early_ = true;
    signal_.emit(asio::cancellation_type::terminal);
    beneath_.close();
  }
  bool is_through(std::error_code, std::size_t) noexcept override { return true; }
  std::string subject() const override { return subject_; }

  byte_stream& beneath_;
  const std::string subject_;
  Begin& begin_;
  asio::cancellation_signal signal_;
  bool ended_early_ = false;
  boost::system::error_code error_;
};

}  // namespace tutti::io::detail
