// busy_helpers: io's threads for calls that block, all of them blocked: what is handed to them waits.
#pragma once
#include <latch>
#include <tutti/core/future.hpp>
#include <tutti/io/helpers.hpp>
#include <vector>

namespace tutti_test {

/// All helpers, busy until it ends.
class busy_helpers {
 public:
  busy_helpers() {
    for (int i = 0; i < tutti::io::detail::helpers().concurrency(); ++i) {
      held_.push_back(tutti::io::detail::helpers().submit([this] {
        all_here_.count_down();
        go_.wait();
      }));
    }
    all_here_.wait();
  }
  ~busy_helpers() {
    go_.count_down();
    for (auto& held : held_) held.get();
  }
  busy_helpers(const busy_helpers&) = delete;
  busy_helpers& operator=(const busy_helpers&) = delete;

 private:
  std::latch all_here_{tutti::io::detail::helpers().concurrency()}, go_{1};
  std::vector<tutti::future<void>> held_;
};

}  // namespace tutti_test
