// Boost.Asio's thread_pool: four contiguous shares per thread, the caller working on its own ones.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <latch>

#include "systems.hpp"

namespace bench::reduce {

namespace {

class asio_system : public system {
 public:
  explicit asio_system(int threads)
      : threads_(static_cast<std::size_t>(threads)), pool_(threads_ > 1 ? threads_ - 1 : 1) {}
  double sum_all(const double* data, std::size_t n) override {
    return shares<double>(
        n, [data](std::size_t first, std::size_t count) { return sum(data + first, count); },
        [](double a, double b) { return a + b; });
  }
  std::uint64_t largest_of(std::size_t n, int rounds) override {
    return shares<std::uint64_t>(
        n, [rounds](std::size_t first, std::size_t count) { return largest(first, count, rounds); },
        [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); });
  }

 private:
  template <class Value, class Part, class Join>
  Value shares(std::size_t n, Part part, Join join) {
    std::size_t count = threads_ == 1 ? 1 : std::min(n, threads_ * 4), mine = count / threads_;
    std::vector<Value> values(count);
    auto share = [&](std::size_t k) { values[k] = part(n * k / count, n * (k + 1) / count - n * k / count); };
    std::latch done(static_cast<std::ptrdiff_t>(count - mine));
    for (std::size_t k = mine; k < count; ++k) {
      boost::asio::post(pool_, [&, k] {
        share(k);
        done.count_down();
      });
    }
    for (std::size_t k = 0; k < mine; ++k) share(k);
    done.wait();
    Value result = values[0];
    for (std::size_t k = 1; k < count; ++k) result = join(result, values[k]);
    return result;
  }

  std::size_t threads_;
  boost::asio::thread_pool pool_;
};

}  // namespace

void add_asio(contenders& to, int threads) { to.emplace_back("asio", std::make_unique<asio_system>(threads)); }

}  // namespace bench::reduce
