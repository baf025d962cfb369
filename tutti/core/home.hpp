// home: finding the executor that a future came from, which may be gone by now.
#pragma once
#include <tutti/core/call.hpp>

#include <cstdint>
#include <memory>

namespace tutti {

/// The working part of an executor: what still accepts calls when only its number is known.
class call_target {
 public:
  /// Takes a call. Throws `closed` after shutdown.
  virtual void start(call work) = 0;

 protected:
  ~call_target() = default;
};

/// A number no other executor of this process ever had. 0 is none's.
std::uint64_t new_executor_id() noexcept;

/// Makes `target` findable under `id` while it lives.
void register_home(std::uint64_t id, std::weak_ptr<call_target> target);
void forget_home(std::uint64_t id) noexcept;

/// Starts `work` on executor `id`, or on default_pool() when `id` is 0; completes it with `closed` when that executor
/// is shut down or gone. Never throws.
void start_at_home(std::uint64_t id, call work) noexcept;

}  // namespace tutti
