#include <tutti/core/inline_executor.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/home.hpp>

namespace tutti {
namespace {

struct run_at_once final : call_target {
  void start(call work) override { std::move(work).run(); }
};

// Continuations of inline futures run inline as well, whichever inline executor they came from.
std::uint64_t inline_home() {
  static const std::uint64_t id = [] {
    static auto* const target = new std::shared_ptr<call_target>(std::make_shared<run_at_once>());
    const std::uint64_t made = new_executor_id();
    register_home(made, *target);
    return made;
  }();
  return id;
}

}  // namespace

inline_executor::inline_executor()
    : local_executor(inline_home()), closed_(std::make_shared<std::atomic<bool>>(false)) {}

void inline_executor::shutdown(shutdown_mode) { closed_->store(true); }

std::unique_ptr<executor> inline_executor::share() {
  auto other = std::make_unique<inline_executor>();
  other->closed_ = closed_;
  return other;
}

void inline_executor::start(call work) {
  if (closed_->load()) throw closed("inline_executor is shut down and takes no more work");
  std::move(work).run();
}

}  // namespace tutti
