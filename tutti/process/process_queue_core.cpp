#include <tutti/process/process_queue_core.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/handle_transfer.hpp>
#include <tutti/process/message_sleep.hpp>
#include <tutti/process/queue_memory.hpp>
#include <tutti/process/ring_bytes.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iterator>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>

namespace tutti::detail {
namespace {

constexpr const char* kind = "process_queue";

}  // namespace

// ---- making and handing on

process_queue_core::process_queue_core(std::size_t capacity, std::size_t bytes) : capacity_(capacity) {
  if (capacity == 0 || bytes == 0 || bytes > std::size_t{1} << 46) {
    throw std::invalid_argument("process_queue: room for " + std::to_string(capacity) + " elements and " +
                                std::to_string(bytes) + " bytes; both must be at least 1, and the bytes at most 2^46");
  }
  arena_ = (bytes + 7) / 8 * 8;
  shared_ = shared_memory(arena_start + arena_, kind);
  auto* const made = ::new (shared_.data()) queue_memory;
  made->capacity = capacity;
  std::tie(socket_in_, socket_out_) = connected_sockets(kind);
}

process_queue_core::process_queue_core(const travelling_queue& from)
    : shared_(take_handle(from.memory, kind), kind),
      socket_in_(take_handle(from.socket_in, kind)),
      socket_out_(take_handle(from.socket_out, kind)) {
  // What others write there is read once, and no size is taken from it.
  if (shared_.size() > arena_start && memory().magic == queue_magic) {
    capacity_ = std::atomic_ref(memory().capacity).load(std::memory_order_relaxed);
    arena_ = shared_.size() - arena_start;
  }
  if (capacity_ == 0 || arena_ % 8 != 0) throw decode_error("not the shared memory of a process_queue");
}

travelling_queue process_queue_core::attach() const {
  return {attach_duplicate(shared_.fd(), kind), attach_duplicate(socket_in_.get(), kind),
          attach_duplicate(socket_out_.get(), kind)};
}

queue_visit process_queue_core::enter() const { return {memory(), capacity_, arena_}; }

queue_memory& process_queue_core::memory() const noexcept {
  return *std::launder(reinterpret_cast<queue_memory*>(shared_.data()));
}

void process_queue_core::copy_in(std::uint64_t at, const void* from, std::size_t size) noexcept {
  copy_into_ring({shared_.data() + arena_start, arena_}, at % arena_, from, size);
}

void process_queue_core::copy_out(std::uint64_t at, void* to, std::size_t size) const noexcept {
  copy_from_ring({shared_.data() + arena_start, arena_}, at % arena_, to, size);
}

// ---- waiting

// `look(nullptr)` only looks; `look(&turn)` enters the gate, too, when it is not yet time.
template <class Look>
bool process_queue_core::wait(queue_gate& gate, const message_wait& how, Look look) {
  if (look(nullptr)) return true;
  if (how.waits_not) return false;
  std::uint64_t seen = memory().changes.load(std::memory_order_relaxed);
  for (spinner spin(spinner::before_sleep); spin.once();) {
    const std::uint64_t now = memory().changes.load(std::memory_order_relaxed);
    if (now == seen) continue;
    seen = now;
    if (look(nullptr)) return true;
  }
  for (;;) {
    std::uint32_t turn = 0;
    if (look(&turn)) return true;
    if (how.is_over()) return false;
    const message_sleep asleep(this, how, kind);
    gate.sleep(turn, how.until.value_or(message_wait::clock::time_point::max()));
  }
}

// ---- sending

bool process_queue_core::put(std::string_view bytes, std::span<const unique_fd> handles, const message_wait& how) {
  if (space_for(bytes.size()) > arena_ || bytes.size() > arena_) {
    throw encode_error("process_queue: an element of " + std::to_string(bytes.size()) + " bytes, which needs " +
                       std::to_string(space_for(bytes.size())) + ", in a queue of " + std::to_string(arena_) +
                       " bytes; make it with more: process_queue(capacity, bytes)");
  }
  if (handles.size() > most_message_handles) {
    throw encode_error("process_queue: an element with " + std::to_string(handles.size()) + " descriptors; at most " +
                       std::to_string(most_message_handles) + " can go in one");
  }
  return wait(memory().room, how, [&](std::uint32_t* sleeps) { return try_put(bytes, handles, sleeps); });
}

bool process_queue_core::try_put(std::string_view bytes, std::span<const unique_fd> handles, std::uint32_t* sleeps) {
  queue_visit inside = enter();
  inside.report();
  queue_state& next = inside.next;
  if (next.closed != 0) throw closed("process_queue: it is closed; this was not sent");
  const std::size_t space = space_for(bytes.size());
  const bool has_room = next.elements < capacity_ && arena_ - (next.last - next.first) >= space;
  if (!has_room || !hand_in(inside, handles)) {
    if (sleeps == nullptr) return false;
    // Who waits for the socket cannot tell what will make room in it.
    const std::size_t wants = has_room ? arena_ + 1 : space;
    if (next.largest < wants) {
      next.largest = wants;
      inside.commit();
      // It may be the one that was woken for room which another can use.
      if (next.elements < capacity_ && memory().room.sleepers != 0) inside.call_all(memory().room);
    }
    *sleeps = memory().room.enter();
    return false;
  }
  const queue_record head{bytes.size(), static_cast<std::uint32_t>(handles.size()), 0, next.next_id};
  copy_in(next.last, &head, sizeof head);
  copy_in(next.last + sizeof head, bytes.data(), bytes.size());
  next.last += space;
  ++next.elements;
  ++next.next_id;
  inside.commit();
  inside.call_one(memory().elements);
  return true;
}

// ---- receiving

arrival process_queue_core::take(arrived_message& into, const message_wait& how) {
  arrival result = arrival::not_now;
  wait(memory().elements, how,
       [&](std::uint32_t* sleeps) { return (result = try_take(into, sleeps)) != arrival::not_now; });
  return result;
}

void process_queue_core::refuse() const { throw closed("process_queue: it is closed, and all of it was received"); }

arrival process_queue_core::try_take(arrived_message& into, std::uint32_t* sleeps) {
  queue_visit inside = enter();
  inside.report();
  if (inside.next.elements == 0) {
    if (inside.next.closed != 0) return arrival::closed;
    if (sleeps != nullptr) *sleeps = memory().elements.enter();
    return arrival::not_now;
  }
  try {
    take_first(inside, into);
  } catch (...) {
    inside.call_all(memory().elements);  // this was woken for one that others may be able to take
    throw;
  }
  return arrival::message;
}

void process_queue_core::take_first(queue_visit& inside, arrived_message& into) {
  queue_state& next = inside.next;
  const process_key self = this_process();
  const std::uint32_t slot = own_slot(inside, self);
  queue_record head{};
  copy_out(next.first, &head, sizeof head);
  const std::size_t used = next.last - next.first;
  // What is left must be as many elements as are said to be left: else it stays as it is, for all to see.
  const bool fits = head.size <= used && space_for(head.size) <= used && head.handles <= most_message_handles;
  const std::size_t rest = fits ? used - space_for(head.size) : 0, others = next.elements - 1;
  if (!fits || others * sizeof(queue_record) > rest || (others == 0 && rest != 0))
    throw decode_error("process_queue: a process has written nonsense into the shared memory");
  char* const bytes = into.room(head.size);
  copy_out(next.first + sizeof head, bytes, head.size);
  into.bytes = {bytes, head.size};
  into.handles.clear();
  const bool whole = head.handles == 0 || hand_out(head.id, head.handles, into);
  // Where all that wait would have had bytes enough before, they wait for one element less, and whoever is woken can
  // use it. Else any of them may be the one that can go on now: all look, and those who sleep again say what they want.
  const bool one_is_enough = arena_ - used >= next.largest;
  if (!one_is_enough || memory().room.sleepers == 0) next.largest = 0;
  next.first += space_for(head.size);
  --next.elements;
  if (whole) {
    ++next.held;
    next.took = 1;
    const queue_holder& mine = memory().holders[slot];
    inside.set_holder(slot, {self, mine.who == self ? mine.elements + 1 : 1});
  }
  inside.commit();
  if (head.handles != 0 && whole) drop_handles();
  if (one_is_enough) {
    inside.call_one(memory().room);
  } else {
    inside.call_all(memory().room);
  }
  if (whole) return;
  if (next.held == 0 && next.elements == 0) inside.call_all(memory().done);
  throw decode_error("process_queue: the descriptors of an element are not there; it is dropped");
}

// Where this process counts what it has in hand.
std::uint32_t process_queue_core::own_slot(queue_visit& inside, process_key self) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::uint32_t free = no_slot;
    for (std::uint32_t i = 0; i < most_holders; ++i) {
      const queue_holder& one = memory().holders[i];
      if (one.who == self) return i;
      if (one.elements != 0) continue;
      if (free == no_slot) free = i;
      if (one.who == 0) break;  // they are used from the front
    }
    if (free != no_slot) return free;
    bury(inside);
  }
  throw os_error::of(
      "process_queue: " + std::to_string(most_holders) + " processes have received elements and not called task_done",
      ENOSPC);
}

// ---- descriptors
//
// They wait in a socket of which every process has both ends, in the order of the elements they belong to. They are
// handed in before the element is there, and looked at (which makes copies) before it is gone: whoever is killed, what
// belongs to an element in the queue is in the socket, and what belongs to none has a smaller number and is dropped.

bool process_queue_core::hand_in(const queue_visit& inside, std::span<const unique_fd> handles) {
  if (handles.empty()) return true;
  const std::uint64_t id = inside.next.next_id;
  const std::vector<int> numbers = numbers_of(handles);
  for (;;) {
    if (send_with_handles(socket_in_.get(), &id, sizeof id, numbers, MSG_DONTWAIT) >= 0) return true;
    // ETOOMANYREFS: all programs of this user have too many descriptors on their way, here or elsewhere.
    const int why = errno;
    if (why != EAGAIN && why != EWOULDBLOCK && why != ETOOMANYREFS)
      throw os_error::of("process_queue: cannot send " + std::to_string(numbers.size()) + " descriptors", why);
    if (!drop_stale(inside)) return false;
  }
}

// Senders that were killed between hand_in and their commit may have filled the socket. True when it has less now.
bool process_queue_core::drop_stale(const queue_visit& inside) noexcept {
  std::uint64_t first_id = inside.next.next_id;
  if (inside.next.elements != 0) {
    queue_record head{};
    copy_out(inside.next.first, &head, sizeof head);
    first_id = head.id;
  }
  bool dropped = false;
  std::uint64_t found = 0;
  while (::recv(socket_out_.get(), &found, sizeof found, MSG_PEEK | MSG_DONTWAIT) == sizeof found && found < first_id) {
    drop_handles();
    dropped = true;
  }
  return dropped;
}

bool process_queue_core::hand_out(std::uint64_t id, std::size_t count, arrived_message& into) {
  for (;;) {
    std::uint64_t found = 0;
    const auto [n, handles_lost, cut] =
        receive_with_handles(socket_out_.get(), &found, sizeof found, into.handles, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
      throw os_error::of("process_queue: cannot take over the descriptors of an element, which stays in the queue",
                         errno);
    if (n != sizeof found || cut || found > id) return false;
    if (found < id) {
      drop_handles();
      continue;
    }
    if (!handles_lost) return into.handles.size() == count;
    throw os_error::of("process_queue: cannot take over the " + std::to_string(count) +
                           " descriptors of an element, which stays in the queue; raise the limit of open files",
                       EMFILE);
  }
}

void process_queue_core::drop_handles() noexcept {
  std::uint64_t id = 0;
  while (::recv(socket_out_.get(), &id, sizeof id, MSG_DONTWAIT) < 0 && errno == EINTR) {
  }
}

// ---- the rest

void process_queue_core::close() {
  queue_visit inside = enter();
  if (inside.next.closed != 0) return;
  inside.next.closed = 1;
  inside.commit();
  inside.call_all(memory().elements);
  inside.call_all(memory().room);
}

bool process_queue_core::is_closed() { return enter().next.closed != 0; }
std::size_t process_queue_core::size() { return enter().next.elements; }

void process_queue_core::task_done() {
  if (one_done()) return;
  throw std::logic_error(
      "process_queue: task_done was called more often than this process has received; call it once for each element, "
      "where it was received");
}

void process_queue_core::not_received() noexcept {
  try {
    static_cast<void>(one_done());
  } catch (const std::exception&) {  // then it is as an element that nobody has reported
  }
}

bool process_queue_core::one_done() {
  queue_visit inside = enter();
  const process_key self = this_process();
  const auto* const mine = std::find_if(std::begin(memory().holders), std::end(memory().holders),
                                        [&](const queue_holder& one) { return one.who == self && one.elements != 0; });
  if (mine == std::end(memory().holders) || inside.next.held == 0) return false;
  --inside.next.held;
  inside.set_holder(static_cast<std::uint32_t>(mine - memory().holders), {self, mine->elements - 1});
  inside.commit();
  if (inside.next.held == 0 && inside.next.elements == 0) inside.call_all(memory().done);
  return true;
}

// Writes off what dead processes have in hand.
void process_queue_core::bury(queue_visit& inside) {
  for (std::uint32_t i = 0; i < most_holders && inside.next.held != 0; ++i) {
    const queue_holder one = memory().holders[i];
    if (one.elements == 0 || is_running(one.who)) continue;
    const auto lost = std::min(one.elements, inside.next.held);
    inside.next.held -= lost;
    inside.next.lost += lost;
    inside.next.lost_silent += lost;
    inside.set_holder(i, {one.who, 0});
    inside.commit();
  }
}

bool process_queue_core::join(const message_wait& how) {
  const std::uint64_t lost_before = enter().next.lost;
  return wait(memory().done, how, [&](std::uint32_t* sleeps) {
    queue_visit inside = enter();
    inside.report();
    if (inside.next.held != 0) bury(inside);
    const auto lost = std::max(inside.next.lost_silent, inside.next.lost - lost_before);
    if (lost != 0) {
      // Made first: what cannot be told must not count as told.
      const owner_lost told("process_queue: " + std::to_string(lost) + (lost == 1 ? " element was" : " elements were") +
                            " received by processes that died before they called task_done; the others go on");
      inside.next.lost_silent = 0;
      inside.commit();
      throw told;
    }
    if (inside.next.held == 0 && inside.next.elements == 0) return true;
    if (sleeps != nullptr) *sleeps = memory().done.enter();
    return false;
  });
}

}  // namespace tutti::detail
