#include <tutti/io/http/server_session.hpp>

#include <tutti/base/log.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/local_executor.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/io/until.hpp>

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>

namespace tutti::io::http::detail {
namespace {

using io::detail::until;
using namespace std::chrono_literals;

constexpr std::uint64_t small_body = 65536;

bool has_no_body(int status) noexcept { return status == 204 || status == 304 || (status >= 100 && status < 200); }

// What a handler leaves of a body may take so long to come, with an answer waiting for it.
constexpr std::chrono::nanoseconds drop_limit = 5s;

// Notes a wait for a request while it lives; `where` null: it is for more of one.
class noted_wait {
 public:
  noted_wait(idle_note* where, io::detail::byte_stream& from, io::detail::operation& waiting) noexcept : where_(where) {
    if (where_ != nullptr) *where_ = {&from, &waiting, false};
  }
  ~noted_wait() {
    if (where_ != nullptr) where_->waiting = nullptr;
  }
  noted_wait(const noted_wait&) = delete;
  noted_wait& operator=(const noted_wait&) = delete;

 private:
  idle_note* const where_;
};

bool is_timed_out(const std::exception_ptr& failed) {
  try {
    std::rethrow_exception(failed);
  } catch (const timed_out&) {
    return true;
  } catch (...) {
    return false;
  }
}

response with_reason(int status) { return {status, fmt::format("{} {}\n", status, reason(status))}; }

}  // namespace

session::session(stream s, const server_state& all, idle_note& idle)
    : all_(all),
      idle_(idle),
      wire_(std::move(s), parser::of::requests, all.options.max_head, all.options.progress_limit) {
  asked_.remote_ = wire_.io().remote();
}

session::arrival session::look_for_head() {
  try {
    if (!wire_.has_input() || !wire_.try_head(asked_.head_)) return arrival::more;
    asked_.split_target();
    return arrival::here;
  } catch (const bad_message& e) {
    log(log_level::debug, "request refused", {{"peer", asked_.remote_.text()}, {"because", e.what()}});
    refused_ = e.status();
    return arrival::refused;
  }
}

task<session::arrival> session::await_head() {
  bool begun = wire_.has_input();
  std::optional<until> end;
  for (;;) {
    if (!wire_.out.empty()) co_await wire_.flush();
    std::chrono::nanoseconds limit = all_.options.idle_limit;
    if (begun) {
      if (!end) end.emplace(all_.options.head_limit);
      limit = end->left();
    } else if (all_.quit.stop_requested()) {
      limit = 0ns;  // what is there already has been asked in time
    }
    std::size_t n = 0;
    bool late = false;
    idle_.was_ended = false;
    try {
      io::detail::read_wait reading = wire_.io().read_some(wire_.room(), limit);
      const noted_wait noted(begun ? nullptr : &idle_, *wire_.beneath(), reading);
      n = co_await reading;
    } catch (const timed_out&) {
      late = true;
    } catch (const os_error&) {
      if (!std::exchange(idle_.was_ended, false)) throw;
      continue;
    }
    if (!begun && (late || n == 0)) co_return arrival::gone;
    if (late || n == 0) {
      refused_ = late ? 408 : 400;
      co_return arrival::refused;
    }
    begun = true;
    wire_.took(n);
    const arrival found = look_for_head();
    if (found != arrival::more) co_return found;
  }
}

task<> session::refuse(int status) {
  ends_ = true;
  asked_.head_.method.clear();
  asked_.head_.version = 11;
  static_cast<void>(put(with_reason(status)));
  co_await wire_.linger();
}

response session::missing(const route_table::found& found) const {
  if (asked_.method() == "OPTIONS" && (found.path_known || asked_.target() == "*")) {
    response answer(204);
    answer.headers.add("Allow", found.path_known ? found.allow + ", OPTIONS" : "GET, HEAD, POST, OPTIONS");
    return answer;
  }
  response answer = with_reason(found.path_known ? 405 : 404);
  if (found.path_known) answer.headers.add("Allow", found.allow + ", OPTIONS");
  return answer;
}

response session::failed_answer(const std::exception_ptr& failed) {
  if (this_task::stop_requested()) std::rethrow_exception(failed);
  const int refused = asked_.body_.failure();
  try {
    std::rethrow_exception(failed);
  } catch (const status_error& e) {  // meant so
    return {e.status(), e.text()};
  } catch (...) {
    ends_ = true;
    if (refused > 0) return with_reason(refused);
    if (refused == body_reader::ended_early) {  // by a limit of the handler's own?
      if (is_timed_out(failed)) return with_reason(408);
    } else if (refused != 0) {
      throw;  // the connection is broken
    }
    report(failed);
    return with_reason(500);
  }
}

void session::report(const std::exception_ptr& failed) const {
  const std::string name = fmt::format("http handler of {} {}", asked_.method(), asked_.path());
  report_unhandled(failed, name.c_str(), unhandled_origin::callback);
}

void session::check(response& answer) const {
  if (answer.status >= 200 && answer.status <= 999) return;
  report(std::make_exception_ptr(
      std::out_of_range(fmt::format("the answer has the status {}: one that is final is 200 to 999", answer.status))));
  answer = with_reason(500);
}

task<bool> session::hand_over(response& answer) {
  // What is left of the body would be taken for the other protocol's.
  if (!wire_.is_complete()) co_await finish_body();
  if (lingers_) {
    answer = with_reason(400);
    co_return false;
  }
  if (!wire_.out.empty()) co_await wire_.flush();
  co_await answer.takeover(wire_.release(), asked_);
  co_return true;
}

task<> session::finish_body() {
  if (asked_.body_.failure() != 0 || asked_.body_.is_awaited()) {
    ends_ = lingers_ = true;
    co_return;
  }
  bool done = false;
  try {
    done = wire_.drop_arrived();
    if (!done && asked_.body_.size().value_or(small_body + 1) <= small_body)
      done = co_await wire_.drop_body(small_body, drop_limit);
  } catch (const bad_message&) {  // what follows could be anything
  } catch (const closed&) {
  } catch (const timed_out&) {
  }
  if (!done) ends_ = lingers_ = true;
}

bool session::put(const response& answer) {
  std::string& out = wire_.out;
  put_status_line(out, answer.status);
  if (!answer.headers.contains("Date")) put_date(out);
  if (put_fields(out, answer.headers)) ends_ = true;
  const bool old = asked_.version() < 11;
  const bool bodiless = has_no_body(answer.status);
  chunked_ = until_the_end_ = false;
  if (answer.source == nullptr) {
    if (!bodiless) put_field(out, "Content-Length", answer.body.size());
  } else if (answer.size) {
    if (!bodiless) put_field(out, "Content-Length", *answer.size);
  } else if (!bodiless) {
    chunked_ = !old;
    if (chunked_) {
      put_field(out, "Transfer-Encoding", "chunked");
    } else {
      ends_ = until_the_end_ = true;
    }
  }
  if (ends_) {
    put_field(out, "Connection", "close");
  } else if (old) {
    put_field(out, "Connection", "keep-alive");
  }
  out += "\r\n";
  if (bodiless || asked_.method() == "HEAD") return false;
  if (answer.source != nullptr) return true;
  if (out.size() + answer.body.size() > connection::most_gathered) return true;
  out += answer.body;
  return false;
}

task<> session::send_rest(const response& answer) {
  if (answer.source == nullptr) {
    co_await wire_.write(answer.body);
  } else {
    body_writer to(wire_, answer.size, chunked_);
    co_await answer.source(to);
    to.finish();
  }
}

task<> session::run() {
  for (int count = 1;; ++count) {
    wire_.begin();
    asked_.begin(all_.options.max_body);
    arrival found = look_for_head();
    if (found == arrival::more) found = co_await await_head();
    if (found == arrival::gone) co_return;
    if (found == arrival::refused) {
      co_await refuse(refused_);
      co_return;
    }
    asked_.body_ = body_reader(wire_, asked_.head_, all_.options.max_body);
    ends_ = !asked_.head_.keep_alive || count == all_.options.max_requests;

    response answer;
    const route_table::found route = all_.table->find(asked_);
    if (route.what == nullptr) {
      answer = missing(route);
    } else {
      const auto* const waits = std::get_if<task_handler>(route.what);
      if (waits != nullptr && !wire_.out.empty()) co_await wire_.flush();
      std::exception_ptr failed;
      try {
        if (waits != nullptr) {
          answer = co_await (*waits)(asked_);
        } else {
          answer = std::get<plain_handler>(*route.what)(asked_);
        }
      } catch (...) {
        failed = std::current_exception();
      }
      if (failed != nullptr) answer = failed_answer(failed);
    }
    if (answer.takeover != nullptr) {
      const bool over = co_await hand_over(answer);
      if (over) co_return;
    }
    check(answer);
    // Who writes the answer may still read the request.
    if (answer.source == nullptr && !wire_.is_complete() && !lingers_) co_await finish_body();
    if (answer.source != nullptr && asked_.body_.is_awaited()) {
      const bool is_made = answer.ok() && !has_no_body(answer.status) && asked_.method() != "HEAD";
      asked_.body_.answer_begins(is_made);
      if (!is_made) ends_ = true;
    }
    if (all_.quit.stop_requested()) ends_ = true;
    const bool more = put(answer);
    if (more) co_await send_rest(answer);
    if (!wire_.is_complete() && !lingers_) {
      co_await wire_.flush();
      co_await finish_body();
    }
    if ((ends_ || !wire_.has_input() || wire_.out.size() >= connection::most_gathered) && !wire_.flush_at_once())
      co_await wire_.flush();
    if (ends_) {
      // Who was not told of it before, or has said more already, may send on, and would have its answer cut off.
      if (asked_.head_.keep_alive || !wire_.is_quiet()) co_await wire_.linger();
      co_return;
    }
  }
}

task<> serve_connection(stream s, std::shared_ptr<const server_state> all) {
  if (all->wrap != nullptr) s = co_await all->wrap(std::move(s));
  const auto idle = std::make_shared<idle_note>();
  const std::uint64_t home = home_here().id;
  const auto end_idle = [idle, home] {
    auto there = [idle] { idle->end(); };
    start_at_home(home, tutti::call(new tutti::detail::posted<decltype(there)>(std::move(there), {})));
  };
  const std::stop_callback<decltype(end_idle)> at_stop(all->quit, end_idle);
  session one(std::move(s), *all, *idle);
  try {
    co_await one.run();
  } catch (...) {
    one.break_off();
    throw;
  }
}

}  // namespace tutti::io::http::detail
