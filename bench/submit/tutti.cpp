// tutti: post, submit and submit_bulk on a thread_pool.
#include <ranges>
#include <tutti/core/thread_pool.hpp>
#include <vector>

#include "../harness/machine.hpp"
#include "systems.hpp"

namespace bench_tasks {
/// The function of the bulk submission: portable, so it may run on any executor.
inline int same(int i) { return i; }
}  // namespace bench_tasks

namespace bench::submit {

namespace {

class tutti_system : public system {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}

  bool post_outside(std::size_t count) override {
    for (std::size_t i = 0; i < count; ++i) pool_.post([this] { done_.count(); });
    done_.wait(expected_ += count);
    return true;
  }

  bool post_inside(std::size_t count) override {
    pool_.post([this, count] {
      for (std::size_t i = 0; i < count; ++i) pool_.post([this] { done_.count(); });
    });
    done_.wait(expected_ += count);
    return true;
  }

  bool futures(std::size_t count) override {
    std::vector<tutti::future<void>> results;
    results.reserve(count);
    for (std::size_t i = 0; i < count; ++i) results.push_back(pool_.submit([] {}));
    for (auto& r : results) r.get();
    return true;
  }

  bool bulk(std::size_t count) override {
    pool_.submit_bulk<bench_tasks::same>(std::views::iota(0, static_cast<int>(count))).get();
    return true;
  }

  bool round_trip() override {
    pool_.submit([] {}).get();
    return true;
  }

  bool pin_worker(int cpu) override {
    pool_.submit([cpu] { pin(cpu); }).get();
    return true;
  }

 private:
  tally done_;
  std::size_t expected_ = 0;
  tutti::thread_pool pool_;  // last: its tasks count in the tally
};

}  // namespace

std::unique_ptr<system> make_tutti(int threads) { return std::make_unique<tutti_system>(threads); }

}  // namespace bench::submit
