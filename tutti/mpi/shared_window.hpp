// shared_window: memory that the ranks of one machine share.
#pragma once
#include <tutti/mpi/window_calls.hpp>

#include <span>

namespace tutti::mpi {

/// Elements that ranks of one machine have together: each its part, which all others read and write as their own
/// memory, by plain loads and stores. The parts lie behind each other, in the order of ranks. What two ranks do with
/// one element at the same time must be atomic (std::atomic_ref), or `sync` must stand between.
///
/// Made and destroyed by all ranks, in the same order; the end waits for all ranks, but for that of a rank which an
/// exception unwinds. Move-only. Spans are valid until then.
template <plain T>
class shared_window {
 public:
  /// `count` elements on this rank, all zero; each rank may have another number. Collective. Throws mpi::error when the
  /// ranks are not of one machine (see communicator::split_shared), or it has no such memory.
  shared_window(const communicator& ranks, std::size_t count, place here = place::current())
      : state_(detail::make_shared_window(ranks, count, detail::element_of<T>, here)) {}

  /// This rank's part.
  [[nodiscard]] std::span<T> local() const { return of(ranks().rank()); }
  /// A rank's part. Throws mpi::error for a rank out of range.
  [[nodiscard]] std::span<T> of(int rank, place here = place::current()) const {
    const std::size_t count = detail::count_at(*state_, rank, "of", here);
    return {static_cast<T*>(detail::shared_base(*state_, rank, here)), count};
  }
  /// All parts.
  [[nodiscard]] std::span<T> all() const {
    std::size_t count = 0;
    T* first = nullptr;
    for (int r = 0; r < ranks().size(); ++r) {
      const std::span<T> part = of(r);
      if (first == nullptr && !part.empty()) first = part.data();
      count += part.size();
    }
    return {first, count};
  }
  /// The ranks that made it.
  [[nodiscard]] const communicator& ranks() const noexcept { return detail::ranks_of(*state_); }

  /// Blocks until all ranks are here; what any of them wrote before, all see after. Collective.
  void sync(place here = place::current()) { detail::sync(*state_, here); }

 private:
  detail::window_handle state_;
};

}  // namespace tutti::mpi
