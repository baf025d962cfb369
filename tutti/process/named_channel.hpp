// named_channel: programs that know nothing of each other but a path: elements through a POSIX FIFO.
#pragma once
#include <tutti/process/message_forms.hpp>
#include <tutti/process/named_channel_core.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace tutti {

/// How a named channel is opened.
struct named_channel_options {
  /// Of the FIFO if this makes it, whatever the umask; one that is there keeps its own.
  unsigned permissions = 0600;
  /// How long to wait for the other side; zero or less only looks.
  std::chrono::nanoseconds limit = std::chrono::nanoseconds::max();
};

template <class T>
class named_channel;

namespace detail {

// What the two ends have in common.
template <class Core>
class named_end {
 public:
  named_end() = default;
  /// Gives this end up, as its destructor does, and removes the FIFO if it received and it is one of ours.
  void close() noexcept {
    if (core_ != nullptr) core_->close();
  }
  /// Whether it can be used: not after it was moved or closed.
  explicit operator bool() const noexcept { return core_ != nullptr && core_->is_open(); }
  /// The path it was opened with.
  [[nodiscard]] std::filesystem::path path() const { return core().path(); }

 protected:
  explicit named_end(fifo at) : core_(std::make_unique<Core>(std::move(at))) {}
  [[nodiscard]] Core& core() const {
    if (core_ == nullptr) [[unlikely]]
      throw std::logic_error("named_channel: this end is empty or was moved away; open one by its path");
    return *core_;
  }

 private:
  std::unique_ptr<Core> core_;
};

}  // namespace detail

/// An end of a named_channel to send to. Move-only; for one thread at a time; not to be encoded. `closed` is thrown
/// when nobody receives any more. What send_for and try_send could not send whole in time is not delivered.
template <class T>
class named_writer : public detail::named_end<detail::named_sink>, public message_send_forms<named_writer<T>, T> {
 public:
  using value_type = T;
  static constexpr bool carries_handles = false;
  named_writer() = default;

 private:
  friend detail::message_access;
  friend named_channel<T>;
  using detail::named_end<detail::named_sink>::named_end;
  detail::named_sink& sink() const { return this->core(); }
};

/// An end of a named_channel to receive from. Move-only; for one thread at a time; not to be encoded.
///
/// When all who sent are gone it is closed for good: what they had sent is received first, and who comes then to send
/// waits for another reader. A message that its sender was killed in the middle of is never delivered, and disturbs no
/// other: at the end `closed` says so, from next(), too. What strangers have written is a decode_error each time it is
/// met; the next messages are received after it.
template <class T>
class named_reader : public detail::named_end<detail::named_source>, public message_receive_forms<named_reader<T>, T> {
 public:
  using value_type = T;
  static constexpr bool carries_handles = false;
  named_reader() = default;

 private:
  friend detail::message_access;
  friend named_channel<T>;
  using detail::named_end<detail::named_source>::named_end;
  detail::named_source& source() const { return this->core(); }
};

/// Elements from any number of programs to one that has opened the same path: a POSIX FIFO. Both sides must mean the
/// same type, and be of the same byte order, as they are on one machine. An element may be up to 1 GiB large;
/// descriptors cannot come along.
///
/// Whoever comes first makes the FIFO; who receives removes it at its end, and who meets nobody its own. One that
/// killed programs have left is used, and removed then; one that you have made yourself is left (ours have the sticky
/// bit). Put it into a directory where only those you trust may write.
template <class T>
class named_channel {
 public:
  /// The end that receives; there is one at a time. Blocks until somebody has opened the path to send. Throws timed_out
  /// after the limit; os_error that names the path: no such directory, no permission, another file of that name,
  /// another program that receives; would_block on the thread of a run_loop.
  [[nodiscard]] static named_reader<T> reader(const std::filesystem::path& path,
                                              const named_channel_options& options = {},
                                              place here = place::current()) {
    return named_reader<T>(detail::fifo(path.native(), detail::fifo::side::reads,
                                        static_cast<::mode_t>(options.permissions),
                                        detail::message_wait::within(options.limit, "named_channel::reader", here)));
  }
  /// The same to send: blocks until somebody has opened the path to receive.
  [[nodiscard]] static named_writer<T> writer(const std::filesystem::path& path,
                                              const named_channel_options& options = {},
                                              place here = place::current()) {
    return named_writer<T>(detail::fifo(path.native(), detail::fifo::side::writes,
                                        static_cast<::mode_t>(options.permissions),
                                        detail::message_wait::within(options.limit, "named_channel::writer", here)));
  }
};

}  // namespace tutti
