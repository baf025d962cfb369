#include <algorithm>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/redis_watch.hpp>
#include <utility>

namespace tutti::cluster::detail {

namespace {

constexpr std::string_view prefix = "celery-task-meta-";
constexpr std::size_t ids_at_once = 500;       // in one command, and asked for in one
constexpr std::size_t results_at_once = 1000;  // given out by one next()

std::chrono::milliseconds enough(std::chrono::milliseconds patience) {
  return std::max(patience, std::chrono::milliseconds(100));
}

}  // namespace

std::string result_key(std::string_view id) { return std::string(prefix) + std::string(id); }

void add_result_keys(redis_request& request, std::string_view command, std::span<const std::string> ids) {
  while (!ids.empty()) {
    const std::span<const std::string> some = ids.first(std::min(ids.size(), ids_at_once));
    request.begin(1 + some.size());
    request.word(command);
    for (const std::string& id : some) request.word(result_key(id));
    ids = ids.subspan(some.size());
  }
}

redis_watch::redis_watch(const broker_url& where, const broker_options& options)
    : name_(where.redacted()), line_(where, enough(options.patience)), asking_(where, enough(options.patience)) {}

void redis_watch::add(std::span<const std::string> ids) {
  {
    const std::lock_guard lock(mutex_);
    wanted_.insert(ids.begin(), ids.end());
    added_.insert(added_.end(), ids.begin(), ids.end());
  }
  wake_.nudge();
}

void redis_watch::remove(std::span<const std::string> ids) {
  const std::lock_guard lock(mutex_);
  for (const std::string& id : ids)
    if (wanted_.erase(id) != 0) removed_.push_back(id);  // unsubscribed with many others
}

// Throws redis_lost, or broker_error when Redis refuses.
void redis_watch::subscribe() {
  std::vector<std::string> more, fewer;
  const bool anew = !line_.is_open();
  if (anew) {
    confirmed_.clear();
    line_.open();
  }
  {
    const std::lock_guard lock(mutex_);
    if (anew) {
      more.assign(wanted_.begin(), wanted_.end());
      added_.clear();
      removed_.clear();
    } else {
      more.swap(added_);
      std::erase_if(more, [this](const std::string& id) { return wanted_.count(id) == 0; });
      if (removed_.size() >= ids_at_once) fewer.swap(removed_);
      std::erase_if(fewer, [this](const std::string& id) { return wanted_.count(id) != 0; });
    }
  }
  if (more.empty() && fewer.empty()) return;
  redis_request request;
  // In this order one that was removed and added again meanwhile stays: it is in no more than one of the two.
  add_result_keys(request, "UNSUBSCRIBE", fewer);
  add_result_keys(request, "SUBSCRIBE", more);
  line_.send(request);
}

void redis_watch::hear(found& results) {
  while (results.size() < results_at_once) {
    std::optional<redis_heard> heard = line_.hear_now();
    if (!heard) return;
    if (heard->what == redis_heard::kind::other || heard->channel.size() < prefix.size()) continue;
    heard->channel.erase(0, prefix.size());
    if (heard->what == redis_heard::kind::subscribed) {
      confirmed_.push_back(std::move(heard->channel));
    } else {
      results.emplace_back(std::move(heard->channel), std::move(heard->text));
    }
  }
}

// What is stored for those that were confirmed.
void redis_watch::ask(found& results) {
  while (!confirmed_.empty() && results.size() < results_at_once) {
    asking_.open();
    const std::size_t n = std::min(confirmed_.size(), ids_at_once);
    redis_request request;
    request.begin(1 + n);
    request.word("MGET");
    for (std::size_t i = 0; i < n; ++i) request.word(result_key(confirmed_[i]));
    const std::vector<redis_reply> replies = asking_.run(request);
    refused_ = false;
    for (std::size_t i = 0; i < n; ++i) {
      const redis_value text = replies.front().value()[i];
      if (!text.is_nil()) results.emplace_back(std::move(confirmed_[i]), std::string(text.text()));
    }
    confirmed_.erase(confirmed_.begin(), confirmed_.begin() + static_cast<std::ptrdiff_t>(n));
  }
}

std::vector<std::pair<std::string, std::string>> redis_watch::next(std::chrono::nanoseconds patience) {
  const auto until = redis_deadline(patience);
  found results;
  for (;;) {
    try {
      subscribe();
      hear(results);
      ask(results);
      backoff_.reset();
    } catch (const broker_error& e) {
      line_.close();
      asking_.close();
      // Who waits for a result would wait for ever, without a word.
      if (dynamic_cast<const redis_lost*>(&e) == nullptr && !std::exchange(refused_, true))
        log(log_level::warn,
            "the result store refuses to tell of results; its user needs SUBSCRIBE and MGET of celery-task-meta-*",
            {{"store", name_}, {"reason", e.what()}});
      if (results.empty()) wake_.wait(std::min(until, std::chrono::steady_clock::now() + backoff_.next()));
    }
    if (wake_.take() || !results.empty() || std::chrono::steady_clock::now() >= until) return results;
    if (!line_.is_open()) continue;
    try {
      line_.wait(wake_, until);
    } catch (const broker_error&) {
      line_.close();
    }
  }
}

}  // namespace tutti::cluster::detail
