// channel: how elements move between threads and coroutines: sent on one side, received on the other, each once.
#pragma once
#include <tutti/channel/forms.hpp>

namespace tutti {

/// A queue of at most `capacity` elements, on which senders wait for room and receivers for elements; with capacity 0 a
/// rendezvous, where each sender waits for the receiver that takes its element. Threads and coroutines may use it
/// together, any number on both sides. Those who wait on one side are served in the order of their coming, but one who
/// comes when there is something to be had need not queue.
///
/// What was done before an element was sent is visible to who received it. An element whose sending succeeded is
/// received or, at the end, destroyed with the channel. T moves and is destroyed without throwing; it need not be
/// copyable, assignable or default constructible.
///
/// Must outlive all that is done with it: nobody may still be inside a send or receive, and destroying it while
/// somebody waits terminates with its name. Ends (make_channel) share ownership instead, close it by themselves, and
/// are faster.
template <class T>
class channel : public send_forms<channel<T>, T>, public receive_forms<channel<T>, T>, public join_forms<channel<T>> {
 public:
  using value_type = T;

  /// First in, first out. `capacity`: 0 to 2^31, else throws std::invalid_argument. `name`: for errors and reports;
  /// must outlive the channel.
  explicit channel(std::ptrdiff_t capacity, std::string_view name = {}) : state_(capacity, name) {}
  /// Last in, first out. Capacity 1 to 2^31.
  channel(std::ptrdiff_t capacity, lifo_t order, std::string_view name = {}) : state_(capacity, order, name) {}
  /// The largest first, see by_priority. Capacity 1 to 2^31.
  template <class P>
  channel(std::ptrdiff_t capacity, by_priority<P> order, std::string_view name = {})
      : state_(capacity, std::move(order), name) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;

  /// No more is sent: who sends, or waits to send, gets `closed`; who receives gets what is there, then `closed`. May
  /// be called by anybody, more than once. Never blocks.
  void close() noexcept { state_.close(); }
  /// The same at once and for both sides: what is there is destroyed, and everybody gets `poisoned`.
  void poison() noexcept { state_.poison(); }

  /// How many elements are there; whether there are none; whether it was closed. Snapshots while others use it.
  std::size_t size() const noexcept { return state_.size(); }
  bool empty() const noexcept { return size() == 0; }
  bool is_closed() const noexcept { return state_.is_closed(); }
  std::size_t capacity() const noexcept { return state_.capacity(); }
  std::string_view name() const noexcept { return state_.name(); }

  /// Reports that the work for one received element is done; see join. Throws std::logic_error when called more often
  /// than elements were sent.
  void task_done() { state_.task_done(); }

 private:
  friend struct detail::access;

  detail::attempt put(T& value, const place&) noexcept { return state_.put(value); }
  detail::attempt take(T* to, const place&) noexcept { return state_.take(to); }
  detail::port& out() noexcept { return state_.out(); }
  detail::port& in() noexcept { return state_.in(); }
  detail::port& prepare_out(const place&) noexcept { return state_.out(); }
  detail::port& prepare_in(const place&) noexcept { return state_.in(); }
  detail::channel_core& core() noexcept { return state_; }

  detail::channel_state<T> state_;
};

}  // namespace tutti
