// fifo: a POSIX FIFO that two programs meet at: made, or found; opened when the other side is there; removed again.
//
// Whoever finds no FIFO makes one, under a name of its own that it then gives the path: nobody sees it before it has
// its permissions (killed right then, it leaves that other name, `.tutti-` and a number). It bears a mark, the sticky
// bit, which means nothing for a FIFO. Who has made it and meets nobody removes it again. Once two have met, only the
// one that receives removes it, at its end, if it bears the mark: writers come and go under a living reader, and each
// that comes must find the same FIFO. So whatever killed programs leave is removed at the end of the next meeting
// there, and a FIFO that somebody has made for others stays.
//
// A reader that is at its end closes it, whatever becomes of the object: who comes later to send waits for another
// reader instead of sending to nobody.
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
  /// Removes the name, if that is up to this one and it is still the same.
  ~fifo() { close(); }
  void close() noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  bool find(::mode_t permissions);
  bool make(::mode_t permissions);
  bool open(side which);
  void lock();
  bool somebody_writes() const;
  [[nodiscard]] bool is_still_there() const noexcept;
  void remove() noexcept;

  std::string path_;
  unique_fd name_;  // of the file, whatever becomes of its name
  unique_fd fd_;
  ::pid_t remover_ = 0;  // this process if it removes the name: a forked copy does not
  bool marked_ = false;
};

}  // namespace tutti::detail
