// running_settings: of the task that runs on this thread, which is not its message's own where one task calls another.
#pragma once

namespace tutti::cluster {

struct task_settings;

namespace detail {

/// Makes `settings` those of the task that runs on this thread, while it lives.
class running_settings {
 public:
  explicit running_settings(const task_settings& settings) noexcept;
  ~running_settings();
  running_settings(const running_settings&) = delete;
  running_settings& operator=(const running_settings&) = delete;

 private:
  const task_settings* before_;
};

}  // namespace detail
}  // namespace tutti::cluster
