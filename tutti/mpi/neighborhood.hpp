// neighborhood: a communicator in which each rank has neighbours, and what neighbours do together.
#pragma once
#include <tutti/mpi/communicator.hpp>

#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::mpi {

namespace detail {

/// Who the neighbours of this rank are. no_rank: nobody, beyond the edge of a grid.
struct neighbors {
  std::vector<int> sources, destinations;
  bool is_grid = false;  // what goes out in one direction comes in from the opposite one
  // Of a grid in which one rank is the neighbour on two sides: each neighbour once.
  std::shared_ptr<comm_state> each_once;
};
/// Makes each_once, where it is needed. Collective.
void make_each_once(comm_state& where, neighbors& who, const place& here);

void neighbor_allgather(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here);
started ineighbor_allgather(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here);
void neighbor_allgatherv(comm_state& where, const neighbors& who, const_memory in, memory out,
                         std::span<const int> counts, const place& here);
void neighbor_alltoall(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here);
struct owning_started {
  started what;
  std::unique_ptr<owned_message> owned;
};
owning_started ineighbor_alltoall(comm_state& where, const neighbors& who, const_memory in, memory out,
                                  const place& here);
void neighbor_alltoallv(comm_state& where, const neighbors& who, const_memory in, std::span<const int> out_counts,
                        memory out, std::span<const int> in_counts, const place& here);

/// One piece from each source, as it came; nothing from nobody.
using neighbor_pieces = std::vector<std::optional<std::string>>;
neighbor_pieces exchange_with_neighbors(comm_state& where, const neighbors& who, const pieces& out, const char* call,
                                        const place& here);

}  // namespace detail

namespace detail {
// A value, or several, and a buffer of such.
template <class In, class Out>
concept of_one_element =
    std::same_as<typename element_type<In>::type, std::remove_cv_t<std::ranges::range_value_t<Out>>>;
}  // namespace detail

/// A communicator whose ranks have neighbours: those it receives from, `sources()`, and those it sends to,
/// `destinations()`. See `cartesian` and `dist_graph`. A collective among neighbours is one of all ranks, in the same
/// order on all, but each exchanges with its neighbours alone. As with the collectives of a communicator there are
/// three forms: of values, of any type and length; *_into, in memory that is there; i*, which begins that.
///
/// In memory, and in the ranges of values, each neighbour has its block, in the order of sources() or destinations().
/// That of nobody, no_rank, is there too: it is neither read nor written.
class neighborhood : public communicator {
 public:
  /// From whom this rank receives; no_rank: nobody.
  [[nodiscard]] std::span<const int> sources() const noexcept { return who_->sources; }
  /// To whom it sends.
  [[nodiscard]] std::span<const int> destinations() const noexcept { return who_->destinations; }

  /// This rank's value to all its destinations; what came from its sources, nothing from nobody. Collective. Throws
  /// mpi::error, decode_error.
  template <class T>
  [[nodiscard]] std::vector<std::optional<T>> neighbor_allgather(const T& value, place here = place::current()) const {
    detail::check_message<T>();
    detail::pieces out;
    for (std::size_t i = 0; i < destinations().size(); ++i) out.add(value, true);
    return values_of<T>(detail::exchange_with_neighbors(state(), *who_, out, "neighbor_allgather", here));
  }
  /// To each destination its value of `values`; what came from the sources, nothing from nobody. Collective. Throws
  /// mpi::error for another number of values than of destinations.
  template <std::ranges::sized_range R>
  [[nodiscard]] std::vector<std::optional<received_t<std::ranges::range_value_t<R>>>> neighbor_alltoall(
      const R& values, place here = place::current()) const {
    using T = received_t<std::ranges::range_value_t<R>>;
    detail::check_message<T>();
    detail::pieces out;
    detail::add_all(out, values);
    return values_of<T>(detail::exchange_with_neighbors(state(), *who_, out, "neighbor_alltoall", here));
  }

  /// This rank's elements to all destinations; `out` has as many for each source. Collective. Throws mpi::error for
  /// sizes that cannot be.
  template <raw_message In, writable_buffer Out>
    requires detail::of_one_element<In, Out>
  void neighbor_allgather_into(const In& in, Out&& out, place here = place::current()) const {
    detail::neighbor_allgather(state(), *who_, detail::memory_of(in), detail::writable_memory_of(out), here);
  }
  /// The same with so many elements from each source.
  template <raw_message In, writable_buffer Out>
    requires detail::of_one_element<In, Out>
  void neighbor_allgather_into(const In& in, Out&& out, std::span<const int> counts,
                               place here = place::current()) const {
    detail::neighbor_allgatherv(state(), *who_, detail::memory_of(in), detail::writable_memory_of(out), counts, here);
  }
  /// Begins neighbor_allgather_into.
  template <class In, lasting_writable_buffer Out>
    requires(lasting_buffer<In> || (plain<std::remove_cvref_t<In>> && std::is_lvalue_reference_v<In>)) &&
            detail::of_one_element<std::remove_cvref_t<In>, Out>
  request ineighbor_allgather(In&& in, Out&& out, place here = place::current()) const {
    return request(
        detail::ineighbor_allgather(state(), *who_, detail::memory_of(in), detail::writable_memory_of(out), here));
  }
  /// To each destination its block of `in`, from each source one of the same size into `out`. Collective. Throws
  /// mpi::error for sizes that cannot be.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void neighbor_alltoall_into(const In& in, Out&& out, place here = place::current()) const {
    detail::neighbor_alltoall(state(), *who_, detail::memory_of(in), detail::writable_memory_of(out), here);
  }
  /// The same with so many elements to each destination, and from each source.
  template <buffer In, writable_buffer Out>
    requires same_elements<In, Out>
  void neighbor_alltoall_into(const In& in, std::span<const int> out_counts, Out&& out, std::span<const int> in_counts,
                              place here = place::current()) const {
    detail::neighbor_alltoallv(state(), *who_, detail::memory_of(in), out_counts, detail::writable_memory_of(out),
                               in_counts, here);
  }
  /// Begins neighbor_alltoall_into.
  template <lasting_buffer In, lasting_writable_buffer Out>
    requires same_elements<In, Out>
  request ineighbor_alltoall(In&& in, Out&& out, place here = place::current()) const {
    auto begun =
        detail::ineighbor_alltoall(state(), *who_, detail::memory_of(in), detail::writable_memory_of(out), here);
    return request(begun.what, std::move(begun.owned));
  }

 protected:
  neighborhood(communicator all, detail::neighbors who)
      : communicator(std::move(all)), who_(std::make_shared<const detail::neighbors>(std::move(who))) {}
  explicit neighborhood(std::pair<communicator, detail::neighbors> made)
      : neighborhood(std::move(made.first), std::move(made.second)) {}

 private:
  template <class T>
  static std::vector<std::optional<T>> values_of(const detail::neighbor_pieces& came) {
    std::vector<std::optional<T>> values;
    values.reserve(came.size());
    for (const auto& one : came) {
      values.push_back(one ? std::optional<T>(detail::value_of<T>(*one)) : std::nullopt);
    }
    return values;
  }

  std::shared_ptr<const detail::neighbors> who_;
};

}  // namespace tutti::mpi
