// fifo: a POSIX FIFO that two programs meet at: made, or found; opened when the other side is there; removed again.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/message_forms.hpp>

#include <sys/types.h>

#include <string>

namespace tutti::detail {

/// One side of a FIFO. Move-only.
class fifo {
 public:
  enum class side : std::uint8_t { reads, writes };

  /// Makes the FIFO with these permissions if there is none, and waits until the other side has opened it. Throws
  /// os_error, and timed_out when the time is up.
  fifo(std::string path, side which, ::mode_t permissions, const message_wait& how);
  fifo(fifo&& other) noexcept;
  fifo& operator=(fifo&& other) noexcept;
  /// Removes the name, if this made it and it is still the same.
  ~fifo() { close(); }
  void close() noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  bool find(::mode_t permissions);
  bool open(side which);
  bool somebody_writes() const;
  [[nodiscard]] bool is_still_there() const noexcept;
  void remove() noexcept;

  std::string path_;
  unique_fd name_;  // of the file, whatever becomes of its name
  unique_fd fd_;
  ::pid_t maker_ = 0;  // who made it, if this did: a forked copy does not remove it
};

}  // namespace tutti::detail
