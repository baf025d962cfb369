#include <tutti/io/transient.hpp>

#include <tutti/base/error.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/http/http_error.hpp>
#include <tutti/io/tls.hpp>

#include <algorithm>
#include <cerrno>

namespace tutti::io {
namespace {

bool is_transient_code(int code) noexcept {
  static constexpr int codes[] = {ECONNREFUSED, ECONNRESET,  ECONNABORTED, EPIPE,     ETIMEDOUT, EHOSTUNREACH,
                                  EHOSTDOWN,    ENETUNREACH, ENETDOWN,     ENETRESET, ENOTCONN,  EADDRNOTAVAIL,
                                  EMFILE,       ENFILE,      ENOBUFS,      ENOMEM,    EAGAIN,    EINTR};
  return std::ranges::find(codes, code) != std::end(codes);
}

bool is_transient_status(int status) noexcept {
  static constexpr int statuses[] = {408, 429, 500, 502, 503, 504};
  return std::ranges::find(statuses, status) != std::end(statuses);
}

}  // namespace

bool is_transient(const std::exception_ptr& failure) noexcept {
  if (failure == nullptr) return false;
  try {
    std::rethrow_exception(failure);
  } catch (const http::http_error& e) {
    return e.cause() == nullptr ? is_transient_status(e.status()) : is_transient(e.cause());
  } catch (const dns_error& e) {
    return e.is_transient();
  } catch (const tls_error& e) {
    return e.is_cut_off();
  } catch (const os_error& e) {
    return is_transient_code(e.code());
  } catch (const timed_out&) {
    return true;
  } catch (const closed&) {
    return true;
  } catch (...) {
    return is_retryable(failure);
  }
}

}  // namespace tutti::io
