// last_look: what a primitive's destructor does first: nobody may still use what is about to be gone.
#pragma once
#include <tutti/core/wait_list.hpp>

#include <string_view>

namespace tutti::detail {

/// How errors name a primitive: `mutex "accounts"`, or its kind alone when it has no name.
std::string primitive_text(const char* kind, std::string_view name);

/// Prints `tutti: fatal: mutex "accounts" destroyed while 2 wait for it` and aborts when somebody waits in `waiters`;
/// likewise, with `state` instead ("it is locked"), when that is not null. Otherwise returns once nobody is inside the
/// list's lock any more: who made the last user go on may still be leaving it, and touches nothing afterwards.
void last_look(wait_list& waiters, const char* kind, std::string_view name, const char* state = nullptr) noexcept;

}  // namespace tutti::detail
