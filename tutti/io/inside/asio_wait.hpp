// asio_wait: a coroutine that waits for an operation of Asio's or Beast's.
#pragma once
#include <tutti/io/inside/async_stream.hpp>
#include <tutti/io/io_wait.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <string>

namespace tutti::io::detail {

/// `begin(handler)` begins the operation. Awaiting gives its error, which may be that it was ended early: then
/// `cancelled` or timed_out is thrown. `subject`: for the words of that.
template <class Begin>
class [[nodiscard]] asio_wait final : public io_wait {
 public:
  asio_wait(const char* what, const loop_notes& loop, std::string subject, std::chrono::nanoseconds limit, Begin& begin)
      : io_wait(what, limit), loop_(loop), subject_(std::move(subject)), begin_(begin) {}

  static bool await_ready() noexcept { return false; }
  boost::system::error_code await_resume() {
    finish();
    return error_;
  }

 private:
  void begin_operation() noexcept override {
    begin_(asio::bind_cancellation_slot(
        ended_.slot(),
        operation_handler(*this, [this](operation& op, const boost::system::error_code& error, std::size_t bytes) {
          error_ = error;
          op.happened(from_asio(error), bytes);
        })));
  }
  void end_operation() noexcept override { ended_.emit(asio::cancellation_type::terminal); }
  bool is_through(std::error_code, std::size_t) noexcept override { return true; }
  const loop_notes& where() const noexcept override { return loop_; }
  std::string subject() const override { return subject_; }

  const loop_notes& loop_;
  const std::string subject_;
  Begin& begin_;
  asio::cancellation_signal ended_;
  boost::system::error_code error_;
};

}  // namespace tutti::io::detail
