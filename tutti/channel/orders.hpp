// orders: in which order a channel gives back what was sent, other than first in, first out.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <algorithm>

namespace tutti {

/// channel<T> c(capacity, lifo): last in, first out.
struct lifo_t {
  explicit lifo_t() = default;
};
inline constexpr lifo_t lifo{};

/// channel<T> c(capacity, by_priority(&job::urgency)): the largest first, and first in, first out among equals.
/// `projection(const T&)`, or a pointer to a member, gives what is compared by `<`. It is called once for each element,
/// under the channel's lock: it must be short, and must not throw (that would terminate the program).
template <class Projection>
class by_priority {
 public:
  explicit by_priority(Projection projection) : projection_(std::move(projection)) {}

  template <class T>
  auto operator()(const T& element) const {
    return std::invoke(projection_, element);
  }

 private:
  Projection projection_;
};

namespace detail {

/// Elements in an order of their own. Used under a lock; the channel sees to it that there are never more than
/// `capacity`, nor fewer than none. All memory is there from the beginning.
template <class T>
class ordered_store {
 public:
  virtual ~ordered_store() = default;
  /// Moves `from` in.
  virtual void push(T& from) noexcept = 0;
  /// Constructs the first one at `to` and removes it.
  virtual void pop(T* to) noexcept = 0;
};

/// Room for some elements.
template <class T>
class raw_slots {
 public:
  explicit raw_slots(std::size_t n) : first_(std::allocator<T>().allocate(n)), n_(n) {}
  ~raw_slots() { std::allocator<T>().deallocate(first_, n_); }
  raw_slots(const raw_slots&) = delete;
  raw_slots& operator=(const raw_slots&) = delete;
  T* operator+(std::size_t i) const noexcept { return first_ + i; }

 private:
  T* const first_;
  const std::size_t n_;
};

template <class T>
void move_out(T* from, T* to) noexcept {
  std::construct_at(to, std::move(*from));
  std::destroy_at(from);
}

template <class T>
class lifo_store final : public ordered_store<T> {
 public:
  explicit lifo_store(std::size_t capacity) : slots_(capacity) {}
  ~lifo_store() override {
    while (size_ != 0) std::destroy_at(slots_ + --size_);
  }
  lifo_store(const lifo_store&) = delete;
  lifo_store& operator=(const lifo_store&) = delete;
  void push(T& from) noexcept override { std::construct_at(slots_ + size_++, std::move(from)); }
  void pop(T* to) noexcept override { move_out(slots_ + --size_, to); }

 private:
  raw_slots<T> slots_;
  std::size_t size_ = 0;
};

// A binary heap of keys; the elements themselves, which need not be assignable, stay where they are.
template <class T, class Order>
class priority_store final : public ordered_store<T> {
 public:
  using key_type = std::remove_cvref_t<std::invoke_result_t<const Order&, const T&>>;

  priority_store(std::size_t capacity, Order order) : order_(std::move(order)), slots_(capacity) {
    heap_.reserve(capacity);
    free_.reserve(capacity);
  }
  ~priority_store() override {
    for (const node& one : heap_) std::destroy_at(slots_ + one.slot);
  }
  priority_store(const priority_store&) = delete;
  priority_store& operator=(const priority_store&) = delete;

  void push(T& from) noexcept override {
    std::uint32_t slot = static_cast<std::uint32_t>(heap_.size());
    if (!free_.empty()) {
      slot = free_.back();
      free_.pop_back();
    }
    heap_.push_back({order_(std::as_const(from)), next_++, slot});
    std::construct_at(slots_ + slot, std::move(from));
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  void pop(T* to) noexcept override {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const std::uint32_t slot = heap_.back().slot;
    heap_.pop_back();
    free_.push_back(slot);
    move_out(slots_ + slot, to);
  }

 private:
  struct node {
    key_type key;
    std::uint64_t number;  // the older of equals is first
    std::uint32_t slot;
  };
  static bool later(const node& a, const node& b) {
    if (a.key < b.key) return true;
    return !(b.key < a.key) && a.number > b.number;
  }

  const Order order_;
  raw_slots<T> slots_;
  std::vector<node> heap_;
  std::vector<std::uint32_t> free_;  // slots below the highest that was ever used
  std::uint64_t next_ = 0;
};

}  // namespace detail
}  // namespace tutti
