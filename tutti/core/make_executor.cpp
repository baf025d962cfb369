#include <tutti/core/make_executor.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/redacted.hpp>

#include <algorithm>
#include <charconv>
#include <mutex>

namespace tutti {
namespace {

// The kinds of the whole library, so that a missing one can be told from a misspelt one.
constexpr executor_kind all_kinds[] = {
    {"inline", "inline", "tutti::core", "at once, on the calling thread"},
    {"threads", "threads[:N]", "tutti::core", "threads of this process"},
    {"processes", "processes[:N]", "tutti::process", "worker processes, isolated from this one"},
    {"ranks", "ranks", "tutti::mpi", "the ranks of an MPI program"},
    {"redis", "redis://", "tutti::cluster", "workers behind a Redis server, Celery's protocol"},
    {"redis+socket", "redis+socket://", "tutti::cluster", "the same through a socket of this machine"},
    {"amqp", "amqp://", "tutti::cluster", "workers behind RabbitMQ, Celery's protocol"},
    {"sqlite", "sqlite:", "tutti::cluster", "workers of this machine behind a file"},
    {"memory", "memory://", "tutti::cluster", "a worker of this process, as if it were elsewhere"},
};

struct registered {
  std::mutex mutex;
  std::vector<executor_kind> kinds{std::begin(all_kinds), std::end(all_kinds)};
};

std::string quoted(std::string_view spec) {
  std::string text = "executor \"";
  text += detail::redacted(spec).substr(0, 80);
  return text += '"';
}

}  // namespace

void register_executor(const executor_kind& kind) {
  auto& all = process_wide<registered>();
  const std::lock_guard lock(all.mutex);
  const auto at =
      std::find_if(all.kinds.begin(), all.kinds.end(), [&](const auto& k) { return k.scheme == kind.scheme; });
  if (at == all.kinds.end()) {
    all.kinds.push_back(kind);
  } else {
    *at = kind;
  }
}

std::vector<executor_kind> executor_kinds() {
  auto& all = process_wide<registered>();
  const std::lock_guard lock(all.mutex);
  return all.kinds;
}

std::unique_ptr<executor> make_executor(std::string_view spec) {
  const std::string_view scheme = spec.substr(0, spec.find(':'));
  std::string known;
  for (const executor_kind& kind : executor_kinds()) {
    if (kind.scheme != scheme) {
      known += (known.empty() ? "" : ", ") + std::string(kind.usage);
      continue;
    }
    if (kind.make == nullptr) {
      throw not_registered(quoted(spec) + " is in " + std::string(kind.module) + ", which this program does not link");
    }
    return kind.make(spec);
  }
  throw bad_spec((spec.empty() ? "empty executor name" : "unknown " + quoted(spec)) + "; known: " + known);
}

int count_in_spec(std::string_view spec, int most) {
  const std::size_t colon = spec.find(':');
  if (colon == std::string_view::npos) return 0;
  const std::string_view text = spec.substr(colon + 1);
  int count = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (failed != std::errc() || end != text.data() + text.size() || count < 1 || count > most) {
    throw bad_spec(quoted(spec) + ": \"" + detail::redacted(text).substr(0, 80) + "\" is not a count from 1 to " +
                   std::to_string(most));
  }
  return count;
}

}  // namespace tutti
