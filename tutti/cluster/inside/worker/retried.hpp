// retried: what a broker or a store cannot do now is tried again.
#pragma once
#include <tutti/base/error.hpp>

#include <algorithm>
#include <chrono>
#include <string>

namespace tutti::cluster {

inline constexpr std::chrono::milliseconds first_pause{20};

/// What `e` says, and what is to be done when a user of Redis' lacks a right that our scripts need.
[[nodiscard]] inline std::string reason_of(const broker_error& e) {
  std::string text = e.what();
  if (text.find("can't run this command or subcommand") != std::string::npos) {
    text += " (the user lacks a right, often +time: see the ACL line in docs/cluster.md)";
  }
  return text;
}

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
