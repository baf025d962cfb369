#include <tutti/sync/thread.hpp>

#include <tutti/base/trace.hpp>
#include <tutti/sync/waking.hpp>

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace tutti {

namespace {

// Linux keeps 15 bytes; a character of several bytes is not cut.
void name_this_thread(std::string_view name) noexcept {
  if (name.empty()) return;
  char shown[16] = {};
  std::size_t length = std::min(name.size(), sizeof shown - 1);
  const auto goes_on = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; };
  while (length > 0 && length < name.size() && goes_on(name[length])) --length;
  name.copy(shown, length);
  ::pthread_setname_np(::pthread_self(), shown);
}

}  // namespace

void thread::start(std::string_view name, task_state_base& work, state_ref<future_state<void>> state) {
  state_ = std::move(state);
  try {
    work.configure({.name = name}, "");
    trace_point(trace_kind::task_submit, static_cast<const call_node*>(&work));
    native_ = std::thread([&work, shown = this->name()] {
      name_this_thread(shown);
      work.run();
    });
  } catch (...) {
    state_->observe();
    work.abandon(std::current_exception());
    throw;
  }
}

thread& thread::operator=(thread&& other) noexcept {
  if (this == &other) return *this;
  finish();
  state_ = std::move(other.state_);
  native_ = std::move(other.native_);
  return *this;
}

void thread::check_joinable(const char* form) const {
  const std::string text = detail::primitive_text("thread", name()) + ": " + form;
  if (!joinable()) throw std::logic_error(text + (state_ ? ": it was joined already" : ": there is none"));
  if (id() == std::this_thread::get_id()) throw deadlock(text + ": it would wait for itself");
}

wait_result thread::wait(const wait_how& how) {
  check_joinable(how.what);
  return state_->wait(how);
}

void thread::take_result() {
  native_.join();  // what is left of it: the destructors of its thread_locals
  state_->value();
}

void thread::join(place here) {
  wait({.here = here, .what = "thread::join", .instead = "join_async()"});
  take_result();
}

bool thread::join_for(std::chrono::nanoseconds limit, place here) {
  const detail::time_limit until(limit);
  const wait_how how{.deadline = until.deadline(), .here = here, .what = "thread::join_for", .instead = "join_async()"};
  if (wait(how) != wait_result::ready) return false;
  take_result();
  return true;
}

void thread::join(const std::stop_token& stop, place here) {
  const auto result = wait({.stop = stop, .here = here, .what = "thread::join", .instead = "join_async()"});
  detail::throw_if_stopped(result, {nullptr, wait_rule::it_ends, "thread", name()}, "join", here);
  take_result();
}

thread::join_awaiter thread::join_async() {
  check_joinable("join_async");
  return join_awaiter(*this);
}

void thread::finish() noexcept {
  if (!joinable()) return;
  request_stop();
  try {
    wait({.what = "thread::~thread"});
  } catch (const pool_exhausted&) {  // then this worker waits without a replacement
  } catch (const std::exception& refused) {
    const std::string text = detail::primitive_text("thread", name());
    std::fprintf(stderr, "tutti: fatal: %s destroyed before it was joined: %s\n", text.c_str(), refused.what());
    std::abort();
  }
  native_.join();
}

}  // namespace tutti
