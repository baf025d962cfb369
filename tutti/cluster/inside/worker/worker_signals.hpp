// worker_signals: what the terminal and the system tell a worker.
#pragma once
#include <functional>
#include <memory>

namespace tutti::cluster {

/// While it lives, TERM and INT, the first time, and then INT or QUIT do not end the process but call `warm` and
/// `cold`, from a thread of its own; after `cold`, and in a forked process, they do again what they did before. Only
/// one of a process at a time: throws std::logic_error for another one, os_error or std::system_error when the system
/// refuses.
class worker_signals {
 public:
  worker_signals(std::function<void()> warm, std::function<void()> cold);
  ~worker_signals();
  worker_signals(const worker_signals&) = delete;
  worker_signals& operator=(const worker_signals&) = delete;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace tutti::cluster
