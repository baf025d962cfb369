// tutti: the client and the worker of the cluster benchmark that are ours.
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/signature.hpp>
#include <tutti/cluster/worker.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../harness/clock.hpp"
#include "../harness/harness.hpp"
#include "systems.hpp"

namespace bench::cluster {

namespace {

namespace cluster = tutti::cluster;
using namespace std::chrono_literals;

constexpr auto patience = 240s;

}  // namespace

/// What the workers run; celery_tasks.py has the same.
namespace calls {

void nothing() {}
void quiet() {}
int add(int a, int b) { return a + b; }
std::string echo(std::string text) { return text; }
double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

}  // namespace calls

namespace {

const cluster::function nothing{tutti::fn<calls::nothing>, {.name = "bench.nothing"}};
const cluster::function quiet{tutti::fn<calls::quiet>, {.name = "bench.quiet", .ignore_result = true}};
const cluster::function add{tutti::fn<calls::add>, {.name = "bench.add"}};
const cluster::function echo{tutti::fn<calls::echo>, {.name = "bench.echo"}};
const cluster::function now{tutti::fn<calls::now>, {.name = "bench.now"}};

double seconds_since(double start) { return (now_ns() - start) * 1e-9; }

cluster::worker_options options_for(const std::string& pool) {
  return {.concurrency = 2, .pool = cluster::parse_worker_pool(pool)};
}

// One queue's side of a client.
class client {
 public:
  client(const std::string& url, const std::string& queue) : app_({.broker = url, .queue = queue}) {
    if (!url.starts_with("memory:")) return;
    worker_ = std::make_unique<cluster::worker>(app_, options_for("threads"));
    worker_->start();
  }

  std::vector<double> answer(const std::string& what, std::size_t a, std::size_t b) {
    if (what == "one") return one();
    if (what == "each") return each(a);
    if (what == "bulk") return bulk(a);
    if (what == "trip") return trip(a);
    if (what == "echo") return echoes(a, b);
    if (what == "backlog") return backlog(a);
    if (what == "drained") return drained(a);
    throw std::invalid_argument("no case " + what);
  }

 private:
  cluster::send_options here() const { return {.where = &app_}; }

  std::vector<double> one() {
    const double start = now_ns();
    if (add.apply_async(here(), 2, 3).get(patience) != 5) throw std::runtime_error("2 + 3 is not 5");
    return {seconds_since(start)};
  }

  std::vector<double> each(std::size_t count) {
    const double start = now_ns();
    std::vector<cluster::async_result<int>> results;
    results.reserve(count);
    for (std::size_t i = 0; i < count; ++i) results.push_back(add.apply_async(here(), static_cast<int>(i), 1));
    const double sending = seconds_since(start);
    for (std::size_t i = 0; i < count; ++i) {
      if (results[i].get(patience) != static_cast<int>(i) + 1) throw std::runtime_error("a wrong sum");
    }
    const double all = seconds_since(start);
    for (const auto& result : results) result.forget();
    return {static_cast<double>(count) / all, static_cast<double>(count) / sending};
  }

  std::vector<double> bulk(std::size_t count) {
    const double start = now_ns();
    std::vector<cluster::signature> sums;
    sums.reserve(count);
    for (std::size_t i = 0; i < count; ++i) sums.push_back(add.s(static_cast<int>(i), 1));
    const auto result = cluster::group(sums).apply_async<int>(here());
    const double sending = seconds_since(start);
    std::vector<int> expected(count);
    std::iota(expected.begin(), expected.end(), 1);
    if (result.get(patience) != expected) throw std::runtime_error("wrong sums");
    const double all = seconds_since(start);
    result.forget();
    return {static_cast<double>(count) / all, static_cast<double>(count) / sending, all * 1e3};
  }

  std::vector<double> trip(std::size_t count) {
    std::vector<double> took;
    for (std::size_t i = 0; i < count; ++i) {
      const double start = now_ns();
      const auto result = nothing.apply_async(here());
      result.get(patience);
      took.push_back((now_ns() - start) * 1e-3);
      result.forget();
    }
    return {quantile(took), quantile(took, 0.99)};
  }

  std::vector<double> echoes(std::size_t size, std::size_t count) {
    const std::string text(size, 'x');
    double start = now_ns();
    for (std::size_t i = 0; i < count; ++i) {
      const auto result = echo.apply_async(here(), text);
      if (result.get(patience).size() != size) throw std::runtime_error("a wrong text");
      result.forget();
    }
    const double alone = seconds_since(start);
    start = now_ns();
    std::vector<cluster::async_result<std::string>> results;
    for (std::size_t i = 0; i < count; ++i) results.push_back(echo.apply_async(here(), text));
    for (const auto& result : results) {
      if (result.get(patience).size() != size) throw std::runtime_error("a wrong text");
    }
    const double together = seconds_since(start);
    for (const auto& result : results) result.forget();
    return {alone * 1e6 / static_cast<double>(count), static_cast<double>(count) / together};
  }

  std::vector<double> backlog(std::size_t count) {
    marks_.clear();
    marks_.push_back(now.apply_async(here()));
    constexpr std::size_t most = 10'000;  // of a group: it is one message to the broker
    for (std::size_t left = count; left > 0;) {
      const std::size_t some = std::min(left, most);
      const std::vector<cluster::signature> tasks(some, quiet.s());
      static_cast<void>(cluster::group(tasks).apply_async<void>(here()));
      left -= some;
    }
    marks_.push_back(now.apply_async(here()));
    return {0};
  }

  std::vector<double> drained(std::size_t count) {
    const double begun = marks_.at(0).get(patience), ended = marks_.at(1).get(patience);
    for (const auto& mark : marks_) mark.forget();
    return {(ended - begun) * 1e6 / static_cast<double>(count)};
  }

  cluster::app app_;
  std::unique_ptr<cluster::worker> worker_;  // memory:// only: the others' are processes
  std::vector<cluster::async_result<double>> marks_;
};

std::string one_line(std::string text) {
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

}  // namespace

int serve_client(const std::string& url) {
  std::map<std::string, std::unique_ptr<client>> clients;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string queue, what;
    std::size_t a = 0, b = 0;
    in >> queue >> what >> a >> b;
    try {
      auto& asked = clients[queue];
      if (asked == nullptr) asked = std::make_unique<client>(url, queue);
      for (const double value : asked->answer(what, a, b)) std::cout << value << ' ';
      std::cout << std::endl;
    } catch (const std::exception& e) {
      std::cout << "error " << one_line(e.what()) << std::endl;
    }
  }
  return 0;
}

int run_worker(const std::string& url, const std::string& queue, const std::string& pool) {
  cluster::worker_options options = options_for(pool);
  options.handle_signals = true;
  return cluster::worker(cluster::app({.broker = url, .queue = queue}), options).run();
}

}  // namespace bench::cluster
