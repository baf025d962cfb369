// launchers: all launchers of this process, by program.
#pragma once
#include <tutti/process/launcher.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace tutti::detail {

/// Ended at the program's end. Thread-safe.
class launchers {
 public:
  /// Made on first use.
  static std::shared_ptr<launcher> of(const std::string& program);
  /// The near ends of the sockets: a fork must not keep them open, or the launcher processes would not see us go.
  static void opened(int socket);
  static void closed(int socket) noexcept;

 private:
  struct state {
    std::mutex mutex;
    std::uint32_t forks = 0;  // of which the launchers are known
    std::map<std::string, std::shared_ptr<launcher>> all;
    std::vector<int> sockets;
  };
  static state& current();
  static void leave_all() noexcept;
};

}  // namespace tutti::detail
