// message_sleep: the real waiting between processes: for a descriptor, with all that belongs to a blocked thread.
#pragma once
#include <tutti/core/blocking_wait.hpp>
#include <tutti/process/message_forms.hpp>

#include <optional>
#include <string_view>

namespace tutti::detail {

/// While it lives, the thread counts as blocked. Throws would_block and pool_exhausted, unless it is counted already.
class message_sleep {
 public:
  /// `source` and `kind`: what is waited for, as wait_target has it; `name` must outlive this.
  message_sleep(const void* source, const message_wait& how, const char* kind, std::string_view name = {})
      : target_{source, wait_rule::unknown, kind, name},
        how_{.deadline = how.until ? &*how.until : nullptr,
             .here = how.here,
             .what = how.what,
             .target = &target_,
             .instead = "a pool's submit() of it"} {
    if (!how.is_counted) blocked_.emplace(source, how_);
  }

 private:
  const wait_target target_;
  const wait_how how_;
  std::optional<blocking_wait> blocked_;
};

/// Until one of the poll `events`, or the other side's end, shows at `fd`. False when the time is up. Throws os_error.
bool poll_until(int fd, short events, const message_wait& how);

}  // namespace tutti::detail
