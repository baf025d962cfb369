// inline_executor: runs each call at once, on the thread that hands it in.
#pragma once
#include <tutti/core/local_executor.hpp>

#include <atomic>

namespace tutti {

/// Runs calls inside submit; futures come back done. For debugging, for tests, and as the serial baseline. Thread-safe:
/// several threads run their calls side by side.
class inline_executor final : public local_executor {
 public:
  inline_executor();

  /// 1.
  int concurrency() const override { return 1; }
  /// Nothing is ever pending; from then on submit throws `closed`.
  void shutdown(shutdown_mode mode = finish) override;
  std::unique_ptr<executor> share() override;

 protected:
  void start(call work) override;

 private:
  inline_executor(std::uint64_t id, std::shared_ptr<std::atomic<bool>> closed);
  std::shared_ptr<std::atomic<bool>> closed_;
};

}  // namespace tutti
