// fork_deque: a worker's stack of forked branches, private at the young end and on offer to thieves at the old end.
//
// The split deque of Acar, Chargueraud and Rainey ("Scheduling parallel programs by work stealing with private deques",
// PPoPP 2013) and Lace (van Dijk and van de Pol, 2014). slots_[0, bottom_) are the branches forked and not yet joined:
//
//      0 ......... top ......... split ......... bottom
//        stolen        on offer          private
//
// push and pop touch only owner's fields: no atomic read-modify-write, no fence. The oldest private branch, which is
// the largest piece of work, is published when `request_` is set: somebody asked, or nothing is on offer.
//
// Invariants.
//  1. `split_` (owner's copy) == split in `shared_`; only the owner changes split; only thieves raise top, by one.
//  2. Thieves change `shared_` only while top < split, so with top == split the owner may overwrite it with a store.
//  3. A slot is written only while it is private. A thief reads slots_[top] only after its CAS raised top past it, and
//     the owner leaves that slot alone until it has joined the branch. So slot accesses never race and a stale read of
//     `shared_` costs at most a failed CAS: whatever record is in the slot at the CAS is the one that was stolen.
//  4. The owner changes `epoch` at the end of every root (a task or a stolen branch), nested ones included, before it
//  forks
//     anything else. While a root R runs, what is on offer at or above its base was forked below R: by R, or by what R
//     waits for and the owner runs meanwhile. So a CAS from a word that was read while R ran steals from below R, or
//     fails.
#pragma once
#include <tutti/core/cpu.hpp>

#include <array>

namespace tutti {

class worker;
struct task_frame;

/// Something a worker runs, and where its queues stood when it began: what lies above descends from it.
struct root {
  worker* runner;
  std::uint32_t fork_base;
  std::uint64_t ring_base;
};

/// A forked branch. Lives on the forker's stack until joined; the fields but `run` are set when it is published, so a
/// private fork costs nothing for them.
struct fork_record {
  void (*run)(fork_record*) noexcept;  ///< runs the branch and keeps its result or exception in the record
  std::atomic<std::uint32_t> state;    ///< running, done, or running with the owner asleep; see worker.cpp
  std::atomic<bool> started;           ///< `where` is known
  root where;                          ///< where the thief runs it
  worker* owner;
  const task_frame* frame;  ///< the task this branch belongs to, or null; the thief works in its name
};

/// One per worker. The owner's members may be called by the owning thread only.
class fork_deque {
 public:
  static constexpr std::uint32_t capacity = 4096;  ///< deeper forks run their branches one after the other

  // ---- owner: the hot path
  std::uint32_t bottom() const noexcept { return bottom_; }
  bool full() const noexcept { return bottom_ == capacity; }

  void push(fork_record* record) noexcept {
    slots_[bottom_] = record;
    ++bottom_;
  }
  /// Takes the youngest branch back if it is private; false: it was published, see `reclaim`.
  bool pop_private(std::uint32_t at) noexcept {
    if (at < split_) [[unlikely]]
      return false;
    bottom_ = at;
    return true;
  }
  /// Somebody asks for work, or the shelf is empty. A hint: relaxed, as what is given away travels through `shared_`.
  bool wanted() const noexcept { return request_.load(std::memory_order_relaxed) != request::none; }
  /// Somebody asks for work, or has taken the last of it. A hint, too.
  bool asked() const noexcept { return request_.load(std::memory_order_relaxed) == request::asked; }

  // ---- owner: the rest
  bool has_private() const noexcept { return split_ < bottom_; }
  std::uint32_t split() const noexcept { return split_; }
  fork_record* oldest_private() const noexcept { return slots_[split_]; }
  void satisfied() noexcept { request_.store(request::none, std::memory_order_relaxed); }

  /// Puts the oldest private branch on offer. seq_cst: it is one half of the handshake with a worker about to park
  /// (offer, then look for the hungry; they count themselves hungry, then look for offers).
  void publish() noexcept {
    ++split_;
    shared_.fetch_add(one_split, std::memory_order_seq_cst);
  }

  /// Takes the youngest, published branch back; false: it was stolen, and must be waited for and then `forget`ed.
  bool reclaim(std::uint32_t at) noexcept {
    std::uint64_t seen = shared_.load(std::memory_order_relaxed);
    while (top_of(seen) <= at) {
      // relaxed is enough: nothing was handed over, the record is still ours alone.
      if (shared_.compare_exchange_weak(seen, seen - one_split, std::memory_order_relaxed)) {
        split_ = bottom_ = at;
        if (top_of(seen) == at) note_empty();
        return true;
      }
    }
    return false;
  }
  /// Drops the youngest branch, stolen and done by now. No thief writes `shared_` here (invariant 2).
  void forget(std::uint32_t at) noexcept {
    split_ = bottom_ = at;
    const std::uint64_t epoch = shared_.load(std::memory_order_relaxed) & epoch_mask;
    shared_.store(epoch | pack(at, at), std::memory_order_relaxed);
    note_empty();
  }
  /// Called after each root, with all that it forked joined: what is published from now on does not descend from it.
  void end_root() noexcept {
    const std::uint64_t seen = shared_.load(std::memory_order_relaxed);
    // relaxed: nothing is handed over; a thief that read the old word fails its CAS on the changed one.
    if (top_of(seen) == split_of(seen)) {
      shared_.store(seen + one_epoch, std::memory_order_relaxed);  // invariant 2: ours alone
    } else {
      shared_.fetch_add(one_epoch, std::memory_order_relaxed);
    }
  }

  // ---- anyone
  /// Asks the owner to publish at its next fork.
  void want() noexcept {
    if (!asked()) request_.store(request::asked, std::memory_order_relaxed);
  }
  bool has_offer() const noexcept {
    const std::uint64_t seen = shared_.load(std::memory_order_seq_cst);
    return top_of(seen) < split_of(seen);
  }
  /// Takes the oldest branch on offer, or null.
  fork_record* steal() noexcept {
    std::uint64_t seen = shared_.load(std::memory_order_acquire);
    while (top_of(seen) < split_of(seen)) {
      if (fork_record* record = take(seen)) return record;
    }
    return nullptr;
  }
  /// Takes the oldest branch on offer if it was forked below the root that began at `base`, or null. `running()` tells,
  /// with acquire, that the root has not ended; asked after the offer was seen (invariant 4).
  template <class Running>
  fork_record* steal_descendant(std::uint32_t base, Running&& running) noexcept {
    std::uint64_t seen = shared_.load(std::memory_order_acquire);
    while (top_of(seen) < split_of(seen) && top_of(seen) >= base && running()) {
      if (fork_record* record = take(seen)) return record;
    }
    return nullptr;
  }

 private:
  // shared_ = epoch:32 | top:16 | split:16, so that each step above is one CAS.
  static constexpr std::uint64_t one_split = 1, one_top = 1u << 16, one_epoch = std::uint64_t{1} << 32;
  static constexpr std::uint64_t epoch_mask = ~std::uint64_t{0} << 32;
  static constexpr std::uint64_t pack(std::uint32_t top, std::uint32_t split) {
    return std::uint64_t{top} << 16 | split;
  }
  static constexpr std::uint32_t top_of(std::uint64_t v) { return static_cast<std::uint32_t>(v >> 16) & 0xffff; }
  static constexpr std::uint32_t split_of(std::uint64_t v) { return static_cast<std::uint32_t>(v) & 0xffff; }

  // The shelf is empty, though nobody misses anything: a fork refills it, as that is cheap; a loop need not.
  void note_empty() noexcept {
    if (!wanted()) request_.store(request::empty, std::memory_order_relaxed);
  }

  // acquire: pairs with the release side of publish; read-modify-writes of other thieves in between keep the release
  // sequence, so the slot and the record it names are visible.
  fork_record* take(std::uint64_t& seen) noexcept {
    if (!shared_.compare_exchange_weak(seen, seen + one_top, std::memory_order_acq_rel, std::memory_order_acquire))
      return nullptr;
    fork_record* record = slots_[top_of(seen)];
    if (top_of(seen) + 1 == split_of(seen)) want();  // the shelf is empty: the owner refills it at its next fork
    return record;
  }

  enum class request : std::uint8_t { none, empty, asked };

  // Written by the owner at each fork; `request_` is written rarely, so it may share the line it is read with.
  std::uint32_t bottom_ = 0;
  std::uint32_t split_ = 0;
  std::atomic<request> request_{request::empty};
  alignas(cpu::cache_line) std::atomic<std::uint64_t> shared_{0};
  alignas(cpu::cache_line) std::array<fork_record*, capacity> slots_;
};

}  // namespace tutti
