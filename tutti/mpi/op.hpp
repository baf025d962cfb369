// op: how a reduction makes one value of two.
#pragma once
#include <tutti/mpi/element.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

namespace tutti::mpi {

namespace detail {

enum class op_kind : std::uint8_t { own, sum, prod, min, max, land, lor, lxor, band, bor, bxor };

struct sum_op {
  static constexpr op_kind kind = op_kind::sum;
  static constexpr const char* name = "sum";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return static_cast<T>(a + b);
  }
};
struct prod_op {
  static constexpr op_kind kind = op_kind::prod;
  static constexpr const char* name = "prod";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return static_cast<T>(a * b);
  }
};
struct min_op {
  static constexpr op_kind kind = op_kind::min;
  static constexpr const char* name = "min";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return b < a ? b : a;
  }
};
struct max_op {
  static constexpr op_kind kind = op_kind::max;
  static constexpr const char* name = "max";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return a < b ? b : a;
  }
};
struct land_op {
  static constexpr op_kind kind = op_kind::land;
  static constexpr const char* name = "land";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return static_cast<T>(static_cast<bool>(a) && static_cast<bool>(b));
  }
};
struct lor_op {
  static constexpr op_kind kind = op_kind::lor;
  static constexpr const char* name = "lor";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return static_cast<T>(static_cast<bool>(a) || static_cast<bool>(b));
  }
};
struct lxor_op {
  static constexpr op_kind kind = op_kind::lxor;
  static constexpr const char* name = "lxor";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return static_cast<T>(static_cast<bool>(a) != static_cast<bool>(b));
  }
};
struct band_op {
  static constexpr op_kind kind = op_kind::band;
  static constexpr const char* name = "band";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return static_cast<T>(a & b);
  }
};
struct bor_op {
  static constexpr op_kind kind = op_kind::bor;
  static constexpr const char* name = "bor";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return static_cast<T>(a | b);
  }
};
struct bxor_op {
  static constexpr op_kind kind = op_kind::bxor;
  static constexpr const char* name = "bxor";
  template <class T>
  constexpr T operator()(const T& a, const T& b) const {
    return static_cast<T>(a ^ b);
  }
};

}  // namespace detail

/// A value and the rank, or index, it belongs to: what maxloc and minloc reduce.
template <class T>
struct located {
  T value{};
  int where = 0;
  friend bool operator==(const located&, const located&) = default;
};

namespace detail {
struct maxloc_op {
  static constexpr op_kind kind = op_kind::own;
  static constexpr const char* name = "maxloc";
  template <class T>
  constexpr located<T> operator()(const located<T>& a, const located<T>& b) const {
    if (a.value < b.value || (!(b.value < a.value) && b.where < a.where)) return b;
    return a;
  }
};
struct minloc_op {
  static constexpr op_kind kind = op_kind::own;
  static constexpr const char* name = "minloc";
  template <class T>
  constexpr located<T> operator()(const located<T>& a, const located<T>& b) const {
    if (b.value < a.value || (!(a.value < b.value) && b.where < a.where)) return b;
    return a;
  }
};
}  // namespace detail

/// MPI's own operations. On numbers they are MPI's, elsewhere what the operator of that name does: `sum` of strings
/// concatenates, in the order of ranks. `maxloc`, `minloc`: of located<T>; equal values: the smaller `where`.
inline constexpr detail::sum_op sum{};
inline constexpr detail::prod_op prod{};
inline constexpr detail::min_op min{};
inline constexpr detail::max_op max{};
inline constexpr detail::land_op land{};
inline constexpr detail::lor_op lor{};
inline constexpr detail::lxor_op lxor{};
inline constexpr detail::band_op band{};
inline constexpr detail::bor_op bor{};
inline constexpr detail::bxor_op bxor{};
inline constexpr detail::maxloc_op maxloc{};
inline constexpr detail::minloc_op minloc{};

namespace detail {

template <class Op>
concept named_op = requires {
  { Op::kind } -> std::convertible_to<op_kind>;
};

// Whether MPI itself has it for such elements.
consteval bool mpi_has(op_kind op, kind of) {
  const bool is_integer = of >= kind::int8 && of <= kind::uint64;
  const bool is_float = of == kind::float32 || of == kind::float64;
  const bool is_complex_number = of == kind::complex64 || of == kind::complex128;
  switch (op) {
    case op_kind::own: return false;
    case op_kind::sum:
    case op_kind::prod: return is_integer || is_float || is_complex_number;
    case op_kind::min:
    case op_kind::max: return is_integer || is_float;
    case op_kind::land:
    case op_kind::lor:
    case op_kind::lxor: return is_integer || of == kind::boolean;
    case op_kind::band:
    case op_kind::bor:
    case op_kind::bxor: return is_integer;
  }
  return false;
}

/// For the whole program: an operation as MPI wants it, made on first use.
using reducer = void (*)(void* in, void* in_out, int* count, void* type) noexcept;
std::uintptr_t make_op(reducer function, bool commutes);

template <class Op, class T>
void reduce_elements(void* in, void* in_out, int* count, void* /*type*/) noexcept {
  const T* const left = static_cast<const T*>(in);
  T* const right = static_cast<T*>(in_out);
  for (int i = 0; i < *count; ++i) right[i] = Op()(left[i], right[i]);
}

/// What the C API needs to know of an operation on elements T.
struct op_handle {
  op_kind is = op_kind::own;
  std::uintptr_t made = 0;  // MPI_Op, when `is` is own
  const char* name = "";
};

// Operators of the program's own types need not commute.
template <class T>
inline constexpr bool is_located = false;
template <class T>
inline constexpr bool is_located<located<T>> = true;

template <class Op, class T>
op_handle op_for() {
  if constexpr (named_op<Op>) {
    if constexpr (mpi_has(Op::kind, kind_of<T>())) return {Op::kind, 0, Op::name};
  }
  static_assert(
      std::is_empty_v<Op> && std::is_default_constructible_v<Op>,
      "tutti: MPI calls the operation of a reduction wherever it likes: a lambda that captures nothing, or an "
      "object without members, it must be");
  static_assert(std::is_invocable_r_v<T, Op, const T&, const T&>,
                "tutti: the operation of a reduction takes two elements and returns one");
  if constexpr (named_op<Op>) {
    static const std::uintptr_t made = make_op(&reduce_elements<Op, T>, std::is_arithmetic_v<T> || is_located<T>);
    return {op_kind::own, made, Op::name};
  } else {
    static const std::uintptr_t made = make_op(&reduce_elements<Op, T>, false);
    return {op_kind::own, made, "a callable"};
  }
}

}  // namespace detail
}  // namespace tutti::mpi
