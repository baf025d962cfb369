// Boost.Asio's thread_pool: post, and post with use_future.
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <vector>

#include "../harness/machine.hpp"
#include "systems.hpp"

namespace bench::submit {

namespace {

class asio_system : public system {
 public:
  explicit asio_system(int threads) : pool_(static_cast<std::size_t>(threads)) {}

  bool post_outside(std::size_t count) override {
    for (std::size_t i = 0; i < count; ++i) boost::asio::post(pool_, [this] { done_.count(); });
    done_.wait(expected_ += count);
    return true;
  }

  bool post_inside(std::size_t count) override {
    boost::asio::post(pool_, [this, count] {
      for (std::size_t i = 0; i < count; ++i) boost::asio::post(pool_, [this] { done_.count(); });
    });
    done_.wait(expected_ += count);
    return true;
  }

  bool futures(std::size_t count) override {
    std::vector<std::future<void>> results;
    results.reserve(count);
    for (std::size_t i = 0; i < count; ++i) results.push_back(submit([] {}));
    for (auto& r : results) r.get();
    return true;
  }

  bool round_trip() override {
    submit([] {}).get();
    return true;
  }

  bool pin_worker(int cpu) override {
    submit([cpu] { pin(cpu); }).get();
    return true;
  }

 private:
  template <class Task>
  std::future<void> submit(Task task) {
    return boost::asio::post(pool_, boost::asio::use_future(std::move(task)));
  }

  tally done_;
  std::size_t expected_ = 0;
  boost::asio::thread_pool pool_;
};

}  // namespace

std::unique_ptr<system> make_asio(int threads) { return std::make_unique<asio_system>(threads); }

}  // namespace bench::submit
