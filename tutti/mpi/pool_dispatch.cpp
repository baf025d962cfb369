// Which call goes where, and when.
#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/mpi/inside/pool_core.hpp>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tutti::mpi::detail {
namespace {

// A frame is as many calls as take about this long, and what a worker has in advance is one frame more: its answers
// and the next frame are on their way meanwhile. Calls that take longer than `no_advance` go one by one.
constexpr double frame_ns = 100e3;
constexpr double no_advance_ns = 1e6;
constexpr std::size_t longest_frame = 256;
constexpr std::size_t largest_frame = std::size_t{1} << 20;
constexpr std::size_t large = std::size_t{32} << 10;  // sent from where they are

}  // namespace

pool_job* pool_core::next_queued() noexcept {
  for (auto& [priority, queue] : queues_) {
    if (!queue.empty()) return queue.front();
  }
  return nullptr;
}

std::size_t pool_core::frame_length() const noexcept {
  if (average_ <= 0) return 1;
  return std::clamp(static_cast<std::size_t>(frame_ns / average_), std::size_t{1}, longest_frame);
}

pool_lane* pool_core::lane_for_more() noexcept {
  const std::size_t advance = average_ > 0 && average_ < no_advance_ns ? frame_length() : 0;
  pool_lane* best = nullptr;
  for (const auto& lane : lanes_) {
    if (lane->is_lost || lane->is_stuck || lane->given.size() > advance || !lane->out.empty()) continue;
    if (!lane->given.empty() && advance == 0) continue;
    if (best == nullptr || lane->given.size() < best->given.size()) best = lane.get();
  }
  return best;
}

void pool_core::dispatch(endings& over) {
  if (living_.load(std::memory_order_relaxed) == 0 && queued_ != 0) {
    end_all_queued(over, std::make_exception_ptr(worker_lost(name_ + ": all its other ranks are lost")));
  }
  while (queued_ != 0) {
    pool_lane* const to = lane_for_more();
    if (to == nullptr) return;
    give_frame(*to, over);
  }
  balance();
}

// As many calls as make a frame, but no more than a fair share of those there are.
void pool_core::give_frame(pool_lane& to, endings& over) {
  const auto living = static_cast<std::size_t>(std::max(living_.load(std::memory_order_relaxed), 1));
  std::size_t room = std::min(frame_length(), (queued_ + living - 1) / living);
  std::string frame(sizeof(frame_head), '\0');
  std::vector<pool_lane::piece> pieces;
  std::size_t bytes = 0;
  const bool was_idle = to.given.empty();
  ++to.last_frame;
  for (; room != 0 && bytes < largest_frame; --room) {
    pool_job* const one = next_queued();
    if (one == nullptr) break;
    queues_.find(one->priority)->second.pop_front();
    --queued_;
    if (one->work.operator->() != nullptr) {
      if (!one->target->begin(shared_from_this())) {
        end(over, *one, nullptr);
        continue;
      }
      static_cast<void>(one->work.release());
    }
    if (one->target->stop_requested()) {
      end(over, *one,
          std::make_exception_ptr(cancelled(tutti::task_text(one->name) + " was cancelled before it began")));
      continue;
    }
    add_call(to, frame, pieces, *one);
    bytes += one->bytes->size();
  }
  if (frame.size() == sizeof(frame_head) && pieces.empty()) return;
  pieces.push_back({.own = std::move(frame), .shared = nullptr});
  frame_head head;
  for (const pool_lane::piece& one : pieces) head.bytes += one.text().size();
  head.bytes -= sizeof head;
  std::memcpy(pieces.front().own.data(), &head, sizeof head);
  for (pool_lane::piece& one : pieces) to.out.push_back(std::move(one));
  send(to);
  if (was_idle) started(to);
}

void pool_core::add_call(pool_lane& to, std::string& frame, std::vector<pool_lane::piece>& pieces, pool_job& one) {
  const auto next = static_cast<std::uint32_t>(numbers_.size());
  const std::uint32_t number = numbers_.try_emplace({one.function, one.name}, next).first->second;
  if (to.defined.size() <= number) to.defined.resize(number + 1);
  if (!to.defined[number]) {
    const std::string definition = encode(function_definition{
        .function = std::string(one.function->name), .signature = one.function->signature, .name = one.name});
    frame += bytes_of(request_head{.kind = request_kind::define, .function = number, .bytes = definition.size()});
    frame += definition;
    to.defined[number] = true;
  }
  one.ticket = ++to.last_ticket;
  one.frame = to.last_frame;
  to.given.push_back(&one);
  frame +=
      bytes_of(request_head{.kind = request_kind::call,
                            .function = number,
                            .ticket = one.ticket,
                            .timeout = one.limits.timeout ? std::max<std::int64_t>(one.limits.timeout->count(), 1) : 0,
                            .bytes = one.bytes->size()});
  if (one.bytes->size() < large) {
    frame += *one.bytes;
    return;
  }
  pieces.push_back({.own = std::move(frame), .shared = nullptr});
  pieces.push_back({.own = {}, .shared = one.bytes});
  frame.clear();
}

// What the socket takes, it takes now; for the rest the collector is told when there is room.
void pool_core::send(pool_lane& to) noexcept {
  while (!to.out.empty()) {
    const std::string_view text = std::string_view(to.out.front().text()).substr(to.out_done);
    const ssize_t sent =
        text.empty() ? 0 : ::send(to.link.data.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) to.out.clear();  // it is dead: the collector is about to see that
      break;
    }
    to.out_done += static_cast<std::size_t>(sent);
    if (to.out_done < to.out.front().text().size()) continue;
    to.out.pop_front();
    to.out_done = 0;
  }
  if (to.out.empty()) to.out_done = 0;
  if (to.wants_room == !to.out.empty()) return;
  to.wants_room = !to.out.empty();
  epoll_event event{};
  event.events = EPOLLIN | (to.wants_room ? unsigned{EPOLLOUT} : 0U);
  event.data.u64 =
      2 * static_cast<std::uint64_t>(std::ranges::find(lanes_, &to, &std::unique_ptr<pool_lane>::get) - lanes_.begin());
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, to.link.data.get(), &event);
}

// The first of the lane is what its worker runs from now on, as far as is known here.
void pool_core::started(pool_lane& in) {
  if (in.given.empty()) return;
  pool_job& first = *in.given.front();
  if (first.target == nullptr || !first.limits.timeout) return;
  const auto which =
      static_cast<std::size_t>(std::ranges::find(lanes_, &in, &std::unique_ptr<pool_lane>::get) - lanes_.begin());
  first.expiry = call_later(*first.limits.timeout, [self = weak_from_this(), which, ticket = first.ticket] {
    if (const auto pool = self.lock()) pool->expired(which, ticket);
  });
}

// A worker without work, while another one has some that it has not begun: that one gives half of it back.
void pool_core::balance() noexcept {
  if (queued_ != 0) return;
  bool somebody_idles = false;
  pool_lane* fullest = nullptr;
  for (const auto& lane : lanes_) {
    if (lane->is_lost || lane->is_stuck) continue;
    somebody_idles = somebody_idles || lane->given.empty();
    if (lane->unanswered != 0) return;  // what comes is enough to think about
    if (fullest == nullptr || lane->given.size() > fullest->given.size()) fullest = lane.get();
  }
  if (!somebody_idles || fullest->given.size() < 2) return;
  const std::size_t kept = std::max<std::size_t>(fullest->given.size() / 2, 1);
  ask_back(*fullest, control_kind::give_back, fullest->given[kept]->ticket, fullest->last_ticket);
}

void pool_core::ask_back(pool_lane& from, control_kind kind, std::uint64_t first, std::uint64_t last) noexcept {
  const control_message asked{.kind = kind, .first = first, .last = last};
  // Few and small: when it does not take one at once it is dead, or its process is stopped.
  const ssize_t sent = ::send(from.link.control.get(), &asked, sizeof asked, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == sizeof asked) ++from.unanswered;
}

}  // namespace tutti::mpi::detail
