#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/broker_link.hpp>

namespace tutti::cluster::detail {

void broker_link::lost(broker_line which, const char* why) noexcept {
  const std::uint8_t before = state_.fetch_or(tried | static_cast<std::uint8_t>(which));
  if ((before & ~tried) == 0)
    log(log_level::warn, "the broker cannot be reached, or refuses; trying again",
        {{"broker", name_}, {"reason", why}});
}

void broker_link::found(broker_line which) noexcept {
  if (is_up()) return;
  state_.fetch_or(tried);
  const std::uint8_t before = state_.fetch_and(static_cast<std::uint8_t>(~static_cast<std::uint8_t>(which)));
  if ((before & ~tried) == static_cast<std::uint8_t>(which))
    log(log_level::warn, "the broker is back", {{"broker", name_}});
}

}  // namespace tutti::cluster::detail
