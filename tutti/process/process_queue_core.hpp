// process_queue_core: messages from many processes to many, through a ring in shared memory under one robust lock.
//
// A process may be killed at any instruction. So all that says what is in the queue is one record, of which there are
// two copies: a change is prepared in the one that does not count, and made by storing which one counts: nobody ever
// sees half of it, and who dies before that store has changed nothing (the bytes it copied lie where nothing is).
#pragma once
#include <tutti/process/message_forms.hpp>
#include <tutti/process/process_key.hpp>
#include <tutti/process/shared_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tutti::detail {

struct queue_gate;
struct queue_memory;
class queue_visit;

/// How a queue travels: the numbers of its descriptors.
struct travelling_queue {
  std::uint32_t memory = 0;
  std::uint32_t socket_in = 0;
  std::uint32_t socket_out = 0;
};

/// Thread-safe.
class process_queue_core {
 public:
  /// Room for `capacity` elements and `bytes` bytes of them. Throws std::invalid_argument, os_error.
  process_queue_core(std::size_t capacity, std::size_t bytes);
  /// The one that another process has. Throws decode_error, os_error.
  explicit process_queue_core(const travelling_queue& from);

  /// False: the time is up. Throws `closed`, encode_error for a message larger than the whole queue, owner_lost,
  /// os_error.
  bool put(std::string_view bytes, std::span<const unique_fd> handles, const message_wait& how);
  arrival take(arrived_message& into, const message_wait& how);
  [[noreturn]] void refuse() const;

  void close();
  void task_done();
  /// What take gave was no good: needs no task_done.
  void not_received() noexcept;
  /// False: the time is up.
  bool join(const message_wait& how);

  [[nodiscard]] bool is_closed();
  [[nodiscard]] std::size_t size();
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] travelling_queue attach() const;

 private:
  [[nodiscard]] queue_memory& memory() const noexcept;
  [[nodiscard]] queue_visit enter() const;
  void copy_in(std::uint64_t at, const void* from, std::size_t size) noexcept;
  void copy_out(std::uint64_t at, void* to, std::size_t size) const noexcept;
  template <class Look>
  bool wait(queue_gate& gate, const message_wait& how, Look look);
  bool try_put(std::string_view bytes, std::span<const unique_fd> handles, std::uint32_t* sleeps);
  arrival try_take(arrived_message& into, std::uint32_t* sleeps);
  void take_first(queue_visit& inside, arrived_message& into);
  void bury(queue_visit& inside);
  bool one_done();
  bool hand_in(const queue_visit& inside, std::span<const unique_fd> handles);
  bool drop_stale(const queue_visit& inside) noexcept;
  /// False: they are not there.
  bool hand_out(std::uint64_t id, std::size_t count, arrived_message& into);
  void drop_handles() noexcept;
  std::uint32_t own_slot(queue_visit& inside, process_key self);

  shared_memory shared_;
  unique_fd socket_in_, socket_out_;
  std::size_t capacity_ = 0;
  std::size_t arena_ = 0;
};

}  // namespace tutti::detail
