#include <tutti/cluster/inside/worker/prefetch.hpp>

#include <algorithm>

namespace tutti::cluster {

void prefetch_size::took(std::chrono::nanoseconds time) noexcept {
  constexpr double weight = 0.1;
  const double ns = static_cast<double>(std::max(time, std::chrono::nanoseconds(1)).count());
  mean_ = mean_ < 0 ? ns : mean_ + weight * (ns - mean_);
  adapt();
}

void prefetch_size::too_many() noexcept {
  mean_ = std::max(mean_, static_cast<double>(std::chrono::nanoseconds(patience).count()));
  extra_ = 0;
}

void prefetch_size::adapt() noexcept {
  const double wanted =
      static_cast<double>(std::chrono::nanoseconds(busy).count()) / mean_ * static_cast<double>(slots_);
  // What was quick once need not be again: it doubles, and falls at once.
  const std::size_t ramp = 2 * extra_ + 2;
  extra_ = std::min({wanted >= static_cast<double>(most) ? most : static_cast<std::size_t>(wanted), most, ramp});
}

}  // namespace tutti::cluster
