// pools: the thread pools of the process.
#pragma once
#include <tutti/core/scheduler.hpp>

#include <memory>
#include <vector>

namespace tutti {

/// Whether it is default_pool()'s, which is not made for the asking.
bool is_default_pool(const scheduler& pool) noexcept;

/// Makes a pool visible to dump while it lives.
void register_pool(const std::shared_ptr<scheduler>& pool);
/// All pools alive, oldest first.
std::vector<std::shared_ptr<scheduler>> all_pools();

}  // namespace tutti
