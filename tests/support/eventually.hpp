// eventually: waits for what another thread, process or server brings about.
#pragma once
#include <chrono>
#include <thread>

namespace tutti_test {

/// True as soon as `holds()` is; false when that takes longer than half a minute.
template <class Condition>
bool eventually(Condition&& holds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace tutti_test
