// ready_wait: a coroutine that waits until a descriptor can be read, accepted from or written.
#pragma once
#include <tutti/io/stream.hpp>

namespace tutti::io::detail {

enum class readiness : std::uint8_t { to_read, to_write };

/// co_await ready_wait("accept", body, readiness::to_read, limit); throws as a stream's waits.
class [[nodiscard]] ready_wait final : public stream_wait {
 public:
  ready_wait(const char* what, byte_stream* descriptor, readiness which, wait_limit limit)
      : stream_wait(what, descriptor, limit), which_(which) {}
  bool await_ready() {
    occupy(which_ == readiness::to_read ? stream().is_read : stream().is_written);
    return false;
  }
  void await_resume() { finish_stream(); }

 private:
  void begin_operation() noexcept override {
    if (which_ == readiness::to_read) return stream().start_read({}, *this);
    stream().start_write({}, *this);
  }
  bool is_through(std::error_code error, std::size_t) noexcept override { return !error || fail(error); }
  std::string subject() const override { return std::string(what()) + " at " + stream().describe(); }

  const readiness which_;
};

}  // namespace tutti::io::detail
