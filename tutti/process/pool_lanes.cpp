// The workers of a process_pool: started, replaced, sent away.
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/process/pool_core.hpp>
#include <tutti/process/pool_section.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <new>
#include <string>

namespace tutti::detail {

lane::lane()
    : memory(sizeof(lane_memory), "a worker's lane"),
      words(*new(memory.data()) lane_memory()),
      requests(words.requests),
      responses(words.responses) {}

void pool_core::open() {
  try {
    const section in(*this);
    for (int n = 0; n < settings_.workers; ++n) start_lane();
  } catch (...) {
    let_workers_go();
    throw;
  }
  resident_ = std::thread([this] { reside(); });
}

void pool_core::start_lane() {
  auto made = std::make_shared<lane>();
  made->number = ++names_;
  made->words.memory_limit = settings_.memory_limit;
  auto [ours, theirs] = message_socket::pair();
  made->socket = std::move(ours);
  launch_request request;
  request.kind = launch_kind::worker;
  request.exec = settings_.exec;
  request.name = settings_.name + '/' + std::to_string(made->number);
  request.environment = current_environment();
  std::error_code unknown;
  request.directory = std::filesystem::current_path(unknown).string();
  const int handles[] = {made->memory.fd(), bell_memory_.fd(), theirs.fd(), 0, 1, 2};
  request.handles = {0, 1, 2};
  for (int n = 0; n < 3; ++n) request.streams[static_cast<std::size_t>(n)] = 3 + n;
  if (settings_.initializer != nullptr) initialise(*made);
  const std::weak_ptr<pool_core> self = weak_from_this();
  made->process = launcher::of(settings_.program)
                      ->start(std::move(request), handles, [self, where = std::weak_ptr<lane>(made)](launched&) {
                        const auto of = where.lock();
                        const auto pool = self.lock();
                        if (of == nullptr || pool == nullptr) return;
                        of->over.store(true, std::memory_order_seq_cst);
                        pool->wake_collector();
                      });
  lanes_.push_back(std::move(made));
  version_.fetch_add(1, std::memory_order_release);
  ++counts_.started;
}

// What is written now is what it finds first.
void pool_core::initialise(lane& made) {
  request_head head;
  head.kind = request_kind::initialise;
  head.function = number_of(*settings_.initializer, settings_.initializer->name.data());
  define(made, head.function);
  head.ticket = ++made.last_ticket;
  head.size = settings_.initializer_arguments.size();
  head.has_handles = !settings_.initializer_handles.empty();
  const bool is_long = settings_.initializer_arguments.size() > most_inline;
  if (is_long) head.parcel = made.outgoing.put(settings_.initializer_arguments, made.socket);
  write(made, head, is_long ? std::string_view() : std::string_view(settings_.initializer_arguments));
  if (head.has_handles) send_handles(head.ticket, settings_.initializer_handles, made.socket);
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
  if (lanes_.empty() && failures_ >= most_failures) give_up_waiting(in, failure_);
}

// A worker that has run as many calls as it may is replaced before it goes.
void pool_core::retire_if_due(lane& one) {
  if (one.now == lane::state::open && settings_.max_tasks != 0 && one.given >= settings_.max_tasks && one.jobs.empty())
    one.now = lane::state::leaving;
  if (one.now == lane::state::leaving && one.jobs.empty()) dismiss(one);
}

void pool_core::dismiss(lane& one) {
  request_head head;
  head.kind = request_kind::leave;
  // A worker with nothing to do has an empty ring.
  if (write(one, head, {})) {
    one.requests.publish();
    wake_worker(one);
  } else {
    one.process->signal(SIGKILL);
  }
}

// By the last handle, when there is no call left. Who does not go within the grace is killed.
void pool_core::let_workers_go() {
  std::vector<lane_ref> all;
  {
    const section in(*this);
    wanted_.store(0, std::memory_order_relaxed);
    all = lanes_;
    for (const lane_ref& one : all) {
      if (one->now != lane::state::open) continue;
      one->now = lane::state::leaving;
      dismiss(*one);
    }
  }
  const auto until = std::chrono::steady_clock::now() + settings_.grace;
  for (const lane_ref& one : all) {
    // Not on tutti's clock: a worker's way out takes real time.
    while (!one->process->is_over() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    if (!one->process->is_over()) one->process->signal(SIGKILL);
    one->process->wait_over(wait_how{.what = "process_pool::shutdown"});
  }
}

std::exception_ptr pool_core::loss_of(const lane& dead, const job* victim) const {
  if (dead.failure != nullptr) return dead.failure;
  if (dead.process->now() == launched::state::failed) return dead.process->failure();
  const exit_status status = dead.process->status();
  std::string text = "worker " + std::to_string(dead.number) + " (pid " + std::to_string(dead.process->pid()) +
                     ") of process_pool \"" + settings_.name + "\" ";
  text += status.signal() ? "was " + to_string(status) : "ended with " + to_string(status);
  if (victim != nullptr) {
    text += " while it ran " + task_text(victim->name);
  } else if (dead.initialising) {
    text += " in its initializer";
  }
  return std::make_exception_ptr(worker_lost(text, status.code(), status.signal()));
}

// Nobody reads or writes its lane any more: what it had not answered is looked after here.
void pool_core::bury(const lane_ref& dead) {
  section in(*this);
  std::erase(lanes_, dead);
  version_.fetch_add(1, std::memory_order_release);
  const bool was_sent_away = dead->now == lane::state::leaving && dead->jobs.empty();
  dead->now = lane::state::dead;
  if (!was_sent_away) ++counts_.lost;
  const std::exception_ptr plain = loss_of(*dead, nullptr);
  for (auto at = dead->jobs.rbegin(); at != dead->jobs.rend(); ++at) {
    job* const one = *at;
    one->expiry.cancel();
    if (one->target == nullptr) {  // its time was over
      in.end(one);
    } else if (!dead->requests.is_taken(one->position)) {
      enqueue(one, true);
    } else if (one->retries > 0 && !one->target->stop_requested()) {
      --one->retries;
      ++counts_.retried;
      enqueue(one, true);
    } else if (one->target->stop_requested() && closed_) {
      in.end(one, std::make_exception_ptr(cancelled(task_text(one->name) + " did not stop: its worker was killed")));
    } else {
      in.end(one, loss_of(*dead, one));
    }
  }
  dead->jobs.clear();
  if (!dead->proved && !was_sent_away) {
    ++failures_;
    failure_ = plain;
  }
  adjust(in);
  dispatch(in);
}

}  // namespace tutti::detail
