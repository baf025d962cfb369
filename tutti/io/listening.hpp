// listening: what a listener, its waits and a server share: the socket, while one of them needs it.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/task/sleep.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace tutti::io::detail {

/// How it went to take a connection without waiting for one.
enum class attempt : std::uint8_t {
  connected,
  nobody,   ///< none waits
  no_room,  ///< the process, or the system, is out of descriptors or memory: see `pause`
  lost      ///< that connection was gone already; let others run before the next attempt
};

/// A socket that listens. Kept by its listener and by all coroutines that wait for it, so that each finds it closed,
/// not gone. All on its loop's thread but for `close`.
class listening {
 public:
  /// `own_path`: the file to be removed when it is closed, or "". `backlog`: as it was asked for. `shared`: other
  /// processes may listen to the same socket. Throws as make_descriptor_stream.
  listening(unique_fd socket, std::string own_path, int backlog, bool shared, const char* what);

  /// Takes a connection that waits. Throws `closed` after close, os_error when the socket is of no use.
  attempt accept(stream& made);
  /// Whether a connection waits, or an error.
  [[nodiscard]] bool has_some() const noexcept;
  /// After no_room: awaits a moment, `limit` at most, in which somebody may give something back.
  static tutti::detail::sleep_awaiter pause(std::chrono::nanoseconds limit) noexcept;
  /// Lets nobody join those who wait, as far as the system can: they come to who listens here next, or are refused when
  /// this is closed.
  void take_no_more() noexcept;

  /// Closes it, on its loop's thread whatever this one is, and removes its file at once.
  static void close(std::shared_ptr<listening> which) noexcept;

  [[nodiscard]] byte_stream& socket() const noexcept { return *socket_; }
  [[nodiscard]] const endpoint& at() const noexcept { return socket_->remote(); }  // what it was made with
  [[nodiscard]] int backlog() const noexcept { return backlog_; }
  [[nodiscard]] bool is_shared() const noexcept { return shared_; }

 private:
  /// Says so in the log, once until nobody waits any more.
  void out_of_resources(const std::string& because);

  byte_stream_ptr socket_;
  std::string own_path_;
  std::uint64_t own_file_ = 0;  // which file that was: another listener may have replaced it
  const int backlog_;
  const bool shared_;
  bool pauses_ = false;
};

/// A socket that listens at an address, without a file's permissions: see `listen`, which throws the same.
unique_fd listening_socket(const endpoint& at, const listen_options& options);

}  // namespace tutti::io::detail
