// retried: what a broker or a store cannot do now is tried again.
#pragma once
#include <tutti/base/error.hpp>

#include <algorithm>
#include <chrono>

namespace tutti::cluster {

inline constexpr std::chrono::milliseconds first_pause{20};

/// Calls `step()` until it goes well. After each broker_error it asks `again(error, pause)`, which waits for about as
/// long, first_pause and then up to a second; when that is false the error is thrown.
template <class Step, class Again>
void retried(Step&& step, Again&& again) {
  for (std::chrono::milliseconds pause = first_pause;; pause = std::min(2 * pause, std::chrono::milliseconds(1000))) {
    try {
      step();
      return;
    } catch (const broker_error& e) {
      if (!again(e, pause)) throw;
    }
  }
}

}  // namespace tutti::cluster
