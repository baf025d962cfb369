// call_in_progress: a call that came from another process, while it runs here.
#pragma once
#include <tutti/base/registry.hpp>
#include <tutti/core/future_state.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace tutti::detail {

/// Stands for the call in its task_frame: what this_task asks. `timeout`: in ns from now on; 0: none.
class call_in_progress final : public future_state<void> {
 public:
  call_in_progress(std::string name, std::int64_t timeout) : future_state<void>(1), name_(std::move(name)) {
    if (timeout > 0) until_ = std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout);
    static_cast<void>(claim());
  }
  std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept override { return until_; }
  const char* describe() const noexcept override { return name_.c_str(); }
  void over() noexcept {
    settle_value();
    release();
  }

 private:
  const std::string name_;
  std::optional<std::chrono::steady_clock::time_point> until_;
};

/// A function that whoever calls has defined, by a number: what it is, or why it is not known here.
struct known_function {
  const function_info* function = nullptr;
  std::string name;
  std::exception_ptr missing;
};

}  // namespace tutti::detail
