#include <tutti/channel/broadcast.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/last_look.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace tutti::detail {
namespace {

std::size_t checked(std::ptrdiff_t capacity, std::string_view name) {
  constexpr std::ptrdiff_t largest = std::ptrdiff_t{1} << 31;
  if (capacity < 1 || capacity > largest) {
    throw std::invalid_argument(primitive_text("broadcast", name) + ": capacity " + std::to_string(capacity) +
                                " is not between 1 and " + std::to_string(largest));
  }
  return static_cast<std::size_t>(capacity);
}

}  // namespace

broadcast_core::broadcast_core(std::ptrdiff_t capacity, slow_reader policy, std::string_view name)
    : policy_(policy), name_(name), left_(checked(capacity, name)) {}

broadcast_core::~broadcast_core() { last_look(receivers, "broadcast", name_); }

void broadcast_core::end_sending() noexcept {
  last_look(senders, "broadcast", name_);
  close(false);
}

void broadcast_core::close(bool by_force) noexcept {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    poisoned_ = poisoned_ || by_force;
  }
  senders.wake_all();
  receivers.wake_all();
  if (!by_force) return;
  std::unique_lock lock(mutex_);
  while (oldest_ != end_) drop_oldest(lock);
}

bool broadcast_core::is_closed() const noexcept {
  const std::lock_guard lock(mutex_);
  return closed_;
}

std::size_t broadcast_core::subscribers() const noexcept {
  const std::lock_guard lock(mutex_);
  return subscribers_;
}

void broadcast_core::subscribe(subscriber& one) {
  const std::lock_guard lock(mutex_);
  ++subscribers_;
  one.next = end_;
}

// What is sent while it leaves is not for it any more.
void broadcast_core::unsubscribe(subscriber& one) noexcept {
  {
    std::unique_lock lock(mutex_);
    --subscribers_;
    const std::uint64_t end = end_;
    for (catch_up(one); one.next < end; catch_up(one)) {
      if (--left_[place_of(one.next++)] == 0) drop_oldest(lock);
    }
  }
  senders.wake_all();
}

std::uint64_t broadcast_core::lost_by(const subscriber& one) const noexcept {
  const std::lock_guard lock(mutex_);
  return one.lost + (one.next < oldest_ && !poisoned_ ? oldest_ - one.next : 0);
}

std::size_t broadcast_core::waiting_for(const subscriber& one) const noexcept {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(end_ - std::max(one.next, oldest_));
}

bool broadcast_core::may_send() const noexcept {
  const std::lock_guard lock(mutex_);
  return closed_ || subscribers_ == 0 || policy_ == slow_reader::drop_oldest || !full();
}

bool broadcast_core::may_receive(const subscriber& one) const noexcept {
  const std::lock_guard lock(mutex_);
  return closed_ || std::max(one.next, oldest_) != end_;
}

void throw_no_subscription() {
  throw std::logic_error("subscription used after it was moved away; subscribe() makes another");
}

void broadcast_core::refuse_sender(attempt why) const {
  const std::string text = primitive_text("broadcast", name_);
  if (why == attempt::poisoned) throw poisoned(text + ": poisoned, so nothing more can be sent");
  throw closed(text + ": closed, so nothing more can be sent");
}

void broadcast_core::refuse_receiver(attempt why) const {
  const std::string text = primitive_text("broadcast", name_);
  if (why == attempt::poisoned) throw poisoned(text + ": poisoned, and what was in it is dropped");
  throw closed(text + ": closed, and this subscription has received all; next() gives an empty optional instead");
}

}  // namespace tutti::detail
