// send_json: what send and signature make of options alike.
#pragma once
#include <tutti/cluster/send_options.hpp>

#include <optional>
#include <string>

namespace tutti::cluster::detail {

/// Throws std::invalid_argument for what makes no sense.
void check_options(const send_options& options);
/// When it is to begin; nothing for at once.
[[nodiscard]] std::optional<wall_time> start_time(const send_options& options);
[[nodiscard]] std::string header_json(const extra_header& header);

/// The task that runs on this thread, whose child is what it sends; empty outside tasks.
struct caller_task {
  std::string root_id, id;
};
[[nodiscard]] caller_task calling_task();

}  // namespace tutti::cluster::detail
