#include <tutti/base/error.hpp>
#include <tutti/cluster/cluster_pool.hpp>
#include <tutti/cluster/inside/app_state.hpp>
#include <tutti/cluster/inside/cluster_core.hpp>

#include <charconv>
#include <stdexcept>
#include <utility>

namespace tutti::cluster {
namespace {

struct pool_spec {
  std::string url;
  cluster_pool_options options;
};

// The options of ours among those behind the ?, the others are the broker's.
pool_spec parse_spec(std::string_view spec) {
  pool_spec parsed;
  const std::size_t question = spec.find('?');
  parsed.url = spec.substr(0, question);
  std::string_view rest = question == spec.npos ? std::string_view() : spec.substr(question + 1);
  char separator = '?';
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    const std::string_view value = one.substr(std::min(one.find('='), one.size() - 1) + 1);
    if (one.starts_with("queue=") && !value.empty()) {
      parsed.options.queue = value;
    } else if (one.starts_with("concurrency=")) {
      const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), parsed.options.concurrency);
      if (failed != std::errc() || end != value.data() + value.size() || parsed.options.concurrency < 1) {
        throw bad_spec("executor \"" + broker_url::parse(parsed.url).redacted() +
                       "\": concurrency=" + std::string(value.substr(0, 40)) + " is not a count of calls");
      }
    } else {
      parsed.url += std::exchange(separator, '&');
      parsed.url += one;
    }
  }
  return parsed;
}

}  // namespace

cluster_pool::cluster_pool(app where, cluster_pool_options options)
    : core_(std::make_shared<detail::cluster_core>(std::move(where), std::move(options))) {}

cluster_pool::cluster_pool(std::uint64_t id, std::shared_ptr<detail::cluster_core> core)
    : executor(id), core_(std::move(core)) {
  core_->retain_handle();
}

cluster_pool::~cluster_pool() { core_->release_handle(); }

int cluster_pool::concurrency() const { return core_->concurrency(); }

void cluster_pool::shutdown(shutdown_mode mode) { core_->shutdown(mode); }

std::unique_ptr<executor> cluster_pool::share() { return std::unique_ptr<executor>(new cluster_pool(id(), core_)); }

void cluster_pool::start(call work) { core_->start(std::move(work)); }

std::unique_ptr<executor> make_cluster_pool(std::string_view spec) {
  pool_spec parsed = parse_spec(spec);
  app_options options;
  options.broker = parsed.url;
  options.result_expires = std::chrono::hours(1);  // they are dropped when they have come; this is for those left over
  try {
    return std::make_unique<cluster_pool>(result_hub_access::make_private(std::move(options)),
                                          std::move(parsed.options));
  } catch (const std::invalid_argument& e) {  // the worker that it brings with memory:// has limits
    throw bad_spec("executor \"" + broker_url::parse(parsed.url).redacted() + "\": " + e.what());
  }
}

}  // namespace tutti::cluster
