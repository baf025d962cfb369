// ranks: what tests share that run on several ranks.
#pragma once
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <tutti/mpi/mpi.hpp>
#include <vector>

namespace tutti_test {

/// The neighbours of this rank when all stand in a ring; itself when it is alone.
inline int next_of(const tutti::mpi::comm_handle& all) { return (all.rank() + 1) % all.size(); }
inline int before_of(const tutti::mpi::comm_handle& all) { return (all.rank() + all.size() - 1) % all.size(); }
inline std::size_t many(int count) { return static_cast<std::size_t>(count); }

/// The words of the E that `f` throws; of another error, that it is another.
template <class E = tutti::mpi::error, class F>
std::string refusal_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  } catch (const std::exception& e) {
    return std::string("[another type of error] ") + e.what();
  }
  return "[nothing was thrown]";
}
/// Whether it has thrown the E, with all of these words in it.
template <class... Words>
bool says(const std::string& text, const Words&... words) {
  return !text.starts_with('[') && ((text.find(words) != std::string::npos) && ...);
}

/// Equal values; what pointers own is compared, not their addresses.
template <class T>
bool same(const T& a, const T& b) {
  return a == b;
}
template <class T>
bool same(const std::unique_ptr<T>& a, const std::unique_ptr<T>& b) {
  return a == nullptr || b == nullptr ? a == b : same(*a, *b);
}
template <class T>
bool same(const std::vector<std::unique_ptr<T>>& a, const std::vector<std::unique_ptr<T>>& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) equal = same(a[i], b[i]);
  return equal;
}

/// A plain aggregate.
struct particle {
  double x = 0, y = 0;
  std::int32_t id = 0;
  bool operator==(const particle&) const = default;
};

/// An aggregate that must be encoded.
struct person {
  std::string name;
  int age = 0;
  std::vector<std::string> children;
  bool operator==(const person&) const = default;
};

/// x -> a * x + b, modulo 2^32. Composition is associative and does not commute.
struct affine {
  std::uint32_t a = 1, b = 0;
  bool operator==(const affine&) const = default;
};
/// `first`, then `second`.
constexpr affine compose(const affine& first, const affine& second) {
  return {second.a * first.a, second.a * first.b + second.b};
}
constexpr affine affine_of(std::uint32_t rank, std::uint32_t index = 0) {
  return {2 * (rank + 3 * index) + 3, 7 * rank + 11 * index + 1};
}
struct then_op {
  affine operator()(const affine& first, const affine& second) const { return compose(first, second); }
};

}  // namespace tutti_test
