// tutti: arrays by handle, queues, channels and counters between processes.
#include <tutti/process/process_channel.hpp>
#include <tutti/process/process_queue.hpp>
#include <tutti/process/shared_array.hpp>
#include <tutti/process/shared_value.hpp>

#include <stdexcept>
#include <string>
#include <utility>

#include "../harness/clock.hpp"
#include "../harness/machine.hpp"
#include "tutti.hpp"

namespace bench::process_pool {

namespace {
constexpr std::size_t blob_size = 1'000'000;
}

/// What the workers run.
namespace calls {

void nothing_shared() {}
void pin_sender(int cpu) { pin(cpu); }

tutti::shared_array<double> touch(tutti::shared_array<double> array) {
  array[0] += 1;
  array[array.size() - 1] += 1;
  return array;
}

void add_ones(tutti::shared_value<int> to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to.fetch_add(1);
}

template <class To>
void send_all_numbers(To& to, int count) {
  for (int i = 0; i < count; ++i) to.send(i);
}
template <class To>
void send_all_blobs(To& to, int count) {
  std::string blob(blob_size, 'x');
  for (int i = 0; i < count; ++i) {
    blob[static_cast<std::size_t>(i) % blob_size] = 'y';
    to.send(blob);
  }
}
void queue_numbers(tutti::process_queue<int> to, int count) { send_all_numbers(to, count); }
void queue_blobs(tutti::process_queue<std::string> to, int count) { send_all_blobs(to, count); }
void channel_numbers(tutti::process_writer<int> to, int count) { send_all_numbers(to, count); }
void channel_blobs(tutti::process_writer<std::string> to, int count) { send_all_blobs(to, count); }

}  // namespace calls

// ---------------------------------------------------------------- arrays, counters

namespace {

class tutti_array : public shared_doubles {
 public:
  explicit tutti_array(std::size_t size) : array_(size) {}
  void there_and_back(pool& to) override {
    tutti::process_pool& workers = dynamic_cast<pool_of_tutti&>(to).inside();
    array_ = workers.submit<calls::touch>(array_).get();
  }
  double first_and_last() const override { return array_[0] + array_[array_.size() - 1]; }

 private:
  tutti::shared_array<double> array_;
};

class tutti_counter : public counter {
 public:
  explicit tutti_counter(int processes) : pool_(make_tutti(processes)), processes_(processes) {}
  double add(std::size_t count) override {
    tutti::process_pool& workers = dynamic_cast<pool_of_tutti&>(*pool_).inside();
    total_.store(0);
    const double ns = time_ns([&] {
      std::vector<tutti::future<void>> all;
      for (int p = 0; p < processes_; ++p) all.push_back(workers.submit<calls::add_ones>(total_, count));
      for (auto& one : all) one.get();
    });
    const auto additions = static_cast<double>(processes_) * static_cast<double>(count);
    if (total_.load() != static_cast<int>(additions)) throw std::runtime_error("an addition was lost");
    return additions * 1e3 / ns;
  }

 private:
  std::unique_ptr<pool> pool_;
  int processes_;
  tutti::shared_value<int> total_{0};
};

}  // namespace

std::unique_ptr<shared_doubles> make_shared_doubles(std::size_t size) { return std::make_unique<tutti_array>(size); }
std::unique_ptr<counter> make_counter(int processes) { return std::make_unique<tutti_counter>(processes); }

// ---------------------------------------------------------------- messages

namespace {

template <class From>
void receive_numbers(From& from, std::size_t count) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += static_cast<std::uint64_t>(from.receive());
  if (total != std::uint64_t{count} * (count - 1) / 2) throw std::runtime_error("the sum is wrong");
}

template <class From>
void receive_blobs(From& from, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::string blob = from.receive();
    if (blob.size() != blob_size || blob[i % blob_size] != 'y') throw std::runtime_error("a blob is wrong");
  }
}

// A worker that sends for as long as this lives.
class tutti_sender : public sender {
 public:
  explicit tutti_sender(int cpu) : pool_({.workers = 1}, tutti::fn<calls::pin_sender>, cpu) {
    pool_.submit<calls::nothing_shared>().get();
  }

 protected:
  tutti::process_pool pool_;
};

// How much goes through in a nanosecond, from the call of `start`, which makes the worker send.
template <class Start, class Receive>
double per_ns(std::size_t amount, Start start, Receive receive) {
  const double ns = time_ns([&] {
    tutti::future<void> sent = start();
    receive();
    sent.get();
  });
  return static_cast<double>(amount) / ns;
}

class by_queue final : public tutti_sender {
 public:
  using tutti_sender::tutti_sender;
  double numbers(std::size_t count) override {
    const auto start = [&] { return pool_.submit<calls::queue_numbers>(numbers_, static_cast<int>(count)); };
    return 1e3 * per_ns(count, start, [&] { receive_numbers(numbers_, count); });
  }
  double blobs(std::size_t count) override {
    const auto start = [&] { return pool_.submit<calls::queue_blobs>(blobs_, static_cast<int>(count)); };
    return per_ns(count * blob_size, start, [&] { receive_blobs(blobs_, count); });
  }

 private:
  tutti::process_queue<int> numbers_{1024};
  tutti::process_queue<std::string> blobs_{8, 10 * blob_size};
};

class by_channel final : public tutti_sender {
 public:
  using tutti_sender::tutti_sender;
  double numbers(std::size_t count) override {
    auto ends = tutti::process_channel<int>::simplex();
    const auto start = [&] {
      return pool_.submit<calls::channel_numbers>(std::move(ends.second), static_cast<int>(count));
    };
    return 1e3 * per_ns(count, start, [&] { receive_numbers(ends.first, count); });
  }
  double blobs(std::size_t count) override {
    auto ends = tutti::process_channel<std::string>::simplex();
    const auto start = [&] {
      return pool_.submit<calls::channel_blobs>(std::move(ends.second), static_cast<int>(count));
    };
    return per_ns(count * blob_size, start, [&] { receive_blobs(ends.first, count); });
  }
};

}  // namespace

std::unique_ptr<sender> make_sender(by what, int cpu) {
  if (what == by::queue) return std::make_unique<by_queue>(cpu);
  return std::make_unique<by_channel>(cpu);
}

}  // namespace bench::process_pool
