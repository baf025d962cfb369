#include <tutti/process/exit_status.hpp>

#include <sys/wait.h>

#include <cstring>

namespace tutti {

exit_status exit_status::of_wait(int status) noexcept {
  return WIFSIGNALED(status) ? killed(WTERMSIG(status)) : exited(WEXITSTATUS(status));
}

std::string to_string(const exit_status& status) {
  return status.signal() ? "killed by " + signal_name(*status.signal()) : "exit code " + std::to_string(status.value());
}

std::string signal_name(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : std::string("SIG") + name;
}

}  // namespace tutti
