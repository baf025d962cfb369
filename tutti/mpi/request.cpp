#include <tutti/mpi/request.hpp>

#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/progress.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>
#include <tutti/mpi/value_request.hpp>

#include <cstdio>
#include <exception>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>

namespace tutti::mpi {
namespace detail {
namespace {

awaited awaited_of(const started& what) noexcept { return {.request = what.watched}; }

std::string text_of(const started& what) {
  if (what.is_collective) return "";
  return std::string(what.receives ? ": from rank " : ": to rank ") +
         (what.peer == any_source ? "any" : std::to_string(what.peer)) + ", tag " +
         (what.tag == any_tag ? "any" : std::to_string(what.tag));
}

std::string why(int code) {
  int error_class = code;
  MPI_Error_class(code, &error_class);
  return error_class == MPI_ERR_TRUNCATE ? ": the message is longer than the memory for it" : "";
}

// It has ended; `code` is MPI's.
status over(started& what, int code, const status& came) {
  const comm_state& where = *std::exchange(what.where, nullptr);
  if (what.receives && code == MPI_SUCCESS) note_received(where, came.source, came.tag);
  end_request(what.watched);
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, where, what.call, text_of(what) + why(code), what.here());
  return what.receives ? came : status{};
}

}  // namespace

status wait_for(started& what, const place& here) {
  if (what.where == nullptr) return {};
  auto handle = handle_of<MPI_Request>(what.handle);
  MPI_Status came;
  int code = 0;
  if (is_undisturbed()) [[likely]] {
    code = MPI_Wait(&handle, &came);
  } else {
    enter(*what.where, "wait", here);
    const watched_call waits("wait", awaited_of(what), here);
    code = MPI_Wait(&handle, &came);
  }
  return over(what, code, what.receives ? status_of(came) : status{});
}

std::optional<status> test(started& what) {
  if (what.where == nullptr) return status{};
  enter(*what.where, "test", what.here());
  auto handle = handle_of<MPI_Request>(what.handle);
  MPI_Status came;
  int flag = 0;
  const int code = MPI_Test(&handle, &flag, &came);
  if (code == MPI_SUCCESS && flag == 0) return {};
  return over(what, code, what.receives ? status_of(came) : status{});
}

namespace {

// An exception is on its way out, perhaps past the environment, whose end would end the job: whoever this waits for may
// be waiting for us. So not for ever.
void wait_in_flight(const started& what, MPI_Request& handle) {
  constexpr double patience_s = 2;
  const double until = MPI_Wtime() + patience_s;
  for (int ended = 0;;) {
    MPI_Test(&handle, &ended, MPI_STATUS_IGNORE);
    if (ended != 0) return;
    if (MPI_Wtime() > until) break;
  }
  std::fprintf(
      stderr, "tutti: rank %d of %s: an exception leaves %s%s unended, which nobody takes (%s): the job ends\n",
      what.where->rank, what.where->name.c_str(), what.call, text_of(what).c_str(), to_string(what.here()).c_str());
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

}  // namespace

void give_up(started what) noexcept {
  if (what.where->size == 0) return;  // MPI has ended, and everything with it
  auto handle = handle_of<MPI_Request>(what.handle);
  MPI_Status came;
  int cancelled = 1;
  try {
    const watched_call waits("~request", what.receives ? awaited{} : awaited_of(what), what.here());
    if (what.receives) MPI_Cancel(&handle);
    if (!what.receives && std::uncaught_exceptions() > 0) {
      wait_in_flight(what, handle);
    } else {
      MPI_Wait(&handle, &came);
    }
    if (what.receives) MPI_Test_cancelled(&came, &cancelled);
    if (cancelled == 0) note_received(*what.where, came.MPI_SOURCE, came.MPI_TAG);
  } catch (...) {
  }
  end_request(what.watched);
}

// ---------------------------------------------------------------- coroutines

bool request_awaiter::await_ready() {
  if (what_.where == nullptr) return true;
  enter(*what_.where, "co_await", what_.here());
  auto native = handle_of<MPI_Request>(what_.handle);
  MPI_Status came;
  int flag = 0;
  code_ = MPI_Test(&native, &flag, &came);
  if (code_ == MPI_SUCCESS && flag == 0) return false;
  if (what_.receives) came_ = status_of(came);
  return true;
}

bool request_awaiter::wait(coroutine_link& link) {
  waited_ = true;
  watched = begin_await("co_await", awaited_of(what_), what_.here());
  handle = what_.handle;
  begin(link);
  try {
    make_progress(*this, by_, what_.call);
  } catch (...) {
    refused_ = std::current_exception();
    ticket().claim(0);
  }
  return commit();
}

void request_awaiter::ended(int code, const status& came, bool was_cancelled) noexcept {
  code_ = code;
  came_ = came;
  was_cancelled_ = was_cancelled;
  ticket().claim(0);
}

void request_awaiter::on_stop() noexcept {
  if (!what_.receives) return;  // its memory is in use until it has ended
  doubt_await(watched);
  give_up.store(true, std::memory_order_release);
  if (by_ != nullptr) by_->note_give_up();
}

status request_awaiter::await_resume() {
  if (waited_) static_cast<void>(end());  // first: then nobody who asks for a stop looks here
  end_await(std::exchange(watched, 0));
  if (refused_ != nullptr) std::rethrow_exception(refused_);
  if (what_.where == nullptr) return {};
  if (was_cancelled_) {
    end_request(what_.watched);
    what_ = {};
    throw_cancelled();
  }
  return over(what_, code_, came_);
}

void request_awaiter::describe(std::ostream& out) const {
  out << "mpi::" << what_.call << text_of(what_) << " at " << to_string(what_.here());
}

bool message_awaiter::await_ready() {
  found_ = improbe(what_);
  return found_.has_value();
}

bool message_awaiter::wait(coroutine_link& link) {
  waited_ = true;
  watched =
      begin_await("co_await irecv",
                  {.by = ended_by::message, .where = what_.where, .peer = what_.from, .tag = what_.tag, .probes = true},
                  what_.here);
  begin(link);
  try {
    make_progress(*this, by_, "irecv");
  } catch (...) {
    refused_ = std::current_exception();
    ticket().claim(0);
  }
  return commit();
}

bool message_awaiter::look() noexcept {
  try {
    found_ = improbe(what_);
    return found_.has_value();
  } catch (...) {
    refused_ = std::current_exception();
    return true;
  }
}

void message_awaiter::ended(int /*code*/, const status& /*came*/, bool /*was_cancelled*/) noexcept {
  ticket().claim(0);
}

void message_awaiter::on_stop() noexcept {
  doubt_await(watched);
  give_up.store(true, std::memory_order_release);
  if (by_ != nullptr) by_->note_give_up();
}

found_message message_awaiter::found() {
  if (waited_) static_cast<void>(end());  // first: then nobody who asks for a stop looks here
  end_await(std::exchange(watched, 0));
  if (refused_ != nullptr) std::rethrow_exception(refused_);
  if (!found_) throw_cancelled();
  return *found_;
}

void message_awaiter::describe(std::ostream& out) const {
  out << "mpi::irecv: from rank " << (what_.from == any_source ? "any" : std::to_string(what_.from)) << " at "
      << to_string(what_.here);
}

}  // namespace detail

void request::cancel() noexcept {
  if (!active() || !what_.receives) return;
  auto handle = detail::handle_of<MPI_Request>(what_.handle);
  detail::doubt_request(*what_.where, what_.watched);
  MPI_Cancel(&handle);
}

namespace {

// What the watch is told of a wait for several.
std::vector<detail::awaited> enter_all(std::span<request> requests, const char* call, const place& here) {
  std::vector<detail::awaited> awaited;
  for (request& one : requests) {
    const detail::started& what = detail::request_access::of(one);
    if (what.where == nullptr) continue;
    detail::enter(*what.where, call, here);
    if (detail::watching()) awaited.push_back(detail::awaited_of(what));
  }
  return awaited;
}

// One by one: MPI_Waitall of Open MPI 4.1 hangs at thread level multiple when one of them fails. `into`: where to say
// what came; may be null.
void wait_for_all(std::span<request> requests, status* into, const place& here) {
  const bool undisturbed = detail::is_undisturbed();
  std::vector<detail::awaited> awaited;
  if (!undisturbed) [[unlikely]]
    awaited = enter_all(requests, "wait_all", here);
  const detail::watched_call waits("wait_all", awaited.data(), awaited.size(), true, here);
  std::exception_ptr first;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    detail::started& what = detail::request_access::of(requests[i]);
    if (what.where == nullptr) continue;
    auto handle = detail::handle_of<MPI_Request>(what.handle);
    MPI_Status came;
    const int code = MPI_Wait(&handle, &came);
    if (code == MPI_SUCCESS && into == nullptr && undisturbed) [[likely]] {
      what.where = nullptr;
      continue;
    }
    try {
      const status one = detail::over(what, code, what.receives ? detail::status_of(came) : status{});
      if (into != nullptr) into[i] = one;
    } catch (...) {
      if (first == nullptr) first = std::current_exception();
    }
  }
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace

void wait_all(std::span<request> requests, const place& here) { wait_for_all(requests, nullptr, here); }

std::vector<status> wait_all_statuses(std::span<request> requests, const place& here) {
  std::vector<status> came(requests.size());
  wait_for_all(requests, came.data(), here);
  return came;
}

ended_request wait_any(std::span<request> requests, const place& here) {
  std::vector<detail::awaited> awaited;
  if (!detail::is_undisturbed()) awaited = enter_all(requests, "wait_any", here);
  std::vector<MPI_Request> all;
  all.reserve(requests.size());
  for (request& one : requests) {
    const detail::started& what = detail::request_access::of(one);
    all.push_back(what.where != nullptr ? detail::handle_of<MPI_Request>(what.handle) : MPI_REQUEST_NULL);
  }
  MPI_Status came;
  int index = MPI_UNDEFINED;
  int code = 0;
  {
    const detail::watched_call waits("wait_any", awaited.data(), awaited.size(), false, here);
    code = MPI_Waitany(static_cast<int>(all.size()), all.data(), &index, &came);
  }
  if (index == MPI_UNDEFINED) return {.index = requests.size(), .came = {}};
  const auto at = static_cast<std::size_t>(index);
  detail::started& what = detail::request_access::of(requests[at]);
  return {.index = at, .came = detail::over(what, code, what.receives ? detail::status_of(came) : status{})};
}

bool test_all(std::span<request> requests) {
  for (request& one : requests) {
    const detail::started& what = detail::request_access::of(one);
    if (what.where == nullptr) continue;
    detail::enter(*what.where, "test_all", what.here());
    int flag = 0;
    MPI_Request_get_status(detail::handle_of<MPI_Request>(what.handle), &flag, MPI_STATUS_IGNORE);
    if (flag == 0) return false;
  }
  wait_for_all(requests, nullptr, place{});
  return true;
}

persistent_request::~persistent_request() {
  if (what_.where == nullptr || what_.where->size == 0) return;
  auto handle = detail::handle_of<MPI_Request>(what_.handle);
  if (running_) {
    if (what_.receives) detail::doubt_request(*what_.where, what_.watched);
    if (what_.receives) MPI_Cancel(&handle);
    MPI_Wait(&handle, MPI_STATUS_IGNORE);
    detail::end_request(what_.watched);
  }
  MPI_Request_free(&handle);
}

void persistent_request::start(const place& here) {
  if (what_.where == nullptr)
    throw std::logic_error(
        "mpi::persistent_request::start: there is none: it was moved from, or has ended in an error; make it anew");
  if (running_) {
    throw std::logic_error("mpi::persistent_request::start: it is under way; wait for it first (" + to_string(here) +
                           ")");
  }
  detail::enter(*what_.where, "start", here);
  auto handle = detail::handle_of<MPI_Request>(what_.handle);
  what_.watched = detail::begin_request({.by = what_.receives ? detail::ended_by::message : detail::ended_by::receiver,
                                         .where = what_.where,
                                         .peer = what_.peer,
                                         .tag = what_.tag,
                                         .standard = 0,
                                         .call = what_.call,
                                         .begun = here});
  detail::check(MPI_Start(&handle), *what_.where, what_.call, here);
  running_ = true;
  what_.file = here.file;
  what_.line = here.line;
}

status persistent_request::wait(const place& here) {
  if (!running_) return {};
  detail::enter(*what_.where, "wait", here);
  auto handle = detail::handle_of<MPI_Request>(what_.handle);
  MPI_Status came;
  int code = 0;
  {
    const detail::watched_call waits("wait", detail::awaited_of(what_), here);
    code = MPI_Wait(&handle, &came);
  }
  return ended(code, handle == MPI_REQUEST_NULL, what_.receives ? detail::status_of(came) : status{});
}

status persistent_request::ended(int code, bool is_gone, const status& came) {
  running_ = false;
  detail::started copy = what_;
  if (is_gone) what_.where = nullptr;
  return detail::over(copy, code, came);
}

std::optional<status> persistent_request::test() {
  if (!running_) return status{};
  detail::enter(*what_.where, "test", what_.here());
  auto handle = detail::handle_of<MPI_Request>(what_.handle);
  MPI_Status came;
  int flag = 0;
  const int code = MPI_Test(&handle, &flag, &came);
  if (code == MPI_SUCCESS && flag == 0) return {};
  return ended(code, handle == MPI_REQUEST_NULL, what_.receives ? detail::status_of(came) : status{});
}

}  // namespace tutti::mpi
