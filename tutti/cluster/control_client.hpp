// control_client: asks workers, ours and Celery's, what they do, and tells them what to do.
#pragma once
#include <tutti/cluster/app.hpp>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace tutti::cluster {

/// Sends `command` with `arguments` (a JSON object) to all workers, or those named, and collects what they answer, JSON
/// by worker's name, until all of those named have, or the time is up. Throws broker_error; decode_error for arguments
/// that are no JSON object. Thread-safe.
[[nodiscard]] std::map<std::string, std::string> ask_workers(
    const app& where, const std::string& command, const std::string& arguments = "{}",
    const std::vector<std::string>& workers = {}, std::chrono::milliseconds patience = std::chrono::seconds(1));
/// The same without waiting for answers.
void tell_workers(const app& where, const std::string& command, const std::string& arguments = "{}",
                  const std::vector<std::string>& workers = {});

}  // namespace tutti::cluster
