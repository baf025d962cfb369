#include <tutti/base/at_fork.hpp>
#include <tutti/cluster/inside/brokers/redis_clients.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <thread>
#include <utility>

namespace tutti::cluster::detail {

redis_client::redis_client(const broker_url& where, std::chrono::milliseconds patience,
                           std::span<const redis_script* const> scripts)
    : connection(where, patience, scripts), name(new_uuid()) {}

redis_clients::redis_clients(broker_url where, broker_options options, std::vector<const redis_script*> scripts)
    : where_(std::move(where)), options_(options), scripts_(std::move(scripts)), forks_(forks_before_this_process()) {}

std::unique_ptr<redis_client> redis_clients::take() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(forks_, forks_before_this_process()) != forks_before_this_process()) idle_.clear();
  if (idle_.empty()) {
    // Half of the time, so that one who waits for a connection that has fallen silent has another one to try.
    const auto half = std::max(options_.patience / 2, std::chrono::milliseconds(50));
    return std::make_unique<redis_client>(where_, half, scripts_);
  }
  std::unique_ptr<redis_client> last = std::move(idle_.back());
  idle_.pop_back();
  return last;
}

void redis_clients::give_back(std::unique_ptr<redis_client> client) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(client));
}

void redis_clients::run(const std::function<void(redis_client&)>& work) {
  const auto late = redis_connection::clock::now() + options_.patience;
  redis_backoff backoff;
  std::unique_ptr<redis_client> client = take();
  for (;;) {
    try {
      client->connection.open();
      work(*client);
      give_back(std::move(client));
      return;
    } catch (const redis_lost& lost) {
      client->connection.close();  // answers that it still owes would be taken for those of the next attempt
      client->declared.clear();    // it may be another Redis, or one that has lost what it knew
      client->lists.clear();
      const auto now = redis_connection::clock::now();
      if (now >= late) {
        throw broker_error(std::string(lost.what()) + "; tried for " + std::to_string(options_.patience.count()) +
                           " ms");
      }
      std::this_thread::sleep_for(
          std::min<redis_connection::clock::duration>(backoff.next(), std::max(late - now, {})));
    } catch (const broker_error&) {
      if (client->connection.is_open()) give_back(std::move(client));  // it has read all answers
      throw;
    }
  }
}

std::chrono::milliseconds redis_backoff::next() noexcept {
  return std::exchange(next_, std::min(2 * next_, std::chrono::milliseconds(500)));
}

}  // namespace tutti::cluster::detail
