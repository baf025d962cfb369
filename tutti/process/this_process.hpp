// this_process: what a process can ask about itself.
#pragma once
#include <string>

namespace tutti {

namespace this_process {

/// The name it was given by the process or process_pool that started it; "main" in a program of its own. Thread-safe.
[[nodiscard]] const std::string& name() noexcept;

}  // namespace this_process

namespace detail {

/// Once, before the process has other threads.
void set_process_name(const std::string& name);

}  // namespace detail
}  // namespace tutti
