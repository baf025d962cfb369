#include <tutti/process/process_queue_core.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/blocking_wait.hpp>
#include <tutti/core/cpu.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/message_socket.hpp>

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

namespace tutti::detail {
namespace {

constexpr std::uint64_t queue_magic = 0x3175657571747574;  // "tutqueu1"
constexpr std::uint32_t most_holders = 512, no_slot = ~std::uint32_t{0};
constexpr const char* kind = "process_queue";

/// How many elements a process has received and not reported by task_done.
struct holder {
  process_identity who;
  std::uint64_t elements = 0;
};

/// In front of each element.
struct record {
  std::uint64_t size;
  std::uint32_t handles;
  std::uint32_t unused;
  std::uint64_t id;
};

constexpr std::size_t space_for(std::size_t size) noexcept { return sizeof(record) + (size + 7) / 8 * 8; }

}  // namespace

/// All that says what is in the queue: see the header.
struct queue_state {
  std::uint64_t change = 0;         // its number
  std::uint64_t first = 0;          // bytes ever taken
  std::uint64_t last = 0;           // bytes ever put
  std::uint64_t elements = 0;       // between them
  std::uint64_t held = 0;           // received, and not done: the sum of all holders
  std::uint64_t lost = 0;           // of those, ever, by dead holders
  std::uint64_t lost_silent = 0;    // of those, what no join has told yet
  std::uint64_t taken_by_dead = 0;  // taken by who died before it had left the queue, and not told yet
  std::uint64_t next_id = 1;
  std::uint64_t largest = 0;  // space that one who waits for room may want
  std::uint32_t closed = 0;
  std::uint32_t took = 0;        // this change takes an element
  std::uint32_t slot = no_slot;  // this change sets this holder, too: done right after it, again by who repairs
  holder set;
};

struct queue_memory {
  std::uint64_t magic = queue_magic;
  std::uint64_t capacity = 0;
  std::uint64_t arena = 0;
  alignas(cpu::cache_line) queue_lock lock;
  std::atomic<std::uint32_t> current{0};  // which state counts
  std::uint64_t changing = 0;             // the number of the last change of who has the lock; 0: none yet
  queue_state states[2];
  alignas(cpu::cache_line) std::atomic<std::uint64_t> changes{0};  // for those who spin; a hint
  alignas(cpu::cache_line) queue_gate elements;
  alignas(cpu::cache_line) queue_gate room;
  alignas(cpu::cache_line) queue_gate done;
  holder holders[most_holders];
};

namespace {
constexpr std::size_t arena_start = (sizeof(queue_memory) + 4095) / 4096 * 4096;
}  // namespace

/// The time inside the lock.
class process_queue_core::visit {
 public:
  explicit visit(process_queue_core& queue) : memory_(queue.memory()) {
    const bool owner_died = memory_.lock.lock();
    try {
      check(queue);
      if (owner_died) repair();
      renew();
    } catch (...) {
      memory_.lock.unlock();
      throw;
    }
  }
  ~visit() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    memory_.changing = 0;
    memory_.lock.unlock();
    if (wakes_one_ != nullptr) wakes_one_->wake_one();
    for (queue_gate* gate : wakes_all_) {
      if (gate != nullptr) gate->wake_all();
    }
  }
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;

  /// Makes `next` what counts, and prepares another.
  void commit() noexcept {
    const std::uint32_t other = 1 - (memory_.current.load(std::memory_order_relaxed) & 1);
    ++next.change;
    memory_.states[other] = next;
    memory_.changing = next.change;
    // A killed process has done all its instructions up to one, and none after it: their order is the compiler's.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    memory_.current.store(other, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (next.slot != no_slot) memory_.holders[next.slot] = next.set;
    memory_.changes.store(next.change, std::memory_order_relaxed);
    renew();
  }
  void call_one(queue_gate& gate) noexcept {
    if (gate.call_one()) wakes_one_ = &gate;
  }
  void call_all(queue_gate& gate) noexcept {
    if (!gate.call_all()) return;
    *std::find(std::begin(wakes_all_), std::end(wakes_all_) - 1, nullptr) = &gate;
  }
  /// Tells, once, what a dead process took with it.
  void report() {
    if (next.taken_by_dead == 0) [[likely]]
      return;
    const auto lost = std::exchange(next.taken_by_dead, 0);
    commit();
    throw owner_lost("process_queue: a process died as it was receiving: " + std::to_string(lost) +
                     (lost == 1 ? " element is" : " elements are") +
                     " lost; the queue is in order, and what failed with this can be tried again");
  }
  /// Sets what the process in `slot` has in hand, as part of the change.
  void set_holder(std::uint32_t slot, const holder& to) noexcept {
    next.slot = slot;
    next.set = to;
  }

  queue_state next;

 private:
  void renew() noexcept {
    next = memory_.states[memory_.current.load(std::memory_order_relaxed) & 1];
    next.slot = no_slot;
    next.took = 0;
  }
  void check(const process_queue_core& queue) const {
    const queue_state& now = memory_.states[memory_.current.load(std::memory_order_relaxed) & 1];
    if (now.elements <= queue.capacity_ && now.last - now.first <= queue.arena_ && now.first % 8 == 0 &&
        now.elements * sizeof(record) <= now.last - now.first && (now.slot == no_slot || now.slot < most_holders))
      return;
    throw decode_error("process_queue: a process has written nonsense into the shared memory");
  }
  void repair() noexcept {
    const queue_state& now = memory_.states[memory_.current.load(std::memory_order_relaxed) & 1];
    const bool made = memory_.changing != 0 && memory_.changing == now.change;
    if (made && now.slot != no_slot) memory_.holders[now.slot] = now.set;
    const bool took = made && now.took != 0;
    renew();
    if (took) ++next.taken_by_dead;
    ++next.next_id;  // descriptors may have been handed in under the old one
    commit();
    // It may have been about to wake somebody.
    call_all(memory_.elements);
    call_all(memory_.room);
    call_all(memory_.done);
  }

  queue_memory& memory_;
  queue_gate* wakes_one_ = nullptr;
  queue_gate* wakes_all_[6] = {};
};

// ---- making and handing on

process_queue_core::process_queue_core(std::size_t capacity, std::size_t bytes) : capacity_(capacity) {
  if (capacity == 0 || bytes == 0 || bytes > std::size_t{1} << 46) {
    throw std::invalid_argument("process_queue: room for " + std::to_string(capacity) + " elements and " +
                                std::to_string(bytes) + " bytes; both must be at least 1");
  }
  arena_ = (bytes + 7) / 8 * 8;
  shared_ = shared_memory(arena_start + arena_, kind);
  auto* const made = ::new (shared_.data()) queue_memory;
  made->capacity = capacity;
  made->arena = arena_;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw os_error::of("cannot make a process_queue", errno);
  socket_in_.reset(ends[0]);
  socket_out_.reset(ends[1]);
}

process_queue_core::process_queue_core(const travelling_queue& from)
    : shared_(take_handle(from.memory, kind), kind),
      socket_in_(take_handle(from.socket_in, kind)),
      socket_out_(take_handle(from.socket_out, kind)) {
  if (shared_.size() <= arena_start || memory().magic != queue_magic || memory().capacity == 0 ||
      memory().arena % 8 != 0 || memory().arena != shared_.size() - arena_start)
    throw decode_error("not the shared memory of a process_queue");
  capacity_ = memory().capacity;
  arena_ = memory().arena;
}

travelling_queue process_queue_core::attach() const {
  return {attach_duplicate(shared_.fd(), kind), attach_duplicate(socket_in_.get(), kind),
          attach_duplicate(socket_out_.get(), kind)};
}

queue_memory& process_queue_core::memory() const noexcept {
  return *std::launder(reinterpret_cast<queue_memory*>(shared_.data()));
}

void process_queue_core::copy_in(std::uint64_t at, const void* from, std::size_t size) noexcept {
  if (size == 0) return;
  const std::size_t start = at % arena_, first = std::min(size, arena_ - start);
  std::byte* const arena = shared_.data() + arena_start;
  std::memcpy(arena + start, from, first);
  if (first != size) std::memcpy(arena, static_cast<const std::byte*>(from) + first, size - first);
}

void process_queue_core::copy_out(std::uint64_t at, void* to, std::size_t size) const noexcept {
  if (size == 0) return;
  const std::size_t start = at % arena_, first = std::min(size, arena_ - start);
  const std::byte* const arena = shared_.data() + arena_start;
  std::memcpy(to, arena + start, first);
  if (first != size) std::memcpy(static_cast<std::byte*>(to) + first, arena, size - first);
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
  const wait_target target{this, wait_rule::unknown, kind, {}};
  const wait_how waits{.deadline = how.until ? &*how.until : nullptr,
                       .here = how.here,
                       .what = how.what,
                       .target = &target,
                       .instead = "a pool's submit() of it"};
  for (;;) {
    std::uint32_t turn = 0;
    if (look(&turn)) return true;
    if (how.is_over()) return false;
    const blocking_wait blocked(this, waits);
    gate.sleep(turn, how.left());
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
  visit inside(*this);
  inside.report();
  queue_state& next = inside.next;
  if (next.closed != 0) throw closed("process_queue: it is closed; this was not sent");
  const std::size_t space = space_for(bytes.size());
  if (next.elements >= capacity_ || arena_ - (next.last - next.first) < space || !hand_in(next.next_id, handles)) {
    if (sleeps == nullptr) return false;
    if (next.largest < space) {
      next.largest = space;
      inside.commit();
    }
    *sleeps = memory().room.enter();
    return false;
  }
  const record head{bytes.size(), static_cast<std::uint32_t>(handles.size()), 0, next.next_id};
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
  visit inside(*this);
  inside.report();
  queue_state& next = inside.next;
  if (next.elements == 0) {
    if (next.closed != 0) return arrival::closed;
    if (sleeps != nullptr) *sleeps = memory().elements.enter();
    return arrival::not_now;
  }
  const std::uint32_t slot = own_slot(inside);
  record head{};
  copy_out(next.first, &head, sizeof head);
  const std::size_t used = next.last - next.first;
  if (head.size > used || space_for(head.size) > used || head.handles > most_message_handles)
    throw decode_error("process_queue: a process has written nonsense into the shared memory");
  char* const bytes = into.room(head.size);
  copy_out(next.first + sizeof head, bytes, head.size);
  into.bytes = {bytes, head.size};
  into.handles.clear();
  if (head.handles != 0) hand_out(head.id, head.handles, into);
  // Where all that wait would have had room before, they wait for one element less, and one of them gets it.
  const bool one_is_enough = arena_ - used >= next.largest;
  next.first += space_for(head.size);
  --next.elements;
  ++next.held;
  next.took = 1;
  const holder& mine = memory().holders[slot];
  const process_identity self = process_identity::own();
  inside.set_holder(slot, {self, mine.who == self ? mine.elements + 1 : 1});
  inside.commit();
  if (head.handles != 0) drop_handles();
  if (one_is_enough) {
    inside.call_one(memory().room);
  } else if (memory().room.sleepers != 0) {
    inside.call_all(memory().room);
  }
  return arrival::message;
}

// Where this process counts what it has in hand.
std::uint32_t process_queue_core::own_slot(visit& inside) {
  const process_identity self = process_identity::own();
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::uint32_t free = no_slot;
    for (std::uint32_t i = 0; i < most_holders; ++i) {
      const holder& one = memory().holders[i];
      if (one.who == self) return i;
      if (one.elements != 0) continue;
      if (free == no_slot) free = i;
      if (one.who.pid == 0) break;  // they are used from the front
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

bool process_queue_core::hand_in(std::uint64_t id, std::span<const unique_fd> handles) {
  if (handles.empty()) return true;
  ::iovec part{&id, sizeof id};
  alignas(::cmsghdr) char control[CMSG_SPACE(most_message_handles * sizeof(int))];
  ::msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = CMSG_SPACE(handles.size() * sizeof(int));
  ::cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(handles.size() * sizeof(int));
  for (std::size_t i = 0; i < handles.size(); ++i) {
    const int fd = handles[i].get();
    std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
  }
  while (::sendmsg(socket_in_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    if (errno != EINTR)
      throw os_error::of("process_queue: cannot send " + std::to_string(handles.size()) + " descriptors", errno);
  }
  return true;
}

void process_queue_core::hand_out(std::uint64_t id, std::size_t count, arrived_message& into) {
  for (;;) {
    std::uint64_t found = 0;
    ::iovec part{&found, sizeof found};
    alignas(::cmsghdr) char control[CMSG_SPACE(most_message_handles * sizeof(int))];
    ::msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ::ssize_t n = ::recvmsg(socket_out_.get(), &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n != sizeof found) throw decode_error("process_queue: the descriptors of an element are not there");
    into.handles.clear();
    for (::cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      for (std::size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        into.handles.emplace_back(fd);
      }
    }
    if (found < id) {
      drop_handles();
      continue;
    }
    if (found != id) throw decode_error("process_queue: the descriptors of an element are not there");
    if (into.handles.size() == count) return;
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
  visit inside(*this);
  if (inside.next.closed != 0) return;
  inside.next.closed = 1;
  inside.commit();
  inside.call_all(memory().elements);
  inside.call_all(memory().room);
}

bool process_queue_core::is_closed() { return visit(*this).next.closed != 0; }
std::size_t process_queue_core::size() { return visit(*this).next.elements; }

void process_queue_core::task_done() {
  visit inside(*this);
  const process_identity self = process_identity::own();
  const auto* const mine = std::find_if(std::begin(memory().holders), std::end(memory().holders),
                                        [&](const holder& one) { return one.who == self && one.elements != 0; });
  if (mine == std::end(memory().holders) || inside.next.held == 0) {
    throw std::logic_error(
        "process_queue: task_done was called more often than this process has received; call it once for each element, "
        "where it was received");
  }
  --inside.next.held;
  inside.set_holder(static_cast<std::uint32_t>(mine - memory().holders), {self, mine->elements - 1});
  inside.commit();
  if (inside.next.held == 0 && inside.next.elements == 0) inside.call_all(memory().done);
}

// Writes off what dead processes have in hand.
void process_queue_core::bury(visit& inside) {
  for (std::uint32_t i = 0; i < most_holders && inside.next.held != 0; ++i) {
    const holder one = memory().holders[i];
    if (one.elements == 0 || one.who.alive()) continue;
    const auto lost = std::min(one.elements, inside.next.held);
    inside.next.held -= lost;
    inside.next.lost += lost;
    inside.next.lost_silent += lost;
    inside.set_holder(i, {one.who, 0});
    inside.commit();
  }
}

bool process_queue_core::join(const message_wait& how) {
  const std::uint64_t lost_before = visit(*this).next.lost;
  return wait(memory().done, how, [&](std::uint32_t* sleeps) {
    visit inside(*this);
    inside.report();
    if (inside.next.held != 0) bury(inside);
    const auto lost = std::max(inside.next.lost_silent, inside.next.lost - lost_before);
    if (lost != 0) {
      inside.next.lost_silent = 0;
      inside.commit();
      throw owner_lost("process_queue: " + std::to_string(lost) + (lost == 1 ? " element was" : " elements were") +
                       " received by processes that died before they called task_done; the others go on");
    }
    if (inside.next.held == 0 && inside.next.elements == 0) return true;
    if (sleeps != nullptr) *sleeps = memory().done.enter();
    return false;
  });
}

}  // namespace tutti::detail
