// Boost.Asio's thread_pool: no task may wait for another there, so it runs the leaves as a flat list.
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <latch>

#include "systems.hpp"

namespace bench::fork_join {

namespace {

class asio_system : public system {
 public:
  explicit asio_system(int threads) : pool_(static_cast<std::size_t>(threads)) {}
  std::uint64_t fib(int) override { return 0; }
  std::uint64_t skynet(int) override { return 0; }
  void tree(int leaves, const std::function<void()>& leaf) override {
    std::latch done(leaves);
    for (int i = 0; i < leaves; ++i) {
      boost::asio::post(pool_, [&] {
        leaf();
        done.count_down();
      });
    }
    done.wait();
  }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace

std::unique_ptr<system> make_asio(int threads) { return std::make_unique<asio_system>(threads); }

}  // namespace bench::fork_join
