// Boost.Asio's thread_pool: four contiguous shares per thread, the caller working on the first.
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <latch>

#include "systems.hpp"

namespace bench::parallel_for {

namespace {

class asio_system : public system_of<asio_system> {
 public:
  explicit asio_system(int threads)
      : threads_(static_cast<std::size_t>(threads)), pool_(threads_ > 1 ? threads_ - 1 : 1) {}
  bool nests() const override { return false; }
  template <class Body>
  void loop(std::size_t n, const Body& each) {
    std::size_t shares = threads_ == 1 ? 1 : std::min(n, threads_ * 4);
    std::latch done(static_cast<std::ptrdiff_t>(shares - shares / threads_));
    auto share = [&](std::size_t k) {
      Body body = each;
      for (std::size_t i = n * k / shares, end = n * (k + 1) / shares; i < end; ++i) body(i);
    };
    std::size_t mine = shares / threads_;
    for (std::size_t k = mine; k < shares; ++k) {
      boost::asio::post(pool_, [&, k] {
        share(k);
        done.count_down();
      });
    }
    for (std::size_t k = 0; k < mine; ++k) share(k);
    done.wait();
  }

 private:
  std::size_t threads_;
  boost::asio::thread_pool pool_;
};

}  // namespace

void add_asio(contenders& to, int threads) { to.emplace_back("asio", std::make_unique<asio_system>(threads)); }

}  // namespace bench::parallel_for
