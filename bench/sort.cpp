// sort: arrays of numbers, strings and records in random and other orders, by sorts in place and by stable ones.
#include <algorithm>
#include <random>
#include <stdexcept>

#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "sort/systems.hpp"

namespace {

using namespace bench::sort;

contenders everyone(int threads, bool stable) {
  contenders all;
  add_tutti(all, threads, stable);
  add_serial(all, stable);
  add_tbb(all, threads, stable);
  add_std_par(all, threads, stable);
  add_openmp(all, threads, stable);
  add_boost(all, threads, stable);
  return all;
}

template <class T>
T make(std::uint64_t key) {
  if constexpr (std::is_same_v<T, std::string>) {
    return "key " + std::to_string(key);  // some fit into the string itself, some do not
  } else if constexpr (std::is_same_v<T, wide>) {
    return {static_cast<std::int64_t>(key), {}};
  } else {
    return static_cast<T>(key);
  }
}

// The keys of a pattern; at most 2^31, so that all types can hold them.
std::vector<std::uint64_t> keys_of(const std::string& pattern, std::size_t n) {
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> keys(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (pattern == "random") {
      keys[i] = random() >> 33;
    } else if (pattern == "few distinct") {
      keys[i] = random() % 16;
    } else if (pattern == "organ pipe") {
      keys[i] = std::min(i, n - i);
    } else {
      keys[i] = pattern == "reversed" ? n - i : i;
    }
  }
  if (pattern == "almost sorted") {
    for (std::size_t k = 0; k < n / 100; ++k) std::swap(keys[random() % n], keys[random() % n]);
  }
  return keys;
}

template <class T>
void measure(bench::session& session, const contenders& all, const std::string& name, int threads,
             const std::string& pattern, std::size_t n) {
  if (!session.wanted(name)) return;
  std::vector<T> source;
  source.reserve(n);
  for (const std::uint64_t key : keys_of(pattern, n)) source.push_back(make<T>(key));
  const std::size_t count = std::max<std::size_t>(1, (session.quick() ? 100'000 : 1'000'000) / n);
  std::vector<bench::subject> subjects;
  for (const auto& [label, system] : all) {
    bench::sort::system* s = system.get();
    subjects.push_back(bench::single(label, [s, &source, count, n] {
      double spent = 0;
      s->on_home_thread([&] {
        std::vector<T> v;
        for (std::size_t k = 0; k < count; ++k) {
          v = source;
          spent += bench::time_ns([&] { s->sort(v); });
        }
        if (v.size() != n || !std::is_sorted(v.begin(), v.end(), order<T>())) throw std::runtime_error("not sorted");
      });
      return spent / static_cast<double>(count) * 1e-6;
    }));
  }
  const bool huge = n >= 100'000'000;
  session.compare({name, "ms"}, threads, huge ? 1 : session.reps(5), std::move(subjects), /*warm_up=*/!huge);
}

std::string count_text(std::size_t n) {
  int power = 0;
  for (; n >= 10; n /= 10) ++power;
  return "10^" + std::to_string(power);
}

}  // namespace

int main(int argc, char** argv) {
  bench::session session("sort", argc, argv);
  const std::vector<std::size_t> sizes = session.quick()
                                             ? std::vector<std::size_t>{10'000, 1'000'000}
                                             : std::vector<std::size_t>{10'000, 100'000, 1'000'000, 10'000'000};
  const std::vector<std::string> patterns = {"sorted", "reversed", "few distinct", "almost sorted", "organ pipe"};

  for (const bool stable : {false, true}) {
    for (int threads : bench::thread_counts()) {
      const contenders all = everyone(threads, stable);
      const auto each_type = [&](const std::string& pattern, std::size_t n) {
        const std::string size = count_text(n);
        const auto name = [&](const char* what) {
          return (stable ? "stable: " : "") + size + " " + what + ", " + pattern;
        };
        measure<std::int32_t>(session, all, name("int32"), threads, pattern, n);
        measure<std::int64_t>(session, all, name("int64"), threads, pattern, n);
        measure<double>(session, all, name("double"), threads, pattern, n);
        measure<std::string>(session, all, name("strings"), threads, pattern, n);
        measure<wide>(session, all, name("64-byte records"), threads, pattern, n);
      };
      for (const std::size_t n : sizes) each_type("random", n);
      if (!session.quick() && !stable && threads > 1) {
        measure<std::int32_t>(session, all, "10^8 int32, random", threads, "random", 100'000'000);
      }
      for (const std::string& pattern : patterns) {
        if (!session.quick()) {
          each_type(pattern, 1'000'000);
          continue;
        }
        measure<double>(session, all, (stable ? "stable: " : "") + std::string("10^6 double, ") + pattern, threads,
                        pattern, 1'000'000);
      }
    }
  }
  return session.finish();
}
