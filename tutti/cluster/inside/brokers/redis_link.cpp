#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/redis_link.hpp>

namespace tutti::cluster::detail {

void redis_link::lost(const char* why) noexcept {
  if (state_.exchange(state::down) != state::down)
    log(log_level::warn, "the broker cannot be reached; trying again", {{"broker", name_}, {"reason", why}});
}

void redis_link::found() noexcept {
  if (state_.exchange(state::up) == state::down) log(log_level::warn, "the broker is back", {{"broker", name_}});
}

}  // namespace tutti::cluster::detail
