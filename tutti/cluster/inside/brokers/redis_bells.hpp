// redis_bells: hears when something is in one of several lists, and takes nothing.
#pragma once
#include <poll.h>

#include <chrono>
#include <memory>
#include <string>
#include <tutti/cluster/inside/brokers/redis_connection.hpp>
#include <vector>

namespace tutti::cluster::detail {

/// A blocked connection per list, on which Redis moves the list's first element onto its own place: it answers when
/// there is one, and nothing is lost with the answer. A bell that has not rung stays armed; one that Redis
/// refuses has rung, and is armed again after a while. For one thread.
class redis_bells {
 public:
  using clock = std::chrono::steady_clock;

  redis_bells(broker_url where, std::chrono::milliseconds patience);

  /// From now on these lists.
  void set_lists(const std::vector<std::string>& lists);
  /// Arms those that are not and whose time has come; one whose list has something rings at once. Throws redis_lost.
  void arm();
  /// Adds what is to be polled.
  void add_to(std::vector<::pollfd>& fds) const;
  /// Whether one has rung. Throws redis_lost.
  bool rang();
  /// When arm() has more to do; max(): never, as far as can be seen.
  [[nodiscard]] clock::time_point next() const noexcept;
  /// None is armed any more.
  void close() noexcept;

 private:
  struct bell {
    std::string list;
    std::unique_ptr<redis_connection> line;
    bool armed = false;
    clock::time_point again{};           // not armed before
    std::chrono::milliseconds pause{0};  // since it was refused; 0: it was not
  };
  const broker_url where_;
  const std::chrono::milliseconds patience_;
  std::vector<bell> bells_;
};

}  // namespace tutti::cluster::detail
