// Boost.Asio's thread_pool: posts and a latch.
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <latch>

#include "systems.hpp"

namespace bench::idle {

namespace {

class asio_system : public system {
 public:
  explicit asio_system(int threads) : pool_(static_cast<std::size_t>(threads)) {}
  void run(std::size_t count) override {
    std::latch done(static_cast<std::ptrdiff_t>(count));
    for (std::size_t i = 0; i < count; ++i) boost::asio::post(pool_, [&done] { done.count_down(); });
    done.wait();
  }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace

std::unique_ptr<system> make_asio(int threads) { return std::make_unique<asio_system>(threads); }

}  // namespace bench::idle
