// unhandled_counter: counts what reaches on_unhandled while it lives.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <tutti/core/unhandled.hpp>

namespace tutti_test {

/// One at a time: the handler is a plain function, so the counts are static.
class unhandled_counter {
 public:
  unhandled_counter() {
    for (auto& count : counts) count = 0;
    before_ = tutti::on_unhandled(
        +[](const std::exception_ptr& error, const char* task, tutti::unhandled_origin origin) noexcept {
          if (error == nullptr) std::abort();
          const std::lock_guard lock(mutex);
          last_task = task == nullptr ? "null" : task;
          ++counts[static_cast<std::size_t>(origin)];
        });
  }
  ~unhandled_counter() { tutti::on_unhandled(before_); }
  unhandled_counter(const unhandled_counter&) = delete;
  unhandled_counter& operator=(const unhandled_counter&) = delete;

  static int of(tutti::unhandled_origin origin) { return counts[static_cast<std::size_t>(origin)]; }
  static int all() { return counts[0] + counts[1] + counts[2] + counts[3]; }
  static inline std::string last_task;

 private:
  static inline std::array<std::atomic<int>, 4> counts{};
  static inline std::mutex mutex;
  tutti::unhandled_handler before_;
};

}  // namespace tutti_test
