// inbox: where threads from outside drop calls for a pool: many put, one at a time takes everything.
#pragma once
#include <tutti/core/call.hpp>

#include <array>
#include <atomic>
#include <utility>

namespace tutti {

/// A stack whose takers turn it round, so that calls of one thread stay in order. One compare-and-swap per call put in,
/// on one cache line; nobody takes single calls, so there is no ABA question.
class inbox {
 public:
  /// False once closed. seq_cst: one half of the handshake with a worker about to sleep.
  bool put(call_node* node) noexcept {
    call_node* head = head_.load(std::memory_order_relaxed);
    do {
      if (head == closed_mark()) return false;
      node->next_ = head;
    } while (!head_.compare_exchange_weak(head, node, std::memory_order_seq_cst, std::memory_order_relaxed));
    return true;
  }
  /// Lets none in from now on, unless there is one; then false.
  bool close_if_empty() noexcept {
    call_node* head = nullptr;
    return head_.compare_exchange_strong(head, closed_mark(), std::memory_order_seq_cst) || head == closed_mark();
  }
  bool empty() const noexcept {
    call_node* const head = head_.load(std::memory_order_seq_cst);
    return head == nullptr || head == closed_mark();
  }
  /// Moves all calls behind those of `out`; returns how many. With `close`, none is let in from now on.
  std::size_t take_all(call_queue& out, bool close = false) noexcept {
    call_node* newest = head_.load(std::memory_order_relaxed);
    do {
      if (newest == closed_mark() || (newest == nullptr && !close)) return 0;
      // acquire: pairs with put, so that the calls are visible.
    } while (!head_.compare_exchange_weak(newest, close ? closed_mark() : nullptr, std::memory_order_seq_cst));
    call_node* const last = newest;
    call_node* oldest = nullptr;
    std::size_t count = 0;
    std::array<const call_node*, call_node::lookahead> visited{};
    for (; newest != nullptr; ++count) {
      call_node* const node = newest;
      node->note_ahead(std::exchange(visited[count % visited.size()], node));
      newest = node->next_;
      node->next_ = oldest;
      oldest = node;
    }
    if (count != 0) out.splice(oldest, last);
    return count;
  }

 private:
  // An address no call has.
  call_node* closed_mark() const noexcept {
    return reinterpret_cast<call_node*>(const_cast<std::atomic<call_node*>*>(&head_));
  }
  std::atomic<call_node*> head_{nullptr};
};

}  // namespace tutti
