// floor: the raw hand-overs that no pool can beat, by futex and by spinning.
#include <cstdint>
#include <thread>

#include "../harness/machine.hpp"
#include "systems.hpp"

namespace bench::submit {

namespace {

// Request and answer counters; `Wait` blocks until a counter is no longer at a value, `Wake` follows a change.
template <class Policy>
class ping_pong : public system {
 public:
  ping_pong() : partner_([this] { serve(); }) {}
  ~ping_pong() override {
    stop_.store(true);
    round_trip();
    partner_.join();
  }

  bool round_trip() override {
    std::uint32_t mine = request_.load(std::memory_order_relaxed) + 1;
    request_.store(mine, std::memory_order_release);
    Policy::wake(request_);
    while (answer_.load(std::memory_order_acquire) != mine) Policy::wait(answer_, mine - 1);
    return true;
  }

  bool pin_worker(int cpu) override {
    cpu_.store(cpu);
    return round_trip();
  }

 private:
  void serve() {
    for (std::uint32_t seen = 0;; ++seen) {
      while (request_.load(std::memory_order_acquire) == seen) Policy::wait(request_, seen);
      if (int cpu = cpu_.exchange(-1); cpu >= 0) pin(cpu);
      answer_.store(seen + 1, std::memory_order_release);
      Policy::wake(answer_);
      if (stop_.load(std::memory_order_relaxed)) return;
    }
  }

  alignas(64) std::atomic<std::uint32_t> request_ = 0;
  alignas(64) std::atomic<std::uint32_t> answer_ = 0;
  alignas(64) std::atomic<int> cpu_ = -1;
  std::atomic<bool> stop_ = false;
  std::thread partner_;  // last: it reads the others
};

struct by_futex {
  static void wait(std::atomic<std::uint32_t>& word, std::uint32_t seen) { futex_wait(word, seen); }
  static void wake(std::atomic<std::uint32_t>& word) { futex_wake(word); }
};

struct by_spinning {
  static void wait(std::atomic<std::uint32_t>&, std::uint32_t) {}
  static void wake(std::atomic<std::uint32_t>&) {}
};

}  // namespace

std::unique_ptr<system> make_futex(int) { return std::make_unique<ping_pong<by_futex>>(); }

std::unique_ptr<system> make_spin(int) { return std::make_unique<ping_pong<by_spinning>>(); }

}  // namespace bench::submit
