// window: memory that other ranks read and write without this one's help.
#pragma once
#include <tutti/mpi/window_calls.hpp>

#include <concepts>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::mpi {

/// Elements of each rank of a communicator that all of them can reach. Offsets and counts are of elements, and are
/// checked: who reaches beyond the part of a rank gets mpi::error.
///
/// What is begun by put, get_into, accumulate and get_accumulate_into happens at some time until the end of the epoch
/// it is in. There are four:
///
///   none:              each call is an epoch of its own: it has happened when it returns. Simple, and slow for many.
///   fence, end_fence:  of all ranks together: what is begun between two fences has happened after the second.
///   lock, lock_all:    of this rank alone; until unlock, or flush.
///   post, start, complete, wait:  of some ranks with some others.
///
/// get, fetch_and_op and compare_and_swap return what they have got, and so have happened: not inside fences, nor
/// between start and complete. Values that are passed as such are copied; memory that is passed must stay until the end
/// of the epoch. Two ranks that write the same element, or one that reads what another writes, in one epoch must not
/// be, but for accumulate, get_accumulate, fetch_and_op and compare_and_swap, which are atomic element by element.
///
/// Made and destroyed by all ranks, in the same order; the end waits for all ranks, but for that of a rank which an
/// exception unwinds: then MPI keeps the window. Move-only. For one thread at a time. All calls throw mpi::error, for a
/// rank or an element out of range and an epoch that does not fit; std::logic_error after the end of MPI.
template <plain T>
class window {
 public:
  /// `count` elements on this rank, all zero; each rank may have another number. The memory is MPI's: what other ranks
  /// of this machine reach fastest. Collective.
  window(const communicator& ranks, std::size_t count, place here = place::current())
      : state_(detail::make_window(ranks, count, detail::element_of<T>, here)) {}
  /// The memory that is given, which must stay. Collective. Not every MPI can do that with every network; Open MPI 4
  /// on one machine needs a kernel that lets processes read each other.
  window(const communicator& ranks, std::span<T> memory, place here = place::current())
      : state_(detail::make_window_over(ranks, memory.size(), detail::element_of<T>, memory.data(), here)) {}

  /// This rank's elements. While others may reach them, they are read and written by put and get as well.
  [[nodiscard]] std::span<T> local() const {
    const auto& all = detail::ranks_of(*state_);
    return {static_cast<T*>(detail::base_of(*state_)), detail::count_at(*state_, all.rank(), "local", {})};
  }
  /// How many elements a rank has.
  [[nodiscard]] std::size_t size(int rank, place here = place::current()) const {
    return detail::count_at(*state_, rank, "size", here);
  }
  /// The ranks that made it.
  [[nodiscard]] const communicator& ranks() const noexcept { return detail::ranks_of(*state_); }

  // ---------------------------------------------------------------- reading and writing

  /// Writes an element of a rank.
  void put(const T& value, int rank, std::size_t offset = 0, place here = place::current()) {
    detail::put(*state_, one(value), rank, offset, detail::origin::goes, here);
  }
  /// Writes elements of a rank.
  template <buffer B>
    requires std::same_as<std::remove_cv_t<std::ranges::range_value_t<B>>, T>
  void put(const B& what, int rank, std::size_t offset = 0, place here = place::current()) {
    detail::put(*state_, detail::memory_of(what), rank, offset, detail::origin::stays, here);
  }
  /// Reads elements of a rank.
  template <writable_buffer B>
    requires std::same_as<std::ranges::range_value_t<B>, T>
  void get_into(B&& into, int rank, std::size_t offset = 0, place here = place::current()) {
    detail::get(*state_, detail::writable_memory_of(into), rank, offset, here);
  }
  /// An element of a rank. Blocks until it is here.
  [[nodiscard]] T get(int rank, std::size_t offset = 0, place here = place::current()) {
    T value{};
    detail::get_now(*state_, one(value), rank, offset, here);
    return value;
  }
  /// `count` elements of a rank. Blocks until they are here.
  [[nodiscard]] std::vector<T> get_some(int rank, std::size_t offset, std::size_t count,
                                        place here = place::current()) {
    std::vector<T> values(count);
    detail::get_now(*state_, {values.data(), count, detail::element_of<T>}, rank, offset, here);
    return values;
  }
  /// Begins to write; under a lock only. The request ends when the memory may be used again, not when it has arrived.
  template <lasting_buffer B>
    requires std::same_as<std::remove_cv_t<std::ranges::range_value_t<B>>, T>
  request rput(B&& what, int rank, std::size_t offset = 0, place here = place::current()) {
    return request(detail::rput(*state_, detail::memory_of(what), rank, offset, here));
  }
  /// Begins to read; under a lock only. The request ends when it is here.
  template <lasting_writable_buffer B>
    requires std::same_as<std::ranges::range_value_t<B>, T>
  request rget(B&& into, int rank, std::size_t offset = 0, place here = place::current()) {
    return request(detail::rget(*state_, detail::writable_memory_of(into), rank, offset, here));
  }

  // ---------------------------------------------------------------- atomic, element by element

  /// Makes one of an element of a rank and this value, by one of MPI's own operations on numbers, or `replace`.
  template <class Op>
  void accumulate(const T& value, int rank, std::size_t offset, Op /*op*/, place here = place::current()) {
    detail::accumulate(*state_, one(value), rank, offset, detail::update_for<Op, T>(), detail::origin::goes, here);
  }
  /// The same with several elements.
  template <buffer B, class Op>
    requires std::same_as<std::remove_cv_t<std::ranges::range_value_t<B>>, T>
  void accumulate(const B& what, int rank, std::size_t offset, Op /*op*/, place here = place::current()) {
    detail::accumulate(*state_, detail::memory_of(what), rank, offset, detail::update_for<Op, T>(),
                       detail::origin::stays, here);
  }
  /// The same; what was there before goes into `before`, of the same size. With `no_op`, `what` is not looked at.
  template <buffer B, writable_buffer Out, class Op>
    requires(std::same_as<std::remove_cv_t<std::ranges::range_value_t<B>>, T> &&
             std::same_as<std::ranges::range_value_t<Out>, T>)
  void get_accumulate_into(const B& what, Out&& before, int rank, std::size_t offset, Op /*op*/,
                           place here = place::current()) {
    detail::get_accumulate(*state_, detail::memory_of(what), detail::writable_memory_of(before), rank, offset,
                           detail::update_for<Op, T>(), here);
  }
  /// Makes one of an element of a rank and this value, and returns what was there before. Blocks until that is here.
  template <class Op>
  T fetch_and_op(const T& value, int rank, std::size_t offset, Op /*op*/, place here = place::current()) {
    T before{};
    detail::fetch_and_op(*state_, one(value), one(before), rank, offset, detail::update_for<Op, T>(), here);
    return before;
  }
  /// Writes `desired` when `expected` is there, of integers; returns what was there before. Blocks until that is here.
  T compare_and_swap(const T& expected, const T& desired, int rank, std::size_t offset = 0,
                     place here = place::current()) {
    static_assert(std::is_integral_v<T>, "tutti: MPI compares and swaps integers only");
    T before{};
    detail::compare_and_swap(*state_, one(expected), one(desired), one(before), rank, offset, here);
    return before;
  }

  // ---------------------------------------------------------------- epochs

  /// Blocks until all ranks are here, and all that they have begun since the last fence has happened; begins the next
  /// such epoch. Collective.
  void fence(place here = place::current()) { detail::fence(*state_, false, here); }
  /// The last one: no epoch begins, so that locks may be taken. Collective.
  void end_fence(place here = place::current()) { detail::fence(*state_, true, here); }

  /// Blocks until this rank may reach into the memory of that one.
  window_lock lock(int rank, lock_type type = lock_type::exclusive, place here = place::current()) {
    detail::lock(*state_, rank, type == lock_type::exclusive, here);
    return {*state_, rank};
  }
  /// A shared lock of all ranks' memory.
  window_lock lock_all(place here = place::current()) {
    detail::lock_all(*state_, here);
    return {*state_, -1};
  }
  /// Under a lock: blocks until all that was begun for that rank has happened, here and there.
  void flush(int rank, place here = place::current()) {
    static_cast<void>(detail::count_at(*state_, rank, "flush", here));
    detail::flush(*state_, rank, here);
  }
  /// The same for all ranks that are locked.
  void flush_all(place here = place::current()) { detail::flush(*state_, -1, here); }

  /// These ranks, who call start, may reach this one's memory, until `wait`. Does not block.
  void post(std::span<const int> ranks, place here = place::current()) { detail::post(*state_, ranks, here); }
  /// This rank is to reach into the memory of these, who call post.
  void start(std::span<const int> ranks, place here = place::current()) { detail::start(*state_, ranks, here); }
  /// The end of what start began. Blocks until this rank's memory may be used again.
  void complete(place here = place::current()) { detail::complete(*state_, here); }
  /// The end of what post began. Blocks until the others have called complete, and what they did has happened.
  void wait(place here = place::current()) { detail::wait(*state_, here); }

 private:
  static detail::const_memory one(const T& value) noexcept { return {&value, 1, detail::element_of<T>}; }
  static detail::memory one(T& value) noexcept { return {&value, 1, detail::element_of<T>}; }

  detail::window_handle state_;
};

}  // namespace tutti::mpi
