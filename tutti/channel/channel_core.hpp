// channel_core: what a channel does that does not depend on the type of its elements: its two sides, closing, poison,
// counting what was done, and its errors.
//
// Elements that were sent and received are counted, each count by its own side alone: the number of elements inside is
// the difference. A count is changed before the other side's list of waiters is looked at; who waits enters its list
// first and looks at the counts then (looks_ready). Between the two steps stands a fence on each side: one of the two
// sees the other. For a side that several use, the seq_cst change is the fence. A side that one thread at a time uses
// counts with a plain store (side::publish) and leaves the fence to who waits (settle).
//
// `closed` is the lowest bit of the count of what was sent. So each send happens either before the closing, and is
// received, or after it, and fails. A bit that another thread sets can get lost in the plain store of who sends alone;
// but only who sends, poison and the last reader close, and the latter two set flags that count as closed too
// (cut_off), and drop what is inside.
#pragma once
#include <tutti/channel/port.hpp>
#include <tutti/core/asymmetric_fence.hpp>
#include <tutti/core/async_wait.hpp>
#include <tutti/core/cpu.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace tutti::detail {

class channel_core {
 public:
  channel_core(const channel_core&) = delete;
  channel_core& operator=(const channel_core&) = delete;

  port& out() noexcept { return out_; }
  port& in() noexcept { return in_; }
  const port& out() const noexcept { return out_; }
  const port& in() const noexcept { return in_; }

  std::size_t size() const noexcept;
  std::size_t capacity() const noexcept { return capacity_; }
  bool is_closed() const noexcept {
    return (send_.count.load(std::memory_order_acquire) & closed_bit) != 0 || cut_off();
  }
  std::string_view name() const noexcept { return name_; }

  /// By who may send.
  void close() noexcept;
  void poison() noexcept;

  // ---- counting what was done
  void task_done();
  wait_result join(const wait_how& how);
  class join_awaiter;

  // ---- ends
  /// The channel belongs to one writer and one reader, each of which works on its side without a lock.
  void make_ends() noexcept;
  void share_writer() noexcept;
  void share_reader() noexcept;
  void drop_writer() noexcept;
  void drop_reader() noexcept;

 protected:
  enum class kind : std::uint8_t { ring, store, rendezvous };
  static constexpr std::uint64_t closed_bit = 1, one_sent = 2;

  /// Throws std::invalid_argument for a capacity that is negative, larger than 2^31, or smaller than `least`.
  channel_core(bool ordered, std::ptrdiff_t capacity, std::string_view name);
  ~channel_core() = default;
  /// First thing in the destructor: fatal when somebody waits.
  void last_look_at_all() noexcept;

  virtual attempt put_erased(void* from) noexcept = 0;
  virtual attempt take_erased(void* to) noexcept = 0;
  virtual attempt meet_receiver(void* from, wake_up& other) noexcept = 0;
  virtual attempt meet_sender(void* to, wake_up& other) noexcept = 0;
  /// Takes out all there is and destroys it. By who may receive, or if anybody_may_drop.
  virtual void drop_all() noexcept = 0;
  /// Whether receiving takes a lock.
  bool anybody_may_drop() const noexcept {
    return kind_ != kind::ring || receive_.used.load(std::memory_order_acquire) == use::shared;
  }

  /// Of one that was seen closed: poisoned_ is stored before the bit, and before anything is dropped.
  attempt why_closed() const noexcept {
    return poisoned_.load(std::memory_order_acquire) ? attempt::poisoned : attempt::closed;
  }

  /// Closed by the other side, or by force.
  bool cut_off() const noexcept {
    return poisoned_.load(std::memory_order_seq_cst) || readers_gone_.load(std::memory_order_seq_cst);
  }

  // How a side is used.
  enum class use : std::uint8_t {
    shared,    // by several threads: under its lock. For good, set by the one that used it before; release: all it did
    fenced,    // by one at a time, with a fence of its own
    settling,  // the same soon: who waits must not rely on it yet
    alone,     // by one at a time, which leaves the fence to who waits
  };

  // What one side writes, and the other reads now and then.
  struct alignas(cpu::cache_line) side {
    std::atomic<std::uint64_t> count{0};  // sent: twice, plus closed_bit; received
    std::uint64_t other = 0;              // the other side's count when it was looked at last
    small_mutex lock;                     // taken when the side is shared; of `send_`, by both where there is no ring
    std::atomic<use> used{use::shared};

    /// By who uses it alone. `used` is asked after the count was written: whoever was between an earlier look and the
    /// writing when the use changed would be missed.
    void publish(std::uint64_t counted) noexcept {
      count.store(counted, std::memory_order_release);
      asymmetric_fence_light();
      if (used.load(std::memory_order_relaxed) != use::alone) count.fetch_or(0, std::memory_order_seq_cst);
    }
  };
  /// By who waits for `other`, between entering its list and the look: that side's count is seen, or it sees the list.
  static void settle(side& other, bool for_good) noexcept;

  class sender_port final : public port {
   public:
    using port::may_learn_up_to;
    sender_port(channel_core& of, const wait_target& known) noexcept : port(of.senders_, known), of_(of) {}
    attempt try_now(void* value) noexcept override { return of_.put_erased(value); }
    attempt meet(void* value, wake_up& other) noexcept override { return of_.meet_receiver(value, other); }
    void settle(bool for_good) noexcept override { channel_core::settle(of_.receive_, for_good); }
    bool looks_ready() const noexcept override;
    std::size_t backlog() const noexcept override;
    [[noreturn]] void refuse(attempt why) const override;

   private:
    channel_core& of_;
  };
  class receiver_port final : public port {
   public:
    using port::may_learn_up_to;
    receiver_port(channel_core& of, const wait_target& known) noexcept : port(of.receivers_, known), of_(of) {}
    attempt try_now(void* value) noexcept override { return of_.take_erased(value); }
    attempt meet(void* value, wake_up& other) noexcept override { return of_.meet_sender(value, other); }
    void settle(bool for_good) noexcept override { channel_core::settle(of_.send_, for_good); }
    bool looks_ready() const noexcept override;
    std::size_t backlog() const noexcept override;
    [[noreturn]] void refuse(attempt why) const override;

   private:
    channel_core& of_;
  };

  const kind kind_;
  std::atomic<bool> poisoned_{false}, readers_gone_{false};
  const std::size_t capacity_;
  const std::string_view name_;
  std::size_t writers_ = 0, readers_ = 0;  // under ends_lock_
  small_mutex ends_lock_;
  side send_, receive_;
  // Looked at by the other side, each time; written only when somebody waits.
  alignas(cpu::cache_line) wait_list senders_;
  alignas(cpu::cache_line) wait_list receivers_;
  sender_port out_;
  receiver_port in_;

 private:
  void drop_what_is_inside() noexcept;
  /// How many there are then.
  std::size_t count_ends(std::size_t& ends, int change, const wait_target& target) noexcept;

  std::uint64_t sent() const noexcept { return send_.count.load(std::memory_order_seq_cst) / one_sent; }
  bool join_is_over() const noexcept;
  void check_joined() const;

  alignas(cpu::cache_line) std::atomic<std::uint64_t> done_{0};
  wait_list joiners_;
};

/// Waits for join in a coroutine: true once all was done, false when the time is up.
class channel_core::join_awaiter : public list_wait {
 public:
  join_awaiter(channel_core& of, const char* what, const place& here,
               std::optional<std::chrono::nanoseconds> limit = {})
      : list_wait(of.joiners_, what, here, limit), of_(of) {}
  bool await_ready() noexcept { return over_ = ready(); }
  bool await_resume();

 private:
  bool ready() noexcept final { return of_.join_is_over(); }
  channel_core& of_;
  bool over_ = false;
};

}  // namespace tutti::detail
