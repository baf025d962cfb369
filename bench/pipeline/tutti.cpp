// tutti: pipeline on a pool of the asked number of threads.
#include <optional>
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/pipeline.hpp>

#include "systems.hpp"

namespace bench::pipeline {

namespace {

class tutti_system : public system {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}
  void run(const stream_spec& stream) override {
    adder last(stream);
    const auto add = [&last](std::uint64_t x) { last.add(x); };
    stream.in_order ? send(stream, tutti::serial_in_order(add)) : send(stream, tutti::serial_out_of_order(add));
    last.check();
  }
  // With more than one thread the caller works along, in the place of one worker. That would make two of one thread.
  void on_home_thread(const std::function<void()>& repetition) override {
    if (pool_.concurrency() > 1) return repetition();
    pool_.submit(std::cref(repetition)).get();
  }

 private:
  template <class Last>
  void send(const stream_spec& stream, Last last) {
    auto source = [x = std::uint64_t{0}, n = stream.items]() mutable {
      return x < n ? std::optional(x++) : std::nullopt;
    };
    auto middle = tutti::in_parallel([rounds = stream.rounds](std::uint64_t x) { return stage(x, rounds); });
    if (stream.parallel_stages == 1) {
      tutti::pipeline(pool_, {.tokens = stream.tokens}, source, middle, last);
    } else {
      tutti::pipeline(pool_, {.tokens = stream.tokens}, source, middle, middle, middle, last);
    }
  }

  tutti::thread_pool pool_;
};

}  // namespace

void add_tutti(contenders& to, int threads) { to.emplace_back("tutti", std::make_unique<tutti_system>(threads)); }

}  // namespace bench::pipeline
