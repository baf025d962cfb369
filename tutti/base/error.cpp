// error: what the system said, and which failures are worth another try.
#include <tutti/base/error.hpp>

#include <cstring>

namespace tutti {

// Not strerror: it is not thread-safe.
os_error os_error::of(const std::string& tried, int code) {
  const char* const words = ::strerrordesc_np(code);
  return {tried + ": " + (words == nullptr ? "error " + std::to_string(code) : words), code};
}

bool is_retryable(const std::exception_ptr& failure) noexcept {
  if (!failure) return false;
  try {
    std::rethrow_exception(failure);
  } catch (const worker_lost&) {
    return true;
  } catch (const retryable&) {
    return true;
  } catch (const remote_error& e) {
    return e.retry();
  } catch (...) {
    return false;
  }
}

bool is_cancelled(const std::exception_ptr& failure) noexcept {
  if (!failure) return false;
  try {
    std::rethrow_exception(failure);
  } catch (const cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace tutti
