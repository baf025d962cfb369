// window_calls: memory of other ranks, whatever the types; what `window` and `shared_window` are made of.
#pragma once
#include <tutti/mpi/communicator.hpp>
#include <tutti/mpi/op.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

namespace tutti::mpi {

namespace detail {

struct replace_op {};
struct no_op_op {};

/// What to do with the element that is there.
enum class update_kind : std::uint8_t { reduce, replace, leave };
struct update {
  update_kind how = update_kind::reduce;
  op_kind is = op_kind::own;  // when it is to be reduced
};

template <class Op, class T>
constexpr update update_for() {
  static_assert(kind_of<T>() != kind::other,
                "tutti: one-sided operations are of numbers, as MPI itself does them; put and get are of any plain "
                "value");
  if constexpr (std::is_same_v<Op, replace_op>) {
    return {update_kind::replace};
  } else if constexpr (std::is_same_v<Op, no_op_op>) {
    return {update_kind::leave};
  } else {
    static_assert(named_op<Op>,
                  "tutti: one-sided operations are MPI's own (sum, prod, min, max, land, lor, lxor, band, bor, bxor, "
                  "replace, no_op): no program of the rank that has the memory is run");
    if constexpr (named_op<Op>) {
      static_assert(mpi_has(Op::kind, kind_of<T>()), "tutti: MPI does not have this operation for such elements");
      return {update_kind::reduce, Op::kind};
    }
  }
}

struct window_state;
struct free_window {
  void operator()(window_state* window) const noexcept;
};
using window_handle = std::unique_ptr<window_state, free_window>;

/// So many elements on this rank, in MPI's own memory.
window_handle make_window(const communicator& ranks, std::size_t count, element of, const place& here);
/// In memory that is given. Whether the ranks give any, or none of them does, they must agree on.
window_handle make_window_over(const communicator& ranks, std::size_t count, element of, void* given,
                               const place& here);
/// Elements that all ranks can reach as their own.
window_handle make_shared_window(const communicator& ranks, std::size_t count, element of, const place& here);
void* base_of(const window_state& window) noexcept;
const communicator& ranks_of(const window_state& window) noexcept;
std::size_t count_at(const window_state& window, int rank, const char* call, const place& here);

/// Where an operation reads from or writes to may be gone before it has ended: then it is copied, or waited for.
enum class origin : std::uint8_t { stays, goes };

void put(window_state& window, const_memory what, int rank, std::size_t offset, origin from, const place& here);
void get(window_state& window, memory into, int rank, std::size_t offset, const place& here);
/// Waits for what it gets.
void get_now(window_state& window, memory into, int rank, std::size_t offset, const place& here);
started rput(window_state& window, const_memory what, int rank, std::size_t offset, const place& here);
started rget(window_state& window, memory into, int rank, std::size_t offset, const place& here);
void accumulate(window_state& window, const_memory what, int rank, std::size_t offset, update op, origin from,
                const place& here);
void get_accumulate(window_state& window, const_memory what, memory before, int rank, std::size_t offset, update op,
                    const place& here);
void fetch_and_op(window_state& window, const_memory what, memory before, int rank, std::size_t offset, update op,
                  const place& here);
void compare_and_swap(window_state& window, const_memory expected, const_memory desired, memory before, int rank,
                      std::size_t offset, const place& here);

void fence(window_state& window, bool ends, const place& here);
void lock(window_state& window, int rank, bool alone, const place& here);
void lock_all(window_state& window, const place& here);
/// rank: -1 for all.
void unlock(window_state& window, int rank, const place& here);
void flush(window_state& window, int rank, const place& here);
void post(window_state& window, std::span<const int> ranks, const place& here);
void start(window_state& window, std::span<const int> ranks, const place& here);
void complete(window_state& window, const place& here);
void wait(window_state& window, const place& here);

void* shared_base(const window_state& window, int rank, const place& here);
void sync(window_state& window, const place& here);

}  // namespace detail

/// For accumulate, get_accumulate and fetch_and_op: the new value takes the place of the one there.
inline constexpr detail::replace_op replace{};
/// For get_accumulate and fetch_and_op: the one there stays: an atomic read.
inline constexpr detail::no_op_op no_op{};

/// Who may hold a lock at the same time.
enum class lock_type : std::uint8_t {
  shared,     ///< all who ask for a shared one
  exclusive,  ///< one alone
};

/// The right to reach into a rank's memory, or all ranks', until it is destroyed: then all that was begun under it has
/// happened. Move-only; must not outlive its window.
class [[nodiscard]] window_lock {
 public:
  /// For the library.
  window_lock(detail::window_state& of, int rank) noexcept : of_(&of), rank_(rank) {}
  window_lock(window_lock&& other) noexcept : of_(other.of_), rank_(other.rank_) { other.of_ = nullptr; }
  window_lock& operator=(window_lock&&) = delete;
  ~window_lock();

  /// Blocks until all that was begun under it has happened, here and there.
  void flush(place here = place::current()) const {
    if (of_ != nullptr) detail::flush(*of_, rank_, here);
  }
  /// Gives it back now. Blocks until all that was begun under it has happened. Throws mpi::error.
  void unlock(place here = place::current());

 private:
  detail::window_state* of_;
  int rank_;  // -1: all
};

}  // namespace tutti::mpi
