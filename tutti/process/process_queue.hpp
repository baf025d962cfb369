// process_queue: a bounded queue of many processes: each element goes to one of those who receive.
#pragma once
#include <tutti/process/message_forms.hpp>
#include <tutti/process/process_queue_core.hpp>

#include <memory>
#include <stdexcept>

namespace tutti {

/// A queue that any number of processes send to and receive from. A copy, and what another process gets as an argument,
/// is the same queue. First in, first out. Thread-safe.
///
/// A process may be killed at any moment. An element it was sending is then there whole or not at all; the queue goes
/// on. If it dies right as it receives one, the next to send, receive or join gets `owner_lost`, once. What it had
/// received before is its own matter, unless task_done is used: then join tells. Nobody knows who else may still send:
/// close() when all was sent, or receivers wait for ever.
///
/// Elements may hold what is sent by handle, such as shared arrays or ends of a process_channel.
template <class T>
class process_queue : public message_send_forms<process_queue<T>, T>,
                      public message_receive_forms<process_queue<T>, T> {
 public:
  using value_type = T;
  static constexpr bool carries_handles = true;

  /// No queue; can be sent as such.
  process_queue() = default;
  /// `capacity`: elements that may wait. `bytes`: all that they may take together, and so the largest: each takes what
  /// its encoding has, filled up to 8, and 24 more. Throws std::invalid_argument for 0, os_error.
  explicit process_queue(std::size_t capacity, std::size_t bytes = std::size_t{1} << 20)
      : core_(std::make_shared<detail::process_queue_core>(capacity, bytes)) {}

  /// Nothing more is sent: senders get `closed`, receivers what is left, and then `closed`. For all processes.
  void close() { core().close(); }
  [[nodiscard]] bool is_closed() const { return core().is_closed(); }
  /// Elements that wait now.
  [[nodiscard]] std::size_t size() const { return core().size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t capacity() const { return core().capacity(); }
  /// Whether there is a queue behind it.
  explicit operator bool() const noexcept { return core_ != nullptr; }

  /// Reports that the work with one element is done, by the process that received it; none is due for one that could
  /// not be decoded. Throws std::logic_error when it has received none that is not done.
  void task_done() { core().task_done(); }
  /// Blocks until every element sent so far was received and reported by task_done. Throws owner_lost, once, when a
  /// process died with elements in hand, and says how many; those are then as done. Notices that within a second.
  void join(place here = place::current()) {
    static_cast<void>(core().join(detail::message_wait::endless("process_queue::join", here)));
  }
  /// False when the time is up first, on the machine's clock; zero or less never waits.
  [[nodiscard]] bool join_for(std::chrono::nanoseconds limit, place here = place::current()) {
    return core().join(detail::message_wait::within(limit, "process_queue::join_for", here));
  }
  [[nodiscard]] bool try_join(place here = place::current()) {
    return core().join(detail::message_wait::never("process_queue::try_join", here));
  }

  template <class Archive>
  void save(Archive& archive) const {
    archive(core_ != nullptr);
    if (core_ == nullptr) return;
    const detail::travelling_queue from = core_->attach();
    archive(from.memory, from.socket_in, from.socket_out);
  }
  template <class Archive>
  void load(Archive& archive) {
    bool refers = false;
    archive(refers);
    core_.reset();
    if (!refers) return;
    detail::travelling_queue from;
    archive(from.memory, from.socket_in, from.socket_out);
    core_ = std::make_shared<detail::process_queue_core>(from);
  }

 private:
  friend detail::message_access;
  detail::process_queue_core& sink() const { return core(); }
  detail::process_queue_core& source() const { return core(); }
  detail::process_queue_core& core() const {
    if (core_ == nullptr) [[unlikely]]
      throw std::logic_error("process_queue: there is none behind this one: make it with a capacity");
    return *core_;
  }

  std::shared_ptr<detail::process_queue_core> core_;
};

}  // namespace tutti
