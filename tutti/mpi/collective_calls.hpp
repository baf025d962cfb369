// collective_calls: collectives over memory and over pieces of it, whatever the types; and how values become those.
#pragma once
#include <tutti/mpi/op.hpp>
#include <tutti/mpi/point_to_point.hpp>

#include <concepts>
#include <cstring>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::mpi {

/// A part of a range.
struct block {
  std::size_t first = 0;
  std::size_t count = 0;
  /// Behind its last.
  [[nodiscard]] constexpr std::size_t end() const noexcept { return first + count; }
};
/// Which part of `count` elements is that of `rank` when `size` ranks share them: the first ranks have one more where
/// it does not come out even.
constexpr block block_of(std::size_t count, int rank, int size) noexcept {
  const auto r = static_cast<std::size_t>(rank);
  const auto n = static_cast<std::size_t>(size);
  const std::size_t each = count / n;
  const std::size_t more = count % n;
  return {r * each + (r < more ? r : more), each + (r < more ? 1 : 0)};
}

namespace detail {

void barrier(comm_state& where, const place& here);
void bcast(comm_state& where, memory both, int root, const place& here);
/// The root's size, on all ranks.
std::size_t bcast_size(comm_state& where, std::size_t mine, int root, const place& here);
void scatter(comm_state& where, const_memory in, memory out, int root, const place& here);
void scatterv(comm_state& where, const_memory in, std::span<const int> counts, memory out, int root, const place& here);
void gather(comm_state& where, const_memory in, memory out, int root, const place& here);
void gatherv(comm_state& where, const_memory in, memory out, std::span<const int> counts, int root, const place& here);
void allgather(comm_state& where, const_memory in, memory out, const place& here);
void allgatherv(comm_state& where, const_memory in, memory out, std::span<const int> counts, const place& here);
void alltoall(comm_state& where, const_memory in, memory out, const place& here);
void alltoallv(comm_state& where, const_memory in, std::span<const int> out_counts, memory out,
               std::span<const int> in_counts, const place& here);
void reduce(comm_state& where, const_memory in, memory out, const op_handle& op, int root, const place& here);
void allreduce(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);
void reduce_scatter(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);
void reduce_scatter_block(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);
void scan(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);
void exscan(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);

started ibarrier(comm_state& where, const place& here);
started ibcast(comm_state& where, memory both, int root, const place& here);
started iscatter(comm_state& where, const_memory in, memory out, int root, const place& here);
started igather(comm_state& where, const_memory in, memory out, int root, const place& here);
started iallgather(comm_state& where, const_memory in, memory out, const place& here);
started ialltoall(comm_state& where, const_memory in, memory out, const place& here);
started ireduce(comm_state& where, const_memory in, memory out, const op_handle& op, int root, const place& here);
started iallreduce(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);
started ireduce_scatter_block(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);
started iscan(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);
started iexscan(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here);

/// Values on their way to several ranks: where they lie, or as they were encoded.
class pieces {
 public:
  /// `stays`: the value lies where it is until all is done.
  template <class T>
  void add(const T& value, bool stays) {
    if constexpr (raw_message<T>) {
      const const_memory m = memory_of(value);
      if (!stays) return keep(std::string(static_cast<const char*>(m.data), m.bytes()));
      parts_.push_back(m);
      kept_.emplace_back();
    } else {
      keep(tutti::encode(value));
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return parts_.size(); }
  [[nodiscard]] const_memory at(std::size_t i) const noexcept {
    return kept_[i] ? memory_of_text(*kept_[i]) : parts_[i];
  }

 private:
  void keep(std::string bytes) {
    parts_.emplace_back();
    kept_.emplace_back(std::move(bytes));
  }
  std::vector<const_memory> parts_;
  std::vector<std::optional<std::string>> kept_;
};

/// Those of a range.
template <class R>
void add_all(pieces& out, const R& values) {
  using T = std::ranges::range_value_t<R>;
  constexpr bool stays = std::is_same_v<std::remove_cvref_t<std::ranges::range_reference_t<const R>>, T> &&
                         std::is_lvalue_reference_v<std::ranges::range_reference_t<const R>>;
  for (auto&& value : values) out.add<T>(value, stays);
}

/// Pieces of any length, as they came.
using came_pieces = std::vector<std::string>;
std::string scatter_pieces(comm_state& where, const pieces& out, int root, const char* call, const place& here);
std::string scatter_blocks(comm_state& where, const_memory all, int root, const place& here);
/// All ranks' pieces, one behind the other.
std::string gather_flat(comm_state& where, const_memory mine, int root, const place& here);
std::string allgather_flat(comm_state& where, const_memory mine, const place& here);
came_pieces gather_pieces(comm_state& where, const_memory mine, int root, const place& here);
came_pieces allgather_pieces(comm_state& where, const_memory mine, const place& here);
came_pieces alltoall_pieces(comm_state& where, const pieces& out, const place& here);
/// Throws mpi::error: a piece that is no T.
[[noreturn]] void refuse_piece(std::size_t bytes, std::size_t unit);

template <class T>
T value_of(const std::string& bytes) {
  if constexpr (growing_buffer<T>) {
    constexpr std::size_t unit = sizeof(std::ranges::range_value_t<T>);
    if (bytes.size() % unit != 0) refuse_piece(bytes.size(), unit);
    T value;
    value.resize(bytes.size() / unit);
    if (!bytes.empty()) std::memcpy(std::ranges::data(value), bytes.data(), bytes.size());
    return value;
  } else if constexpr (raw_message<T>) {
    T value{};
    const memory into = writable_memory_of(value);
    if (bytes.size() != into.bytes()) refuse_piece(bytes.size(), into.bytes());
    if (!bytes.empty()) std::memcpy(into.data, bytes.data(), bytes.size());
    return value;
  } else {
    return tutti::decode<T>(bytes);
  }
}
template <class T>
std::vector<T> values_of(const came_pieces& all) {
  std::vector<T> values;
  values.reserve(all.size());
  for (const std::string& one : all) values.push_back(value_of<T>(one));
  return values;
}

/// One value as one element, a plain buffer such as std::array too.
template <class T>
const_memory bytes_of(const T& value) noexcept {
  return {std::addressof(value), 1, {static_cast<std::uint32_t>(sizeof(T)), kind::other}};
}
template <class T>
memory bytes_of_all(std::vector<T>& values) noexcept {
  return {values.data(), values.size(), {static_cast<std::uint32_t>(sizeof(T)), kind::other}};
}

// ---------------------------------------------------------------- reductions

template <class T>
struct element_type {
  using type = T;
};
template <buffer T>
struct element_type<T> {
  using type = std::remove_cv_t<std::ranges::range_value_t<T>>;
};

template <class T>
inline constexpr bool is_text = false;
template <class C, class Traits, class A>
inline constexpr bool is_text<std::basic_string<C, Traits, A>> = true;

// Whether a reduction of T by Op is one of its elements; else of values as a whole.
template <class T, class Op>
inline constexpr bool by_elements = raw_message<T> && !is_text<T> && [] {
  if constexpr (!raw_message<T>) {
    return false;
  } else {
    using E = typename element_type<T>::type;
    if constexpr (named_op<Op>) {
      return true;
    } else {
      return std::is_invocable_r_v<E, Op, const E&, const E&> && std::is_empty_v<Op>;
    }
  }
}();

template <class T, class Op>
op_handle op_on() {
  return op_for<Op, typename element_type<T>::type>();
}

/// A communicator for messages of the library's own, of the same ranks; collective on first use.
comm_state& shadow_of(comm_state& where, const place& here);
/// All ranks must make this call: the watch sees that they do.
void begin_values(comm_state& where, const char* call, const place& here);
void begin_values(comm_state& where, const char* call, int root, const place& here);

// By a binomial tree, of ranks counted from 0: each takes the value of those behind it. In the order of ranks, so that
// the operation need not commute.
template <class Comm, class T, class Op>
std::optional<T> reduce_values(const Comm& comm, T value, Op& op, int root, const place& here) {
  comm_state& where = state_of(comm);
  begin_values(where, "reduce", root, here);
  comm_state& own = shadow_of(where, here);
  for (int distance = 1; distance < own.size; distance *= 2) {
    if (own.rank % (2 * distance) != 0) {
      with_outgoing(value, [&](const_memory m) { send(own, m, own.rank - distance, 0, send_mode::standard, here); });
      break;
    }
    if (own.rank + distance < own.size) {
      T both = op(std::move(value), recv_value<T>(own, own.rank + distance, 0, nullptr, "reduce", here));
      value = std::move(both);  // which may be what was given
    }
  }
  if (root != 0) {
    if (own.rank == 0) {
      with_outgoing(value, [&](const_memory m) { send(own, m, root, 0, send_mode::standard, here); });
    } else if (own.rank == root) {
      value = recv_value<T>(own, 0, 0, nullptr, "reduce", here);
    }
  }
  return own.rank == root ? std::optional<T>(std::move(value)) : std::nullopt;
}

// Along the line of ranks.
template <class Comm, class T, class Op>
std::optional<T> exscan_values(const Comm& comm, const T& value, Op& op, const place& here) {
  comm_state& where = state_of(comm);
  begin_values(where, "scan", here);
  comm_state& own = shadow_of(where, here);
  std::optional<T> before;
  if (own.rank > 0) before = recv_value<T>(own, own.rank - 1, 0, nullptr, "scan", here);
  if (own.rank + 1 < own.size) {
    const auto pass = [&](const T& all) {
      with_outgoing(all, [&](const_memory m) { send(own, m, own.rank + 1, 0, send_mode::standard, here); });
    };
    if (before) {
      pass(op(*before, value));
    } else {
      pass(value);
    }
  }
  return before;
}

}  // namespace detail
}  // namespace tutti::mpi
