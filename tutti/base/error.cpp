// error: which failures are worth another try.
#include <tutti/base/error.hpp>

namespace tutti {

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
