// stream_plan: the standard streams of a process to be started, as descriptors.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/launch_request.hpp>
#include <tutti/process/stdio.hpp>

#include <string>
#include <vector>

namespace tutti {

/// Opens files and makes pipes. Both live until the request was sent; then only our ends of the pipes are kept.
class stream_plan {
 public:
  /// Fills in the streams of `request`. `name`: of the process, for errors. Throws os_error and std::invalid_argument.
  stream_plan(const stdio& in, const stdio& out, const stdio& err, const std::string& name,
              detail::launch_request& request);

  /// The descriptors that the request refers to, from 0 on.
  [[nodiscard]] const std::vector<int>& handles() const noexcept { return handles_; }
  /// Our end of the pipe of stream `n`, or none.
  [[nodiscard]] unique_fd take_pipe(int n) noexcept { return std::move(pipes_[n]); }

 private:
  std::vector<int> handles_;
  std::vector<unique_fd> opened_;
  unique_fd pipes_[3];
};

}  // namespace tutti
