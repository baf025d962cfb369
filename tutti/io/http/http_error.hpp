// http_error: a request that got no answer, or one that says that it failed.
#pragma once
#include <tutti/base/error.hpp>

#include <exception>
#include <string>
#include <utility>

namespace tutti::io::http {

/// What a client throws; what() names the method, the URL without its user, the phase and the cause: "GET
/// http://example.org/: connecting: ..."; response::throw_if_error, which knows neither method nor phase, tells the URL
/// and the status.
class http_error : public error {
 public:
  http_error(const std::string& what, std::string url, std::string phase, int status, std::exception_ptr cause)
      : error(what), url_(std::move(url)), phase_(std::move(phase)), status_(status), cause_(std::move(cause)) {}

  [[nodiscard]] const std::string& url() const noexcept { return url_; }
  /// "connecting", "sending", "awaiting the answer", "reading the body", "redirecting" or "answered".
  [[nodiscard]] const std::string& phase() const noexcept { return phase_; }
  /// Of the answer; 0 without one.
  [[nodiscard]] int status() const noexcept { return status_; }
  /// What went wrong: dns_error, os_error, closed, bad_message, ...; null when there is nothing else to tell.
  [[nodiscard]] const std::exception_ptr& cause() const noexcept { return cause_; }

 private:
  std::string url_, phase_;
  int status_;
  std::exception_ptr cause_;
};

namespace detail {
/// Of an answer that says that something failed.
[[noreturn]] void throw_answered(const std::string& method, const std::string& url, int status);
}  // namespace detail

}  // namespace tutti::io::http
