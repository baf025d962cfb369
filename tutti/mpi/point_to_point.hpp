// point_to_point: messages from one rank to another.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/mpi/comm_handle.hpp>
#include <tutti/mpi/element.hpp>
#include <tutti/mpi/request.hpp>
#include <tutti/mpi/status.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tutti::mpi {

namespace detail {

enum class send_mode : std::uint8_t { standard, synchronous };

// The calls themselves, which return MPI's codes ...
int send_at_once(const void* data, int bytes, int to, int tag, std::uintptr_t comm) noexcept;
int recv_at_once(void* data, int bytes, int from, int tag, std::uintptr_t comm, status& came) noexcept;
struct begun_at_once {    // in two registers
  std::uintptr_t handle;  // MPI_Request
  int code;
};
begun_at_once isend_at_once(const void* data, int bytes, int to, int tag, std::uintptr_t comm) noexcept;
begun_at_once irecv_at_once(void* data, int bytes, int from, int tag, std::uintptr_t comm) noexcept;
[[noreturn]] void send_failed(int code, const comm_state& where, const char* call, int to, int tag, place here);
[[noreturn]] void recv_failed(int code, const comm_state& where, memory into, int from, int tag, const char* call,
                              place here);
// (By value, as all below: what nobody has the address of need not be in memory.)
// ... and with all that may belong to them: a watch, ranks that are none, more bytes than an int counts, bad input.
void send_slowly(const comm_state& where, const_memory what, int to, int tag, send_mode mode, place here);
struct begun_slowly {     // in two registers
  std::uintptr_t handle;  // MPI_Request
  std::uint64_t watched;
};
begun_slowly isend_slowly(const comm_state& where, const_memory what, int to, int tag, send_mode mode, place here);
status recv_slowly(const comm_state& where, memory into, int from, int tag, const char* call, place here);
begun_slowly irecv_slowly(const comm_state& where, memory into, int from, int tag, place here);

// Whether the call itself will do. A message of 8 bytes takes MPI 100 ns, so this is all that is done about it.
inline bool is_simple(const comm_state& where, std::size_t bytes, int rank) noexcept {
  return is_undisturbed() && bytes <= 0x7fffffff && static_cast<unsigned>(rank) < static_cast<unsigned>(where.size);
}

inline void send(const comm_state& where, const const_memory& what, int to, int tag, send_mode mode,
                 const place& here) {
  const std::size_t bytes = what.bytes();
  if (!is_simple(where, bytes, to) || mode != send_mode::standard) [[unlikely]]
    return send_slowly(where, what, to, tag, mode, here);
  const int code = send_at_once(what.data, static_cast<int>(bytes), to, tag, where.handle);
  if (code != 0) [[unlikely]]
    send_failed(code, where, "send", to, tag, here);
}

inline status recv(const comm_state& where, const memory& into, int from, int tag, const place& here,
                   const char* call = "recv") {
  const std::size_t bytes = into.bytes();
  if (!is_simple(where, bytes, from)) [[unlikely]]
    return recv_slowly(where, into, from, tag, call, here);
  status came;
  const int code = recv_at_once(into.data, static_cast<int>(bytes), from, tag, where.handle, came);
  if (code != 0) [[unlikely]]
    recv_failed(code, where, into, from, tag, call, here);
  return came;
}

// What is begun is put together last, from registers: what was in memory piece by piece before would be copied whole to
// where the request is to be, and such a copy waits for the pieces' stores.
inline started isend(const comm_state& where, const const_memory& what, int to, int tag, send_mode mode,
                     const place& here) {
  const std::size_t bytes = what.bytes();
  begun_slowly made{};
  if (is_simple(where, bytes, to) && mode == send_mode::standard) [[likely]] {
    const auto [handle, code] = isend_at_once(what.data, static_cast<int>(bytes), to, tag, where.handle);
    if (code != 0) [[unlikely]]
      send_failed(code, where, "isend", to, tag, here);
    made.handle = handle;
  } else {
    made = isend_slowly(where, what, to, tag, mode, here);
  }
  return {.where = &where,
          .call = mode == send_mode::synchronous ? "issend" : "isend",
          .file = here.file,
          .line = here.line,
          .peer = to,
          .tag = tag,
          .handle = made.handle,
          .watched = made.watched};
}

inline started irecv(const comm_state& where, const memory& into, int from, int tag, const place& here) {
  const std::size_t bytes = into.bytes();
  begun_slowly made{};
  if (is_simple(where, bytes, from)) [[likely]] {
    const auto [handle, code] = irecv_at_once(into.data, static_cast<int>(bytes), from, tag, where.handle);
    if (code != 0) [[unlikely]]
      recv_failed(code, where, into, from, tag, "irecv", here);
    made.handle = handle;
  } else {
    made = irecv_slowly(where, into, from, tag, here);
  }
  return {.where = &where,
          .call = "irecv",
          .file = here.file,
          .line = here.line,
          .peer = from,
          .tag = tag,
          .receives = true,
          .handle = made.handle,
          .watched = made.watched};
}

/// The same; a message of another length than the memory's is an error.
status recv_exactly(const comm_state& where, memory into, int from, int tag, const char* call, const place& here);
status sendrecv(const comm_state& where, const_memory out, int to, int send_tag, memory in, int from, int recv_tag,
                const place& here);
status probe(const comm_state& where, int from, int tag, const place& here);
std::optional<status> iprobe(const comm_state& where, int from, int tag, const place& here);
started send_init(const comm_state& where, const_memory what, int to, int tag, const place& here);
started recv_init(const comm_state& where, memory into, int from, int tag, const place& here);

/// A message that was found, and can be received by who has it alone.
struct found_message {
  std::uintptr_t handle = 0;  // MPI_Message
  status about;
};
/// Throws mpi::error for a rank that is none of this communicator's.
void check_source(const comm_state& where, int from, const char* call, const place& here);
found_message mprobe(const comm_state& where, int from, int tag, const char* call, const place& here);
void mrecv(const comm_state& where, found_message& found, void* into, const char* call, const place& here);
[[noreturn]] void refuse_length(const comm_state& where, const status& came, std::size_t unit, const char* type,
                                const char* call, const place& here);

/// Says of which message what could not be decoded.
[[noreturn]] void refuse_bytes(const comm_state& where, const status& came, const decode_error& why, const char* call,
                               const place& here);
template <class T>
void decode_message(const comm_state& where, const status& came, std::string_view bytes, T& into, const char* call,
                    const place& here) {
  try {
    tutti::decode_into(bytes, into);
  } catch (const decode_error& why) {
    refuse_bytes(where, came, why, call, here);
  }
}

// An encoded value.
template <class T>
void recv_decoded(const comm_state& where, int from, int tag, T& into, status* about, const char* call,
                  const place& here) {
  found_message found = mprobe(where, from, tag, call, here);
  std::string bytes(found.about.bytes, '\0');
  mrecv(where, found, bytes.data(), call, here);
  if (about != nullptr) *about = found.about;
  decode_message(where, found.about, bytes, into, call, here);
}

template <class T>
T value_from_nobody(const comm_state& where, status* about, const char* call, const place& here) {
  check_source(where, no_rank, call, here);
  if (about != nullptr) *about = {};
  return T{};
}

// The value that a message is: allocates what is needed.
template <class T>
T recv_value(const comm_state& where, int from, int tag, status* about, const char* call, const place& here) {
  check_received<T>();
  if (from == no_rank && tag >= any_tag) return value_from_nobody<T>(where, about, call, here);
  if constexpr (growing_buffer<T>) {
    constexpr std::size_t unit = sizeof(std::ranges::range_value_t<T>);
    found_message found = mprobe(where, from, tag, call, here);
    if (found.about.bytes % unit != 0) {
      std::string dropped(found.about.bytes, '\0');
      mrecv(where, found, dropped.data(), call, here);
      refuse_length(where, found.about, unit, "elements", call, here);
    }
    T value;
    value.resize(found.about.bytes / unit);
    mrecv(where, found, std::ranges::data(value), call, here);
    if (about != nullptr) *about = found.about;
    return value;
  } else if constexpr (raw_message<T>) {
    static_assert(std::default_initializable<T>, "tutti: recv<T>() needs a T that can be made empty first");
    T value{};
    const status came = recv_exactly(where, writable_memory_of(value), from, tag, call, here);
    if (about != nullptr) *about = came;
    return value;
  } else {
    T value = T();
    recv_decoded(where, from, tag, value, about, call, here);
    return value;
  }
}

// Calls `how(memory)` with what is to be sent.
template <class T, class How>
decltype(auto) with_outgoing(const T& what, How how) {
  using bare = std::remove_cvref_t<T>;
  if constexpr (std::is_convertible_v<const T&, std::string_view> && !growing_buffer<bare>) {
    return how(memory_of_text(what));  // a literal, without its zero
  } else if constexpr (raw_message<T>) {
    return how(memory_of(what));
  } else {
    check_message<bare>();
    const std::string bytes = tutti::encode(what);
    return how(memory_of_text(bytes));
  }
}

}  // namespace detail

/// Under way: a value that will have been received. See request.
template <class T>
class [[nodiscard]] value_request;

/// Messages between two ranks. A message has a tag, 0 or more; messages of one sender with one tag are received in the
/// order in which they were sent. Plain values and buffers travel as they are (as MPI_BYTE), so that the C API on the
/// other side may be any program's; all else is encoded. Messages have any length, beyond 2 GiB too.
///
/// All calls throw mpi::error, which names the call, this rank, the communicator and what is wrong: a rank out of
/// range, a negative tag, a receive that is too small.
class point_to_point : public comm_handle {
 public:
  /// Sends a value or the elements of a buffer. Blocks until `what` may be changed, which may be before anybody
  /// receives it, or not: a program must not rely on either.
  template <class T>
  void send(const T& what, int to, int tag = 0, const place& here = place::current()) const {
    detail::with_outgoing(
        what, [&](detail::const_memory m) { detail::send(state(), m, to, tag, detail::send_mode::standard, here); });
  }
  /// The same; blocks until the receive has begun.
  template <class T>
  void ssend(const T& what, int to, int tag = 0, const place& here = place::current()) const {
    detail::with_outgoing(
        what, [&](detail::const_memory m) { detail::send(state(), m, to, tag, detail::send_mode::synchronous, here); });
  }
  /// Begins to send. What has a name, or is a view, must stay, unchanged, until the request has ended; unless it must
  /// be encoded, which is done at once. Temporaries are kept by the request.
  template <class T>
  request isend(T&& what, int to, int tag = 0, const place& here = place::current()) const {
    return begin_send(std::forward<T>(what), to, tag, detail::send_mode::standard, here);
  }
  /// The same; ends once the receive has begun.
  template <class T>
  request issend(T&& what, int to, int tag = 0, const place& here = place::current()) const {
    return begin_send(std::forward<T>(what), to, tag, detail::send_mode::synchronous, here);
  }
  /// Receives a T; allocates what it needs. Blocks until it is there. `about`: where to say who sent it, and what.
  template <class T>
  [[nodiscard]] T recv(int from = any_source, int tag = any_tag, status* about = nullptr,
                       const place& here = place::current()) const {
    return detail::recv_value<T>(state(), from, tag, about, "recv", here);
  }
  /// Receives into memory that is there: a plain value or a buffer, of which the message may fill a part.
  template <class T>
    requires(writable_buffer<T> || plain<std::remove_reference_t<T>>)
  status recv_into(T&& into, int from = any_source, int tag = any_tag, const place& here = place::current()) const {
    return detail::recv(state(), detail::writable_memory_of(into), from, tag, here, "recv_into");
  }
  /// Receives a value that travels encoded into one that is there: a string, a list of strings, a list of such lists
  /// keep their memory, which is several times faster than `recv`. From no_rank it stays as it is. Throws decode_error
  /// for bytes that are no T; `into` is then anything.
  template <class T>
    requires(!raw_message<T>)
  status recv_into(T& into, int from = any_source, int tag = any_tag, const place& here = place::current()) const {
    detail::check_received<T>();
    status about;
    if (from == no_rank && tag >= any_tag) {
      detail::check_source(state(), no_rank, "recv_into", here);
    } else {
      detail::recv_decoded(state(), from, tag, into, &about, "recv_into", here);
    }
    return about;
  }
  /// Begins to do so. The memory must stay, and not be looked at, until the request has ended.
  template <class T>
    requires(lasting_writable_buffer<T> || (plain<std::remove_reference_t<T>> && std::is_lvalue_reference_v<T>))
  request irecv_into(T&& into, int from = any_source, int tag = any_tag, const place& here = place::current()) const {
    return request(detail::irecv(state(), detail::writable_memory_of(into), from, tag, here));
  }
  /// Begins to receive a T of any length. See value_request.
  template <class T>
  value_request<T> irecv(int from = any_source, int tag = any_tag, const place& here = place::current()) const;

  /// Sends to one rank and receives a T from one, in whatever order does not deadlock.
  template <class T, class U>
  [[nodiscard]] T sendrecv(const U& what, int to, int from, int send_tag = 0, int recv_tag = any_tag,
                           status* about = nullptr, const place& here = place::current()) const {
    if constexpr (raw_message<T> && !growing_buffer<T>) {
      T value{};
      const status came = detail::with_outgoing(what, [&](detail::const_memory m) {
        return detail::sendrecv(state(), m, to, send_tag, detail::writable_memory_of(value), from, recv_tag, here);
      });
      if (came.source != no_rank && came.bytes != detail::writable_memory_of(value).bytes()) {
        detail::refuse_length(state(), came, sizeof(T), "bytes", "sendrecv", here);
      }
      if (about != nullptr) *about = came;
      return value;
    } else {
      detail::check_source(state(), from, "sendrecv", here);  // before anything is sent
      return detail::with_outgoing(what, [&](detail::const_memory m) {
        request out(detail::isend(state(), m, to, send_tag, detail::send_mode::standard, here));
        T value = detail::recv_value<T>(state(), from, recv_tag, about, "sendrecv", here);
        out.wait(here);
        return value;
      });
    }
  }
  /// The same with the type that is sent.
  template <class T>
    requires(!buffer<T> || growing_buffer<T>)
  [[nodiscard]] T sendrecv(const T& what, int to, int from, int send_tag = 0, int recv_tag = any_tag,
                           const place& here = place::current()) const {
    return sendrecv<T, T>(what, to, from, send_tag, recv_tag, nullptr, here);
  }
  /// The same with memory that is there, which must not overlap.
  template <class T, class U>
    requires(raw_message<T> && (writable_buffer<U> || plain<std::remove_reference_t<U>>))
  status sendrecv_into(const T& what, int to, U&& into, int from, int send_tag = 0, int recv_tag = any_tag,
                       const place& here = place::current()) const {
    return detail::sendrecv(state(), detail::memory_of(what), to, send_tag, detail::writable_memory_of(into), from,
                            recv_tag, here);
  }

  /// Blocks until a message is there that could be received, and says what it is. It stays where it is; another thread
  /// may receive it first: `recv` alone takes what it has found.
  status probe(int from = any_source, int tag = any_tag, const place& here = place::current()) const {
    return detail::probe(state(), from, tag, here);
  }
  /// The same without blocking: nothing when there is none.
  std::optional<status> iprobe(int from = any_source, int tag = any_tag, const place& here = place::current()) const {
    return detail::iprobe(state(), from, tag, here);
  }

  /// Prepares to send this memory again and again.
  template <class T>
    requires(lasting_buffer<T> || (plain<std::remove_cvref_t<T>> && std::is_lvalue_reference_v<T>))
  persistent_request send_init(T&& what, int to, int tag = 0, const place& here = place::current()) const {
    return persistent_request(detail::send_init(state(), detail::memory_of(what), to, tag, here));
  }
  /// Prepares to receive into this memory again and again.
  template <class T>
    requires(lasting_writable_buffer<T> || (plain<std::remove_reference_t<T>> && std::is_lvalue_reference_v<T>))
  persistent_request recv_init(T&& into, int from = any_source, int tag = any_tag,
                               const place& here = place::current()) const {
    return persistent_request(detail::recv_init(state(), detail::writable_memory_of(into), from, tag, here));
  }

 protected:
  using comm_handle::comm_handle;

 private:
  template <class T>
  request begin_send(T&& what, int to, int tag, detail::send_mode mode, const place& here) const {
    using bare = std::remove_cvref_t<T>;
    constexpr bool stays = std::is_lvalue_reference_v<T> || std::ranges::borrowed_range<T>;
    if constexpr (std::is_convertible_v<const bare&, std::string_view> && !growing_buffer<bare>) {
      return request(detail::isend(state(), detail::memory_of_text(what), to, tag, mode, here));
    } else if constexpr (raw_message<bare> && stays) {
      return request(detail::isend(state(), detail::memory_of(what), to, tag, mode, here));
    } else if constexpr (raw_message<bare>) {
      auto owned = std::make_unique<detail::owned_value<bare>>(std::forward<T>(what));
      const auto begun = detail::isend(state(), detail::memory_of(owned->value), to, tag, mode, here);
      return request(begun, std::move(owned));
    } else {
      detail::check_message<bare>();
      auto owned = std::make_unique<detail::owned_value<std::string>>(tutti::encode(what));
      const auto begun = detail::isend(state(), detail::memory_of_text(owned->value), to, tag, mode, here);
      return request(begun, std::move(owned));
    }
  }
};

}  // namespace tutti::mpi

#include <tutti/mpi/value_request.hpp>  // IWYU pragma: export
