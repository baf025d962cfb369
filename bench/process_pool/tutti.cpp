// tutti: process_pool with empty tasks, points in a circle and arrays.
#include <tutti/base/error.hpp>
#include <tutti/process/process_pool.hpp>

#include <chrono>
#include <csignal>
#include <ranges>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include "../harness/clock.hpp"
#include "../harness/machine.hpp"
#include "tutti.hpp"

namespace bench::process_pool {

/// What the workers run.
namespace calls {

void nothing() {}
int same(int i) { return i; }
void pin_to(int cpu) {
  if (cpu >= 0) pin(cpu);
}
void die() { ::raise(SIGKILL); }
std::vector<double> give_back(std::vector<double> array) { return array; }
int rest() {
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return getpid();
}

/// 1 when the i-th point lies in the quarter of the unit circle: its coordinates are the halves of splitmix64(i).
int is_hit(std::uint64_t i) {
  std::uint64_t z = i * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  z ^= z >> 31U;
  const double x = static_cast<double>(z >> 32U) / 4294967296.0;
  const double y = static_cast<double>(z & 0xffffffffU) / 4294967296.0;
  return x * x + y * y < 1 ? 1 : 0;
}

}  // namespace calls

namespace {

class tutti_pool : public pool_of_tutti {
 public:
  tutti_pool(int workers, int cpu) : pool_({.workers = workers}, tutti::fn<calls::pin_to>, cpu) { use_all(); }

  void round_trip() override { pool_.submit<calls::nothing>().get(); }

  void submit_each(std::size_t count) override {
    std::vector<tutti::future<void>> results;
    results.reserve(count);
    for (std::size_t i = 0; i < count; ++i) results.push_back(pool_.submit<calls::nothing>());
    for (auto& r : results) r.get();
  }

  void map(std::size_t count, std::size_t chunk) override {
    int expected = 0;
    for (const int i : pool_.map<calls::same>(std::views::iota(0, static_cast<int>(count)), {.chunk = chunk})) {
      if (i != expected++) throw std::runtime_error("map is out of order");
    }
    if (static_cast<std::size_t>(expected) != count) throw std::runtime_error("map lost elements");
  }

  std::int64_t hits(std::size_t count, std::size_t chunk) override {
    std::int64_t sum = 0;
    for (const int hit :
         pool_.map<calls::is_hit>(std::views::iota(std::uint64_t{0}, std::uint64_t{count}), {.chunk = chunk}))
      sum += hit;
    return sum;
  }

  std::vector<double> by_value(std::vector<double> array) override {
    return pool_.submit<calls::give_back>(std::move(array)).get();
  }

  void use_all() override {
    for (std::set<int> seen; seen.size() < static_cast<std::size_t>(pool_.concurrency());) {
      std::vector<tutti::future<int>> all;
      for (int i = 0; i < pool_.concurrency(); ++i) all.push_back(pool_.submit<calls::rest>());
      for (auto& one : all) seen.insert(one.get());
    }
  }

  std::vector<int> pids() override { return pool_.pids(); }

  tutti::process_pool& inside() override { return pool_; }

 private:
  tutti::process_pool pool_;
};

}  // namespace

std::unique_ptr<pool> make_tutti(int workers, int cpu) { return std::make_unique<tutti_pool>(workers, cpu); }

std::vector<double> start_and_end(int workers) {
  const double start = now_ns();
  tutti::process_pool fresh(workers);
  fresh.submit<calls::nothing>().get();
  const double first = now_ns();
  fresh.shutdown();
  return {(first - start) * 1e-6, (now_ns() - first) * 1e-6};
}

std::vector<double> death_and_next() {
  tutti_pool fresh(2, -1);
  const double start = now_ns();
  try {
    fresh.inside().submit<calls::die>().get();
    throw std::runtime_error("a call that kills its worker has a result");
  } catch (const tutti::worker_lost&) {
  }
  const double told = now_ns();
  fresh.round_trip();
  return {(told - start) * 1e-6, (now_ns() - told) * 1e-6};
}

}  // namespace bench::process_pool
