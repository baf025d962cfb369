// collectives: what all ranks of a communicator do together.
#pragma once
#include <tutti/mpi/collective_calls.hpp>
#include <tutti/mpi/op.hpp>
#include <tutti/mpi/point_to_point.hpp>

#include <concepts>
#include <optional>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::mpi {

/// Part of a communicator: calls that all its ranks make, in the same order, with the same root and operation. They
/// block until this rank's part is done. Three forms:
///
///   values:  `gather(value, root)` takes a value of any type that can be sent and returns what it gathers. Sizes may
///            differ from rank to rank; memory is allocated as needed.
///   *_into:  `gather_into(in, out, root)` reads and writes memory that is there: the C call, at its cost. Counts must
///            agree, or be given: then it is the v-form.
///   i*:      `igather(in, out, root)` begins the *_into form and returns a request. Both must stay until it has ended.
///
/// All throw mpi::error, also for a root out of range and counts that cannot be; what only all ranks together could
/// know, such as roots that differ, TUTTI_WATCH=deadlock finds out.
class collectives : public point_to_point {
 public:
  /// Blocks until all ranks are here.
  void barrier(const place& here = place::current()) const { detail::barrier(state(), here); }
  request ibarrier(const place& here = place::current()) const { return request(detail::ibarrier(state(), here)); }

  // ---------------------------------------------------------------- from one to all

  /// The root's value, on all ranks. The others' `value` is not looked at.
  template <class T>
  [[nodiscard]] T bcast(T value, int root = 0, const place& here = place::current()) const {
    detail::check_message<T>();
    if constexpr (growing_buffer<T>) {
      using unit = std::ranges::range_value_t<T>;
      const std::size_t bytes = detail::bcast_size(state(), value.size() * sizeof(unit), root, here);
      value.resize(bytes / sizeof(unit));
      detail::bcast(state(), detail::writable_memory_of(value), root, here);
      return value;
    } else if constexpr (raw_message<T>) {
      detail::bcast(state(), detail::writable_memory_of(value), root, here);
      return value;
    } else {
      if (rank() != root) value = T();
      bcast_into(value, root, here);
      return value;
    }
  }
  /// The root's elements go into all ranks' memory, of equal size.
  template <writable_buffer B>
  void bcast_into(B&& both, int root = 0, const place& here = place::current()) const {
    detail::bcast(state(), detail::writable_memory_of(both), root, here);
  }
  /// Makes `both` the root's value, where values travel encoded: a string, a list of strings, a list of such lists keep
  /// their memory. Throws decode_error for bytes that are no T; `both` is then anything.
  template <class T>
    requires(!raw_message<T>)
  void bcast_into(T& both, int root = 0, const place& here = place::current()) const {
    detail::check_message<T>();
    std::string bytes;
    if (rank() == root) bytes = tutti::encode(both);
    bytes.resize(detail::bcast_size(state(), bytes.size(), root, here));
    detail::bcast(state(), detail::writable_memory_of(bytes), root, here);
    if (rank() != root)
      detail::decode_message(state(), {.source = root, .bytes = bytes.size()}, bytes, both, "bcast_into", here);
  }
  template <lasting_writable_buffer B>
  request ibcast(B&& both, int root = 0, const place& here = place::current()) const {
    return request(detail::ibcast(state(), detail::writable_memory_of(both), root, here));
  }

  /// Element r of the root's range goes to rank r. The others' range is not looked at. Throws mpi::error on all ranks
  /// when the root has not size() elements.
  template <std::ranges::forward_range R>
  [[nodiscard]] received_t<std::ranges::range_value_t<R>> scatter(const R& values, int root = 0,
                                                                  const place& here = place::current()) const {
    using T = received_t<std::ranges::range_value_t<R>>;
    detail::check_message<T>();
    detail::pieces out;
    if (rank() == root) detail::add_all(out, values);
    return detail::value_of<T>(detail::scatter_pieces(state(), out, root, "scatter", here));
  }
  /// The root's elements, however many, in size() blocks that differ by one at most (see block_of); this rank's block.
  template <buffer B>
  [[nodiscard]] std::vector<std::remove_cv_t<std::ranges::range_value_t<B>>> scatter_blocks(
      const B& all, int root = 0, const place& here = place::current()) const {
    using T = std::remove_cv_t<std::ranges::range_value_t<B>>;
    return detail::value_of<std::vector<T>>(detail::scatter_blocks(state(), detail::memory_of(all), root, here));
  }
  /// Block r of the root's `in`, which has size() blocks of the size of `out`, goes into rank r's `out`.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void scatter_into(const In& in, Out&& out, int root = 0, const place& here = place::current()) const {
    detail::scatter(state(), detail::memory_of(in), detail::writable_memory_of(out), root, here);
  }
  /// The same with blocks of `counts` elements, side by side in `in`; both are the root's.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void scatter_into(const In& in, std::span<const int> counts, Out&& out, int root = 0,
                    const place& here = place::current()) const {
    detail::scatterv(state(), detail::memory_of(in), counts, detail::writable_memory_of(out), root, here);
  }
  template <lasting_buffer In, lasting_writable_buffer Out>
    requires same_elements<In, Out>
  request iscatter(In&& in, Out&& out, int root = 0, const place& here = place::current()) const {
    return request(detail::iscatter(state(), detail::memory_of(in), detail::writable_memory_of(out), root, here));
  }

  // ---------------------------------------------------------------- from all to one, or to all

  /// The root gets the values of all ranks, in their order; the others nothing.
  template <class T>
  [[nodiscard]] std::vector<T> gather(const T& value, int root = 0, const place& here = place::current()) const {
    detail::check_message<T>();
    if constexpr (plain<T> && !std::is_same_v<T, bool>) {
      std::vector<T> all(rank() == root ? static_cast<std::size_t>(size()) : 0);
      detail::gather(state(), detail::bytes_of(value), detail::bytes_of_all(all), root, here);
      return all;
    } else {
      detail::pieces mine;
      mine.add<T>(value, true);
      return detail::values_of<T>(detail::gather_pieces(state(), mine.at(0), root, here));
    }
  }
  /// All ranks' `in`, of equal size, side by side in the root's `out`.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void gather_into(const In& in, Out&& out, int root = 0, const place& here = place::current()) const {
    detail::gather(state(), detail::memory_of(in), detail::writable_memory_of(out), root, here);
  }
  /// Makes the root's `out` the values of all ranks, where values travel encoded: its elements keep their memory, as in
  /// bcast_into. `value` is none of `out`. Throws decode_error; `out` is then anything.
  template <class T>
    requires(!raw_message<T> && std::is_copy_assignable_v<T>)
  void gather_into(const T& value, std::vector<T>& out, int root = 0, const place& here = place::current()) const {
    detail::check_message<T>();
    detail::pieces mine;
    if (rank() != root) mine.add<T>(value, true);
    const detail::came_pieces all =
        detail::gather_pieces(state(), rank() != root ? mine.at(0) : detail::const_memory{}, root, here);
    if (rank() != root) return;
    out.resize(all.size());
    for (std::size_t r = 0; r < all.size(); ++r) {
      if (r == static_cast<std::size_t>(root)) {
        out[r] = value;
      } else {
        detail::decode_message(state(), {.source = static_cast<int>(r), .bytes = all[r].size()}, all[r], out[r],
                               "gather_into", here);
      }
    }
  }
  /// The same with `counts` elements from each rank; the root's.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void gather_into(const In& in, Out&& out, std::span<const int> counts, int root = 0,
                   const place& here = place::current()) const {
    detail::gatherv(state(), detail::memory_of(in), detail::writable_memory_of(out), counts, root, here);
  }
  template <lasting_buffer In, lasting_writable_buffer Out>
    requires same_elements<In, Out>
  request igather(In&& in, Out&& out, int root = 0, const place& here = place::current()) const {
    return request(detail::igather(state(), detail::memory_of(in), detail::writable_memory_of(out), root, here));
  }

  /// All ranks' elements, however many each has, in the order of ranks, at the root: what scatter_blocks takes apart.
  template <buffer B>
  [[nodiscard]] std::vector<std::remove_cv_t<std::ranges::range_value_t<B>>> gather_blocks(
      const B& mine, int root = 0, const place& here = place::current()) const {
    using T = std::remove_cv_t<std::ranges::range_value_t<B>>;
    return detail::value_of<std::vector<T>>(detail::gather_flat(state(), detail::memory_of(mine), root, here));
  }
  /// The same on all ranks.
  template <buffer B>
  [[nodiscard]] std::vector<std::remove_cv_t<std::ranges::range_value_t<B>>> allgather_blocks(
      const B& mine, const place& here = place::current()) const {
    using T = std::remove_cv_t<std::ranges::range_value_t<B>>;
    return detail::value_of<std::vector<T>>(detail::allgather_flat(state(), detail::memory_of(mine), here));
  }

  /// The values of all ranks, in their order, on all ranks.
  template <class T>
  [[nodiscard]] std::vector<T> allgather(const T& value, const place& here = place::current()) const {
    detail::check_message<T>();
    if constexpr (plain<T> && !std::is_same_v<T, bool>) {
      std::vector<T> all(static_cast<std::size_t>(size()));
      detail::allgather(state(), detail::bytes_of(value), detail::bytes_of_all(all), here);
      return all;
    } else {
      detail::pieces mine;
      mine.add<T>(value, true);
      return detail::values_of<T>(detail::allgather_pieces(state(), mine.at(0), here));
    }
  }
  /// All ranks' `in`, of equal size, side by side in every `out`.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void allgather_into(const In& in, Out&& out, const place& here = place::current()) const {
    detail::allgather(state(), detail::memory_of(in), detail::writable_memory_of(out), here);
  }
  /// The same with `counts` elements from each rank.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void allgather_into(const In& in, Out&& out, std::span<const int> counts,
                      const place& here = place::current()) const {
    detail::allgatherv(state(), detail::memory_of(in), detail::writable_memory_of(out), counts, here);
  }
  template <lasting_buffer In, lasting_writable_buffer Out>
    requires same_elements<In, Out>
  request iallgather(In&& in, Out&& out, const place& here = place::current()) const {
    return request(detail::iallgather(state(), detail::memory_of(in), detail::writable_memory_of(out), here));
  }

  /// Element r of each rank's range goes to rank r: the elements for this rank, in the order of ranks. Throws
  /// mpi::error unless the range has size() elements.
  template <std::ranges::forward_range R>
  [[nodiscard]] std::vector<received_t<std::ranges::range_value_t<R>>> alltoall(
      const R& values, const place& here = place::current()) const {
    using T = received_t<std::ranges::range_value_t<R>>;
    detail::check_message<T>();
    detail::pieces out;
    detail::add_all(out, values);
    return detail::values_of<T>(detail::alltoall_pieces(state(), out, here));
  }
  /// Block r of each rank's `in` goes to rank r, into the block of its `out` for the sender. Both are size() blocks.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void alltoall_into(const In& in, Out&& out, const place& here = place::current()) const {
    detail::alltoall(state(), detail::memory_of(in), detail::writable_memory_of(out), here);
  }
  /// The same with blocks of so many elements, side by side.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void alltoall_into(const In& in, std::span<const int> out_counts, Out&& out, std::span<const int> in_counts,
                     const place& here = place::current()) const {
    detail::alltoallv(state(), detail::memory_of(in), out_counts, detail::writable_memory_of(out), in_counts, here);
  }
  template <lasting_buffer In, lasting_writable_buffer Out>
    requires same_elements<In, Out>
  request ialltoall(In&& in, Out&& out, const place& here = place::current()) const {
    return request(detail::ialltoall(state(), detail::memory_of(in), detail::writable_memory_of(out), here));
  }

  // ---------------------------------------------------------------- reductions

  /// All ranks' values made one by `op`, at the root; the others get nothing. Of buffers of numbers element by element,
  /// of equal size; `op` is one of those in op.hpp or any callable without state, the same on all ranks. It must be
  /// associative; callables are applied in the order of ranks, MPI's own operations on numbers in any order. On
  /// elements it must not throw.
  template <class T, class Op>
  [[nodiscard]] std::optional<T> reduce(T value, Op op, int root = 0, const place& here = place::current()) const {
    detail::check_message<T>();
    if constexpr (detail::by_elements<T, Op>) {
      T result = value;
      detail::reduce(state(), detail::memory_of(value), detail::writable_memory_of(result), detail::op_on<T, Op>(),
                     root, here);
      return rank() == root ? std::optional<T>(std::move(result)) : std::nullopt;
    } else {
      return detail::reduce_values(*this, std::move(value), op, root, here);
    }
  }
  /// The same on all ranks.
  template <class T, class Op>
  [[nodiscard]] T allreduce(T value, Op op, const place& here = place::current()) const {
    detail::check_message<T>();
    if constexpr (detail::by_elements<T, Op>) {
      T result = value;
      detail::allreduce(state(), detail::memory_of(value), detail::writable_memory_of(result), detail::op_on<T, Op>(),
                        here);
      return result;
    } else {
      std::optional<T> all = detail::reduce_values(*this, std::move(value), op, 0, here);
      return bcast(all ? std::move(*all) : T(), 0, here);
    }
  }
  /// Element by element into the root's `out`, of the size of `in`.
  template <buffer In, writable_buffer Out, class Op>
    requires same_elements<In, Out>
  void reduce_into(const In& in, Out&& out, Op /*op*/, int root = 0, const place& here = place::current()) const {
    detail::reduce(state(), detail::memory_of(in), detail::writable_memory_of(out),
                   detail::op_on<std::remove_cvref_t<In>, Op>(), root, here);
  }
  template <buffer In, writable_buffer Out, class Op>
    requires same_elements<In, Out>
  void allreduce_into(const In& in, Out&& out, Op /*op*/, const place& here = place::current()) const {
    detail::allreduce(state(), detail::memory_of(in), detail::writable_memory_of(out),
                      detail::op_on<std::remove_cvref_t<In>, Op>(), here);
  }
  template <lasting_buffer In, lasting_writable_buffer Out, class Op>
    requires same_elements<In, Out>
  request ireduce(In&& in, Out&& out, Op /*op*/, int root = 0, const place& here = place::current()) const {
    return request(detail::ireduce(state(), detail::memory_of(in), detail::writable_memory_of(out),
                                   detail::op_on<std::remove_cvref_t<In>, Op>(), root, here));
  }
  template <lasting_buffer In, lasting_writable_buffer Out, class Op>
    requires same_elements<In, Out>
  request iallreduce(In&& in, Out&& out, Op /*op*/, const place& here = place::current()) const {
    return request(detail::iallreduce(state(), detail::memory_of(in), detail::writable_memory_of(out),
                                      detail::op_on<std::remove_cvref_t<In>, Op>(), here));
  }

  /// All ranks' buffers, of equal size, made one element by element; this rank's block of the result (see block_of).
  template <buffer B, class Op>
  [[nodiscard]] std::vector<std::remove_cv_t<std::ranges::range_value_t<B>>> reduce_scatter(
      const B& all, Op /*op*/, const place& here = place::current()) const {
    std::vector<std::remove_cv_t<std::ranges::range_value_t<B>>> mine(
        block_of(std::ranges::size(all), rank(), size()).count);
    detail::reduce_scatter(state(), detail::memory_of(all), detail::writable_memory_of(mine), detail::op_on<B, Op>(),
                           here);
    return mine;
  }
  /// The same into `out`; `in` has size() blocks of its size.
  template <buffer In, writable_buffer Out, class Op>
    requires same_elements<In, Out>
  void reduce_scatter_into(const In& in, Out&& out, Op /*op*/, const place& here = place::current()) const {
    detail::reduce_scatter_block(state(), detail::memory_of(in), detail::writable_memory_of(out),
                                 detail::op_on<std::remove_cvref_t<In>, Op>(), here);
  }
  template <lasting_buffer In, lasting_writable_buffer Out, class Op>
    requires same_elements<In, Out>
  request ireduce_scatter(In&& in, Out&& out, Op /*op*/, const place& here = place::current()) const {
    return request(detail::ireduce_scatter_block(state(), detail::memory_of(in), detail::writable_memory_of(out),
                                                 detail::op_on<std::remove_cvref_t<In>, Op>(), here));
  }

  /// The values of ranks 0 to this one made one by `op`.
  template <class T, class Op>
  [[nodiscard]] T scan(T value, Op op, const place& here = place::current()) const {
    detail::check_message<T>();
    if constexpr (detail::by_elements<T, Op>) {
      T result = value;
      detail::scan(state(), detail::memory_of(value), detail::writable_memory_of(result), detail::op_on<T, Op>(), here);
      return result;
    } else {
      std::optional<T> before = detail::exscan_values(*this, value, op, here);
      return before ? T(op(*before, value)) : value;
    }
  }
  /// The values of the ranks before this one made one by `op`; nothing on rank 0.
  template <class T, class Op>
  [[nodiscard]] std::optional<T> exscan(T value, Op op, const place& here = place::current()) const {
    detail::check_message<T>();
    if constexpr (detail::by_elements<T, Op>) {
      T result = value;
      detail::exscan(state(), detail::memory_of(value), detail::writable_memory_of(result), detail::op_on<T, Op>(),
                     here);
      return rank() == 0 ? std::nullopt : std::optional<T>(std::move(result));
    } else {
      return detail::exscan_values(*this, value, op, here);
    }
  }
  /// Element by element into `out`, of the size of `in`.
  template <buffer In, writable_buffer Out, class Op>
    requires same_elements<In, Out>
  void scan_into(const In& in, Out&& out, Op /*op*/, const place& here = place::current()) const {
    detail::scan(state(), detail::memory_of(in), detail::writable_memory_of(out),
                 detail::op_on<std::remove_cvref_t<In>, Op>(), here);
  }
  template <buffer In, writable_buffer Out, class Op>
    requires same_elements<In, Out>
  void exscan_into(const In& in, Out&& out, Op /*op*/, const place& here = place::current()) const {
    detail::exscan(state(), detail::memory_of(in), detail::writable_memory_of(out),
                   detail::op_on<std::remove_cvref_t<In>, Op>(), here);
  }
  template <lasting_buffer In, lasting_writable_buffer Out, class Op>
    requires same_elements<In, Out>
  request iscan(In&& in, Out&& out, Op /*op*/, const place& here = place::current()) const {
    return request(detail::iscan(state(), detail::memory_of(in), detail::writable_memory_of(out),
                                 detail::op_on<std::remove_cvref_t<In>, Op>(), here));
  }
  template <lasting_buffer In, lasting_writable_buffer Out, class Op>
    requires same_elements<In, Out>
  request iexscan(In&& in, Out&& out, Op /*op*/, const place& here = place::current()) const {
    return request(detail::iexscan(state(), detail::memory_of(in), detail::writable_memory_of(out),
                                   detail::op_on<std::remove_cvref_t<In>, Op>(), here));
  }

 protected:
  using point_to_point::point_to_point;
};

}  // namespace tutti::mpi
