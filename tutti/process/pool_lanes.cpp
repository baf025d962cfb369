// The workers of a process_pool: started, replaced, sent away.
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/process/pool_core.hpp>
#include <tutti/process/pool_section.hpp>
#include <tutti/process/stream_plan.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <new>
#include <string>
#include <system_error>
#include <tuple>

namespace tutti::detail {
lane::lane()
    : memory(sizeof(lane_memory), "a worker's lane"),
      words(*new(memory.data()) lane_memory()),
      requests(words.requests),
      responses(words.responses) {}

void pool_core::open() {
  try {
    {
      const section in(*this);
      for (int n = 0; n < settings_.workers; ++n) start_lane();
    }
    residents_.emplace_back([self = shared_from_this()] { self->reside(); });
  } catch (const std::system_error& e) {
    let_workers_go();
    throw os_error::of("cannot start the thread of process_pool \"" + settings_.name + '"', e.code().value());
  } catch (...) {
    let_workers_go();
    throw;
  }
}

void pool_core::start_lane() {
  auto made = std::make_shared<lane>();
  made->number = ++names_;
  made->words.memory_limit = settings_.memory_limit;
  made->words.has_initializer = settings_.initializer == nullptr ? 0 : 1;
  std::tie(made->socket, made->mailbox) = message_socket::pair();
  // A worker that reads nothing must not stop the pool; what it has sent is there before a record speaks of it.
  ::fcntl(made->socket.fd(), F_SETFL, O_NONBLOCK);
  launch_request request;
  request.kind = launch_kind::worker;
  request.exec = settings_.exec;
  request.name = settings_.name + '/' + std::to_string(made->number);
  request.environment = current_environment();
  std::error_code unknown;
  request.directory = std::filesystem::current_path(unknown).string();
  // What is typed is for the program.
  const stream_plan streams(stdio::null(), stdio::inherit(), stdio::inherit(), request.name, request);
  std::vector<int> handles = streams.handles();
  for (const int handle : {made->memory.fd(), bell_memory_.fd(), made->mailbox.fd()}) {
    request.handles.push_back(static_cast<std::int32_t>(handles.size()));
    handles.push_back(handle);
  }
  if (settings_.initializer != nullptr) initialise(*made);
  lanes_.reserve(lanes_.size() + 1);
  made->process =
      launcher::of(settings_.program)
          ->start(std::move(request), handles, [self = weak_from_this(), where = std::weak_ptr<lane>(made)](launched&) {
            const auto of = where.lock();
            const auto pool = self.lock();
            if (of == nullptr || pool == nullptr) return;
            of->over.store(true, std::memory_order_seq_cst);
            ring_loudly(pool->bell_);
          });
  lanes_.push_back(std::move(made));
  version_.fetch_add(1, std::memory_order_seq_cst);
  ++counts_.started;
  ring(bell_);  // it may be over already, and the collector have looked before it was listed
}

// What is written now is what it finds first.
void pool_core::initialise(lane& made) {
  request_head head;
  head.kind = request_kind::initialise;
  head.function = number_of(*settings_.initializer, intern(settings_.initializer->name));
  define(made, head.function);
  head.ticket = ++made.last_ticket;
  head.size = settings_.initializer_arguments.size();
  head.has_handles = settings_.initializer_handles.empty() ? 0 : 1;
  const bool is_long = settings_.initializer_arguments.size() > most_inline;
  if (is_long) head.parcel = made.initializer_parcel = made.outgoing.put(settings_.initializer_arguments, made.socket);
  write(made, head, is_long ? std::string_view() : std::string_view(settings_.initializer_arguments));
  if (head.has_handles != 0) send_handles(head.ticket, settings_.initializer_handles, made.socket);
  made.requests.publish();
  made.initialising = true;
}

// As many workers as are wanted.
void pool_core::adjust(section& in) {
  int open = 0;
  for (const lane_ref& one : lanes_) open += one->now == lane::state::open ? 1 : 0;
  for (auto at = lanes_.rbegin(); open > wanted_ && at != lanes_.rend(); ++at) {
    if ((*at)->now != lane::state::open) continue;
    (*at)->now = lane::state::leaving;
    retire_if_due(**at);
    --open;
  }
  try {
    for (; open < wanted_ && failures_ < most_failures; ++open) start_lane();
  } catch (const std::exception&) {
    // With those that are there; without any, the next call that comes tries again.
    failures_ = most_failures;
    failure_ = std::current_exception();
  }
  if (lanes_.empty() && failures_ >= most_failures) end_all_queued(in, failure_);
}

// Another worker takes its place when it has done what it has.
void pool_core::replace(section& in, lane& one) {
  one.now = lane::state::leaving;
  retire_if_due(one);
  adjust(in);
}

// A worker that has run as many calls as it may goes; another one comes.
void pool_core::retire_if_due(lane& one) noexcept {
  if (!one.jobs.empty() || one.now == lane::state::dead) return;
  if (one.now == lane::state::open) {
    if (settings_.max_tasks == 0 || one.given < settings_.max_tasks) return;
    one.now = lane::state::leaving;
  }
  dismiss(one);
}

void pool_core::dismiss(lane& one) noexcept {
  if (one.was_dismissed) return;
  request_head head;
  head.kind = request_kind::leave;
  if (!write(one, head, {})) return;  // when there is room
  one.requests.publish();
  one.was_dismissed = true;
  wake_worker(one);
}

// By the last handle, when there is no call left. Who does not go within the grace is killed.
void pool_core::let_workers_go() {
  std::vector<lane_ref> all;
  {
    const section in(*this);
    wanted_.store(0, std::memory_order_relaxed);
    all = lanes_;
    for (const lane_ref& one : all) {
      one->now = lane::state::leaving;
      retire_if_due(*one);
    }
  }
  // Not on tutti's clock: a worker's way out takes real time.
  constexpr std::chrono::hours most(1000);
  const auto until = std::chrono::steady_clock::now() + std::min<std::chrono::nanoseconds>(settings_.grace, most);
  for (const lane_ref& one : all) {
    launched& process = *one->process;
    try {
      process.wait_started();
    } catch (const std::exception&) {  // it never was; or we cannot wait here, and so cannot wait below
    }
    if (!process.ends_until(until)) process.signal(SIGKILL);
    process.wait_over(wait_how{.what = "process_pool::shutdown"});
  }
}

std::string pool_core::text_of(const lane& where, const job& one) {
  std::string text = task_text(one.name);
  if (one.target != nullptr) text += one.target->part_text(where.words.part.load(std::memory_order_relaxed));
  return text;
}

std::exception_ptr pool_core::loss_of(const lane& dead, const job* victim) const {
  if (dead.failure != nullptr) return dead.failure;
  if (dead.process->now() == launched::state::failed) return dead.process->failure();
  const exit_status status = dead.process->status();
  std::string text = "worker " + std::to_string(dead.number) + " (pid " + std::to_string(dead.process->pid()) +
                     ") of process_pool \"" + settings_.name + "\" ";
  text += status.signal() ? "was " + to_string(status) : "ended with " + to_string(status);
  if (victim != nullptr) {
    text += dead.requests.is_taken(victim->position) ? " while it ran " : ", and with it the shared objects of ";
    text += text_of(dead, *victim);
    if (victim->limits.retries > 0)
      text += ", its attempt " + std::to_string(victim->limits.retries - victim->retries + 1);
  } else if (dead.initialising) {
    text += " in its initializer";
  } else if (!dead.is_ready) {
    text += " while it started";
  }
  return std::make_exception_ptr(worker_lost(text, status.code(), status.signal()));
}

// Nobody reads or writes its lane any more: what it had not answered is looked after here.
void pool_core::bury(const lane_ref& dead) {
  // Made before anything is changed: it may throw.
  section in(*this);
  const auto is_victim = [&](const job& one) { return one.handles_gone || dead->requests.is_taken(one.position); };
  recover_handles(*dead);
  job* const first = dead->jobs.front();
  const std::exception_ptr loss = loss_of(*dead, first != nullptr && is_victim(*first) ? first : nullptr);
  std::erase(lanes_, dead);
  version_.fetch_add(1, std::memory_order_seq_cst);
  dead->is_buried = true;
  const bool was_sent_away = dead->now == lane::state::leaving && dead->jobs.empty();
  dead->now = lane::state::dead;
  if (!was_sent_away) ++counts_.lost;
  while (job* const one = dead->jobs.back()) {
    dead->jobs.erase(*one);
    one->expiry.cancel();
    const bool is_lost = is_victim(*one);  // more than one if it was not understood
    if (one->target == nullptr) {          // its time was over
      in.end(*one, nullptr);
    } else if (cancelled_ != nullptr) {
      in.end(*one, cancelled_);
    } else if (!is_lost && one->target->stop_requested()) {
      in.end(*one, cancelled_before(*one));
    } else if (!is_lost || (one->retries > 0 && !one->target->stop_requested())) {
      if (is_lost) {
        --one->retries;
        ++counts_.retried;
      }
      recover(*dead, *one);
      enqueue(*one, true);
    } else {
      in.end(*one, loss);
    }
  }
  if (!dead->is_ready && !was_sent_away) {
    ++failures_;
    failure_ = loss;
  }
  lane::overdue_call overdue = dead->take_overdue();
  settle(in);
  const callbacks_later together;
  in.leave();
  overdue.tell();
}

}  // namespace tutti::detail
