#include <tutti/core/timer_heap.hpp>

#include <algorithm>
#include <cstring>
#include <new>

namespace tutti::detail {
namespace {

constexpr std::size_t line = 64;   // four slots
constexpr std::size_t unused = 3;  // slots before the first: so that its children begin a cache line

}  // namespace

timer_heap::~timer_heap() {
  if (slots_ != nullptr) ::operator delete(slots_ - unused, std::align_val_t(line));
}

void timer_heap::remove(timer_place& entry) noexcept {
  const std::size_t index = entry.index.load(std::memory_order_relaxed);
  entry.index.store(timer_place::idle, std::memory_order_relaxed);
  const slot last = slots_[--size_];
  if (index != size_) place(index, last);
}

// Into a place whose occupant no longer counts.
void timer_heap::place(std::size_t index, slot what) noexcept {
  if (index != 0 && before(what, slots_[(index - 1) / arity])) {
    sift_up(index, what);
  } else {
    sift_down(index, what);
  }
}

void timer_heap::sift_up(std::size_t index, slot what) noexcept {
  while (index != 0) {
    const std::size_t parent = (index - 1) / arity;
    if (!before(what, slots_[parent])) break;
    put(index, slots_[parent]);
    index = parent;
  }
  put(index, what);
}

void timer_heap::sift_down(std::size_t index, slot what) noexcept {
  for (;;) {
    const std::size_t child = index * arity + 1;
    if (child >= size_) break;
    const std::size_t end = std::min(child + arity, size_);
    std::size_t least = child;
    for (std::size_t i = child + 1; i < end; ++i) {
      if (before(slots_[i], slots_[least])) least = i;
    }
    if (!before(slots_[least], what)) break;
    put(index, slots_[least]);
    index = least;
  }
  put(index, what);
}

void timer_heap::grow(std::size_t count) {
  if (count >= timer_place::idle) throw std::bad_alloc();
  const std::size_t capacity = std::max({count, 2 * capacity_, std::size_t{64}});
  auto* const memory = static_cast<slot*>(::operator new((capacity + unused) * sizeof(slot), std::align_val_t(line)));
  static_assert(sizeof(slot) * arity == line);
  if (slots_ != nullptr) {
    std::memcpy(memory + unused, slots_, size_ * sizeof(slot));
    ::operator delete(slots_ - unused, std::align_val_t(line));
  }
  slots_ = memory + unused;
  capacity_ = capacity;
}

}  // namespace tutti::detail
