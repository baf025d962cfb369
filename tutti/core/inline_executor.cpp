#include <tutti/core/inline_executor.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/home.hpp>

namespace tutti {
namespace {

struct run_at_once final : call_target {
  void start(call work) override { std::move(work).run(); }
};

// Continuations of inline futures run inline as well, whichever inline executor they came from.
struct inline_home {
  inline_home() { register_home(id, target); }
  const std::uint64_t id = new_executor_id();
  const std::shared_ptr<call_target> target = std::make_shared<run_at_once>();
};

}  // namespace

bool is_inline_home(std::uint64_t id) noexcept { return id == process_wide<inline_home>().id; }

inline_executor::inline_executor() : inline_executor(new_executor_id(), std::make_shared<std::atomic<bool>>(false)) {}
inline_executor::inline_executor(std::uint64_t id, std::shared_ptr<std::atomic<bool>> closed)
    : local_executor(id, process_wide<inline_home>().id), closed_(std::move(closed)) {}

void inline_executor::shutdown(shutdown_mode) { closed_->store(true); }

std::unique_ptr<executor> inline_executor::share() {
  return std::unique_ptr<executor>(new inline_executor(id(), closed_));
}

void inline_executor::start(call work) {
  if (closed_->load()) throw closed("inline_executor is shut down and takes no more work");
  std::move(work).run();
}

}  // namespace tutti
