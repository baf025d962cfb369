#include <algorithm>
#include <charconv>
#include <deque>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/redis_clients.hpp>
#include <tutti/cluster/inside/brokers/redis_consumer.hpp>
#include <tutti/cluster/inside/brokers/redis_keys.hpp>
#include <tutti/cluster/inside/brokers/redis_scripts.hpp>
#include <tutti/cluster/wire_text.hpp>
#include <utility>

namespace tutti::cluster::detail {

namespace {

constexpr const redis_script* const receiving[] = {&receive_script};
constexpr const redis_script* const settling[] = {&settle_script, &leave_script};
constexpr std::size_t settled_at_once = 200;  // in one script, which keeps all others waiting
constexpr std::chrono::milliseconds least_patience{1000};

// Rounded up: Redis' clock is rounded down, and nothing may come too soon.
std::int64_t redis_milliseconds(wall_time when) {
  return std::max<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(when.time_since_epoch()).count(), 1);
}

bool is_refusal(const broker_error& e) noexcept { return dynamic_cast<const redis_lost*>(&e) == nullptr; }

// A user of Redis' may not have all keys.
bool is_for_good(const broker_error& e) noexcept {
  return dynamic_cast<const broker_refusal*>(&e) != nullptr || denial_of(e.what()) == redis_denial::key;
}

bool is_plain(const settlement& one) noexcept { return !one.give_back && one.follow.empty(); }

// How many from the first one on are carried out by one command.
std::size_t length_of_step(std::span<const settlement> settled) noexcept {
  const bool plain = is_plain(settled.front());
  std::size_t n = 0;
  while (n < settled.size() && n < settled_at_once && is_plain(settled[n]) == plain) ++n;
  return n;
}

}  // namespace

redis_consumer::redis_consumer(const broker_url& where, const broker_options& options, const std::string& name,
                               std::vector<std::string> queues)
    : where_(where),
      options_(options),
      id_(name + "|" + new_uuid()),
      held_(held_key(id_)),
      link_(where.redacted()),
      main_(where, std::max(options.lease, least_patience), receiving),
      bells_(where, std::max(options.lease, least_patience)),
      queues_(std::move(queues)),
      settling_(where, std::max(options.lease, least_patience), settling),
      keeper_(std::make_unique<redis_keeper>(
          where, id_, options.lease, link_,
          [this] {
            cut_off_.store(true);
            wake_.nudge();
          },
          [this](bool lapsed, std::int64_t ended) { doubt(lapsed ? next_tag_.load() - 1 : ended); })) {}

redis_consumer::~redis_consumer() {
  stop();
  keeper_.reset();
  main_.close();
  if (!link_.is_up()) return;  // its lease ends soon, and others give back what it held
  try {
    const std::lock_guard lock(settle_mutex_);
    leave();
  } catch (const broker_error&) {
    // The same.
  }
}

void redis_consumer::stop() noexcept {
  {
    const std::lock_guard lock(stop_mutex_);
    stopped_ = true;
  }
  stopping_.notify_all();
}

void redis_consumer::set_queues(std::vector<std::string> queues) {
  {
    const std::lock_guard lock(queues_mutex_);
    queues_ = std::move(queues);
    new_queues_ = true;
  }
  wake_.nudge();
}

bool redis_consumer::is_own(const std::string& queue) {
  const std::lock_guard lock(queues_mutex_);
  return std::find(queues_.begin(), queues_.end(), queue) != queues_.end();
}

// What others have changed, and a connection. Throws broker_error.
void redis_consumer::look_around() {
  if (cut_off_.exchange(false)) {
    main_.close();
    bells_.close();
    empty_ = false;
  }
  if (!adopt_queues() && main_.is_open()) return;
  main_.open();
  declare(main_, taken_from_);
}

bool redis_consumer::adopt_queues() {
  {
    const std::lock_guard lock(queues_mutex_);
    if (!std::exchange(new_queues_, false)) return false;
    taken_from_ = queues_;
  }
  lists_.clear();
  for (const std::string& queue : taken_from_)
    for (std::string& list : list_keys(queue))
      if (std::find(lists_.begin(), lists_.end(), list) == lists_.end()) lists_.push_back(std::move(list));
  bells_.set_lists(lists_);
  empty_ = false;
  return true;
}

// For those who ask which queues there are; whoever only sends and takes does without it, as when Redis is full.
// False when Redis refuses.
bool redis_consumer::declare(redis_connection& to, const std::vector<std::string>& queues) {
  if (queues.empty()) return true;
  redis_request request;
  request.add("SADD", [&] {
    std::vector<std::string> words = queues;
    words.insert(words.begin(), std::string(queues_key));
    return words;
  }());
  for (const std::string& queue : queues)
    request.add({"SADD", std::string(bindings_key) + queue, binding_of(queue, queue)});
  try {
    to.run(request);
    undeclared_ = false;
    return true;
  } catch (const redis_lost&) {
    throw;
  } catch (const broker_error& e) {
    if (!undeclared_.exchange(true))
      log(log_level::warn, "the broker does not let its queues be listed", {{"reason", e.what()}});
    return false;
  }
}

std::vector<delivery> redis_consumer::take(std::size_t most) {
  std::vector<delivery> result;
  if (lists_.empty() || most == 0) return result;
  redis_request request;
  main_.begin_script(request, receive_script, 2 + lists_.size(), 5);
  request.word(held_);
  request.word(consumers_key);
  for (const std::string& list : lists_) request.word(list);
  request.word(id_);
  request.word(std::int64_t{options_.lease.count()});
  request.word(static_cast<std::int64_t>(most));
  request.word(next_tag_.load());
  request.word(std::exchange(unanswered_, true) ? "1" : "0");
  const std::uint64_t lapses = keeper_->lapses();
  const std::vector<redis_reply> replies = main_.run(request);
  const redis_value taken = replies.front().value();  // tag, record, ...
  result.reserve(taken.size() / 2);
  for (std::size_t i = 0; i + 1 < taken.size(); i += 2) {
    const std::string_view tag = taken[i].text();
    const held_record record = parse_record(taken[i + 1].text());
    list_meaning meaning = meaning_of_list(record.list);
    result.push_back(
        {std::string(tag), std::move(meaning.queue), std::string(record.text), meaning.priority, record.returned});
    std::int64_t number = 0;
    std::from_chars(tag.data(), tag.data() + tag.size(), number);
    next_tag_.store(std::max(next_tag_.load(), number + 1));
  }
  unanswered_ = false;
  if (keeper_->lapses() != lapses) doubt(next_tag_.load() - 1);  // what has come may have been taken before
  return result;
}

std::vector<delivery> redis_consumer::receive(std::size_t most, std::chrono::nanoseconds patience) {
  const clock::time_point until = redis_deadline(patience);
  for (;;) {
    if (wake_.take()) return {};
    std::vector<::pollfd> fds;
    try {
      look_around();
      if (!empty_) {
        std::vector<delivery> taken = take(most);
        failed_ = false;
        link_.found(broker_line::receiving);
        if (!taken.empty()) return taken;
      }
      if (clock::now() >= until) return {};
      bells_.arm();
      empty_ = true;
      fds.push_back({main_.fd(), POLLIN, 0});  // says nothing by itself: only that it is gone
      bells_.add_to(fds);
      if (!wake_.wait(fds, std::min(until, bells_.next())) && clock::now() >= until) return {};
      if (fds.front().revents != 0) {
        main_.close();
        empty_ = false;
      }
      if (bells_.rang()) empty_ = false;
    } catch (const broker_error& e) {
      const bool refused = is_refusal(e);
      main_.close();
      bells_.close();
      empty_ = false;
      if (std::exchange(failed_, true) || refused) {
        link_.lost(broker_line::receiving, e.what());
        wake_.wait(std::min(until, clock::now() + std::chrono::milliseconds(200)));
        static_cast<void>(wake_.take());
        return {};
      }
      // It was a connection that had been good: the next one may be, too.
    }
  }
}

void redis_consumer::add_script(redis_request& request, std::span<const settlement> settled) {
  std::size_t words = 0;
  for (const settlement& one : settled) words += 3 + 4 * one.follow.size();
  settling_.begin_script(request, settle_script, 3, words);
  request.word(held_);
  request.word(later_key);
  request.word(later_texts_key);
  for (const settlement& one : settled) {
    request.word(one.tag);
    request.word(one.give_back ? "1" : "0");
    request.word(static_cast<std::int64_t>(one.follow.size()));
    const std::string token = id_ + "." + one.tag.substr(0, one.tag.find(' ')) + ".";
    std::int64_t follows = 0;
    for (const outgoing_message& message : one.follow) {
      request.word(list_key(message.queue, message.priority));
      // Celery's workers would not see what waits with us: only what came from our own queues does.
      request.word(message.due && is_own(message.queue) ? redis_milliseconds(*message.due) : std::int64_t{0});
      request.word(token + std::to_string(follows++));
      request.word(message.text);
    }
  }
}

// What became of each.
std::vector<settle_end> redis_consumer::try_settling(std::span<const settlement> settled) {
  settling_.open();
  redis_request request;
  const std::size_t size_of_all = settled.size();
  std::vector<std::span<const settlement>> steps;
  while (!settled.empty()) {
    const std::span<const settlement> step = settled.first(length_of_step(settled));
    steps.push_back(step);
    if (!is_plain(step.front())) {
      add_script(request, step);
    } else {
      request.begin(2 + step.size());
      request.word("HDEL");
      request.word(held_);
      for (const settlement& one : step) request.word(one.tag);
    }
    settled = settled.subspan(step.size());
  }
  const std::vector<redis_reply> replies = settling_.run(request);
  std::vector<settle_end> ends;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const redis_value said = replies[i].value();
    const std::size_t size = steps[i].size();
    if (is_plain(steps[i].front())) {  // how many, but not which
      const auto done = static_cast<std::size_t>(said.integer());
      ends.insert(ends.end(), size,
                  done == size ? settle_end::done
                  : size == 1  ? settle_end::gone
                               : settle_end::unknown);
    } else {
      log_diverted(where_.redacted(), said[0], said[1]);
      for (const char one : said[2].text()) ends.push_back(one == '1' ? settle_end::done : settle_end::gone);
    }
  }
  ends.resize(size_of_all, settle_end::unknown);  // Redis has said as many
  return ends;
}

// The lease may have ended since the tags up to that one were taken.
void redis_consumer::doubt(std::int64_t last) noexcept {
  std::int64_t known = doubted_.load();
  while (known < last && !doubted_.compare_exchange_weak(known, last)) {
  }
}

// Redis is asked while our lease is not sure, and for what was taken before such a time. Who takes a consumer for dead
// notes its last tag: so what Redis itself has lost, as it was started anew, is still ours.
bool redis_consumer::holds(const std::string& tag) {
  std::int64_t number = 0;
  std::from_chars(tag.data(), tag.data() + tag.size(), number);
  if (keeper_->is_lease_sure() && number > doubted_.load()) return true;
  if (!link_.is_up()) return true;  // as long as Redis is away nobody else gets it
  const std::lock_guard lock(settle_mutex_);
  for (int attempt = 0; attempt < 2 && link_.is_up(); ++attempt) {  // whoever had the lock may have found it away
    const bool was_open = settling_.is_open();
    if (!was_open) declared_.clear();  // as in settle()
    try {
      settling_.open();
      redis_request request;
      request.add({"HEXISTS", held_, tag});
      request.add({"GET", "tutti:ended:" + id_});
      const std::vector<redis_reply> replies = settling_.run(request);
      std::int64_t ended = 0;
      const std::string_view text = replies[1].value().text();
      std::from_chars(text.data(), text.data() + text.size(), ended);
      return replies[0].value().integer() != 0 || number > ended;
    } catch (const redis_lost&) {
      if (!was_open) break;  // else it was a connection that had been good: the next one may be, too
    } catch (const broker_error&) {
      break;
    }
  }
  return true;
}

// All in one go; when the answer is an error each by itself, so that one that cannot be settled holds no others up.
std::vector<settle_end> redis_consumer::settle(std::span<const settlement> settled) {
  std::vector<settle_end> ends(settled.size());
  if (settled.empty()) return ends;
  std::vector<bool> tried(settled.size());  // in vain, as far as is known
  const std::lock_guard lock(settle_mutex_);
  std::deque<std::span<const settlement>> left{settled};
  redis_backoff backoff;
  const auto wait = [&](const broker_error& e) {
    link_.lost(broker_line::settling, e.what());
    std::unique_lock stop_lock(stop_mutex_);
    if (stopped_) throw;
    stopping_.wait_for(stop_lock, backoff.next(), [this] { return stopped_; });
  };
  std::string refusal;
  std::size_t in_vain = 0;  // the last ones of `left` that were tried since we waited
  while (!left.empty()) {
    const bool was_open = settling_.is_open();
    if (!was_open) declared_.clear();  // it may be another Redis, or one that has lost what it knew
    const std::span<const settlement> of = left.front();
    const auto first = static_cast<std::size_t>(of.data() - settled.data());
    try {
      const std::vector<settle_end> now = try_settling(of);
      for (std::size_t i = 0; i < of.size(); ++i)
        ends[first + i] = now[i] == settle_end::gone && tried[first + i] ? settle_end::unknown : now[i];
      link_.found(broker_line::settling);
      left.pop_front();
    } catch (const broker_error& e) {
      std::fill_n(tried.begin() + static_cast<std::ptrdiff_t>(first), of.size(), true);
      if (!settling_.is_open()) {
        if (!was_open) wait(e);  // else it was good once; the next one says whether Redis is there
        continue;
      }
      left.pop_front();
      if (of.size() > 1) {  // each once more: those that were carried out are not again
        for (std::size_t i = 0; i < of.size(); ++i) left.push_back(of.subspan(i, 1));
      } else if (is_for_good(e)) {
        link_.found(broker_line::settling);
        refusal = e.what();
      } else {
        left.push_back(of);
        if (++in_vain < left.size()) continue;
        in_vain = 0;
        wait(e);
      }
    }
  }
  note_follow(settled);
  if (!refusal.empty()) throw broker_refusal(refusal);
  return ends;
}

// Of what was sent with them: when it is due, and to which queues it went.
void redis_consumer::note_follow(std::span<const settlement> settled) {
  std::vector<std::string> queues;
  for (const settlement& one : settled) {
    for (const outgoing_message& message : one.follow) {
      if (!is_own(message.queue)) {
        if (declared_.insert(message.queue).second) queues.push_back(message.queue);
      } else if (message.due) {
        keeper_->expect(redis_milliseconds(*message.due));
      }
    }
  }
  try {
    if (declare(settling_, queues)) return;
  } catch (const redis_lost&) {  // who settles next sees that too
  }
  for (const std::string& queue : queues) declared_.erase(queue);
}

void redis_consumer::leave() {
  for (bool more = true; more;) {
    settling_.open();
    redis_request request;
    settling_.begin_script(request, leave_script, 2, 1);
    request.word(held_);
    request.word(consumers_key);
    request.word(id_);
    const std::vector<redis_reply> replies = settling_.run(request);
    const redis_value said = replies.front().value();
    log_diverted(where_.redacted(), said[1], said[2]);
    more = said[0].integer() != 0;
  }
}

}  // namespace tutti::cluster::detail
