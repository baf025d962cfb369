// systems: what the sort benchmark sorts, and what each competitor must do with it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace bench::sort {

/// A cache line that is sorted by a part of it.
struct wide {
  std::int64_t key;
  std::array<char, 56> rest;
};
struct by_key {
  bool operator()(const wide& a, const wide& b) const { return a.key < b.key; }
};
/// The comparator that every system is given.
template <class T>
using order = std::conditional_t<std::is_same_v<T, wide>, by_key, std::less<>>;

/// One way to sort with a fixed number of threads.
class system {
 public:
  virtual ~system() = default;
  virtual void sort(std::vector<std::int32_t>& v) = 0;
  virtual void sort(std::vector<std::int64_t>& v) = 0;
  virtual void sort(std::vector<double>& v) = 0;
  virtual void sort(std::vector<std::string>& v) = 0;
  virtual void sort(std::vector<wide>& v) = 0;
  /// Runs a repetition of a benchmark, on whichever thread this system's sorts start from at no cost.
  virtual void on_home_thread(const std::function<void()>& repetition) { repetition(); }
};

/// Implements `sort` by `f(vector, comparator)`.
template <class F>
class system_of : public system {
 public:
  explicit system_of(F f) : f_(std::move(f)) {}
  void sort(std::vector<std::int32_t>& v) final { f_(v, order<std::int32_t>()); }
  void sort(std::vector<std::int64_t>& v) final { f_(v, order<std::int64_t>()); }
  void sort(std::vector<double>& v) final { f_(v, order<double>()); }
  void sort(std::vector<std::string>& v) final { f_(v, order<std::string>()); }
  void sort(std::vector<wide>& v) final { f_(v, order<wide>()); }

 private:
  F f_;
};

/// Contenders by the names they have in the tables; a library appears once for each setting worth having.
using contenders = std::vector<std::pair<std::string, std::unique_ptr<system>>>;

template <class F>
void add(contenders& to, const char* name, F f) {
  to.emplace_back(name, std::make_unique<system_of<F>>(std::move(f)));
}

void add_tutti(contenders& to, int threads, bool stable);
void add_serial(contenders& to, bool stable);
void add_tbb(contenders& to, int threads, bool stable);
void add_openmp(contenders& to, int threads, bool stable);
void add_std_par(contenders& to, int threads, bool stable);
void add_boost(contenders& to, int threads, bool stable);

}  // namespace bench::sort
