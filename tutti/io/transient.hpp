// transient: which failures of input and output may be over at the next attempt.
#pragma once
#include <exception>

namespace tutti::io {

/// Whether another attempt may help: a connection that was refused, reset, cut off or not reached, a time limit, a
/// resolver that could not be asked, too few descriptors or buffers, the statuses 408, 429, 500, 502, 503 and 504 of an
/// HTTP answer (those that `curl --retry` tries again), and what tutti::is_retryable knows. For
/// retry_options::retry_if. Whether the request may be sent twice is the caller's to know. False for null. Thread-safe.
[[nodiscard]] bool is_transient(const std::exception_ptr& failure) noexcept;

}  // namespace tutti::io
