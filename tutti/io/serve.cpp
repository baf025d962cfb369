#include <tutti/io/serve.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/io/listening.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/ready_wait.hpp>
#include <tutti/io/tls.hpp>
#include <tutti/io/until.hpp>
#include <tutti/io/websocket.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/sync/semaphore.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/with_timeout.hpp>
#include <tutti/task/yield.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

namespace tutti::io::detail {
namespace {

// What the loops of one server share.
struct server {
  std::shared_ptr<const stream_handler> handler;
  serve_options options;
  std::stop_token quit;
  semaphore places;  // for connections

  server(std::shared_ptr<const stream_handler> h, const serve_options& o, std::stop_token q)
      : handler(std::move(h)), options(o), quit(std::move(q)), places(o.max_connections, "io::serve connections") {}
};

// The connections of one loop.
struct connections {
  std::size_t open = 0;
  event none{event_reset::manual, "io::serve drain"};
};

// One of the places for connections, given back however its task ends.
class kept_place {
 public:
  kept_place(server& all, connections& here) noexcept : all_(&all), here_(&here) {
    if (here.open++ == 0) here.none.clear();
  }
  kept_place(kept_place&& other) noexcept : all_(std::exchange(other.all_, nullptr)), here_(other.here_) {}
  kept_place& operator=(kept_place&&) = delete;
  ~kept_place() {
    if (all_ == nullptr) return;
    all_->places.release();
    if (--here_->open == 0) here_->none.set();
  }

 private:
  server* all_;
  connections* here_;
};

// What a peer or the network has done, and not the program.
bool is_of_the_peer(const error& e) {
  const auto is = [&]<class... E>() { return (... || (dynamic_cast<const E*>(&e) != nullptr)); };
  return is.operator()<os_error, closed, timed_out, tls_error, websocket_error, too_long, http::bad_message>();
}

void tell(const std::exception_ptr& failed, const std::string& peer) {
  try {
    std::rethrow_exception(failed);
  } catch (const cancelled&) {
  } catch (const error& e) {
    if (!is_of_the_peer(e)) return report_unhandled(failed, "io::serve handler", unhandled_origin::callback);
    log(log_level::debug, "connection ended", {{"peer", peer}, {"because", e.what()}});
  } catch (...) {
    report_unhandled(failed, "io::serve handler", unhandled_origin::callback);
  }
}

task<> serve_one(const stream_handler& handler, stream connection, kept_place) {
  const endpoint peer = connection.remote();
  std::exception_ptr failed;
  try {
    co_await handler(std::move(connection));
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed != nullptr) tell(failed, peer.text());
}

// Takes a connection that waits, if one does, into the place that the caller has taken for it.
attempt accept_one(listening& at, server& all, connections& here, task_group& group) {
  kept_place place(all, here);
  stream connection;
  const attempt outcome = at.accept(connection);
  if (outcome == attempt::connected) group.spawn(serve_one(*all.handler, std::move(connection), std::move(place)));
  return outcome;
}

// Until it is asked to stop, by `cancelled`. A place is taken when there is somebody for it: one that was kept for whom
// the system may send to another loop would be wanting there.
task<> accept_all(std::shared_ptr<listening> at, server& all, connections& here, task_group& group) {
  for (;;) {
    co_await ready_wait("accept", &at->socket(), readiness::to_read, no_limit);
    co_await all.places.acquire_async();
    attempt outcome = accept_one(*at, all, here, group);
    while (outcome == attempt::connected) {
      // Who is connected gets a turn, too, while many come at once.
      if (!at->socket().where().may_go_on()) co_await yield_now();
      if (!all.places.try_acquire()) break;
      outcome = accept_one(*at, all, here, group);
    }
    if (outcome == attempt::lost) co_await yield_now();
    if (outcome == attempt::no_room) co_await listening::pause(no_limit);
  }
}

// The same; gives what went wrong, which the group would tell of once more if it were thrown.
task<std::exception_ptr> try_to_accept_all(std::shared_ptr<listening> at, server& all, connections& here,
                                           task_group& group) {
  try {
    co_await accept_all(std::move(at), all, here, group);
  } catch (const cancelled&) {
    throw;
  } catch (...) {
    co_return std::current_exception();
  }
  co_return nullptr;
}

// Those who wait when nobody else is to be taken: they have been told that they are connected.
task<> accept_rest(listening& at, server& all, connections& here, task_group& group, until& end) {
  at.take_no_more();
  while (at.has_some()) {
    co_await yield_now();
    const bool has_place = co_await all.places.acquire_for_async(end.left());
    if (!has_place) break;
    const attempt outcome = accept_one(at, all, here, group);
    if (outcome != attempt::no_room) continue;
    const std::chrono::nanoseconds left = end.left();
    if (left <= std::chrono::nanoseconds(0)) break;
    co_await listening::pause(left);
  }
}

task<> serve_here(listener at, server& all) {
  connections here;
  here.none.set();
  co_await task_group::run([&](task_group& group) -> task<> {
    // Its end because of `quit` is no error of the group's.
    future<std::exception_ptr> accepting =
        group.spawn(try_to_accept_all(at.body(), all, here, group), {.name = "io::serve accept", .stop = all.quit});
    std::exception_ptr failed;
    try {
      failed = co_await std::move(accepting);
    } catch (const cancelled&) {
      if (!all.quit.stop_requested()) throw;
    }
    if (failed != nullptr) std::rethrow_exception(failed);
    until end(all.options.drain);
    co_await accept_rest(*at.body(), all, here, group, end);
    at.close();
    const bool drained = co_await here.none.wait_for_async(end.left());
    if (!drained) group.stop();
  });
}

// A further socket at the same place: connections are spread over both.
unique_fd another_socket(const listening& first) {
  const endpoint& at = first.at();
  const int descriptor = first.socket().descriptor();
  const auto check = [&](bool fine) {
    if (!fine) throw os_error::of("io::serve: cannot listen once more at " + at.text(), errno);
  };
  if (!at.is_ip()) {
    unique_fd same(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    check(static_cast<bool>(same));
    return same;
  }
  // Only now: until here nobody else could take the same port by mistake.
  const int on = 1;
  check(::setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
  return listening_socket(at, {.backlog = first.backlog(), .reuse_port = true});
}

// A thread with a loop of its own. Its end ends that.
class far_loop {
 public:
  far_loop(const listening& first, server& all)
      : thread_([this, fd = another_socket(first), backlog = first.backlog(),
                 shared = first.is_shared() && !first.at().is_ip(), &all]() mutable {
          std::exception_ptr failed;
          try {
            loop own;
            own.run(serve_there(own, std::move(fd), backlog, shared, all, stop_.get_token()));
          } catch (...) {
            failed = std::current_exception();
          }
          // With its loop gone: who waits for this goes on without it.
          if (failed == nullptr) return ended_.set_value();
          ended_.set_exception(failed);
        }) {}
  far_loop(const far_loop&) = delete;
  far_loop& operator=(const far_loop&) = delete;
  ~far_loop() { stop(); }

  future<void> ended() { return ended_.get_future(); }
  /// Asks all that runs there to stop. Thread-safe.
  void stop() noexcept { stop_.request_stop(); }

 private:
  static task<> serve_there(loop& own, unique_fd fd, int backlog, bool shared, server& all, std::stop_token now) {
    listener at(std::make_shared<listening>(std::move(fd), std::string(), backlog, shared, "io::serve"));
    future<void> served = own.with({.name = "io::serve", .stop = now}).submit(serve_here(std::move(at), all));
    co_await std::move(served);
  }

  std::stop_source stop_;
  promise<void> ended_;
  std::jthread thread_;  // last: it uses the others
};

// Hands on a stop, and awaits the end in any case.
task<> end_of(far_loop& other) {
  const auto hand_on = [&other] { other.stop(); };
  const std::stop_callback at_stop(this_task::stop_token(), hand_on);
  future<void> ended = other.ended();
  co_await shield(std::move(ended));
}

std::unique_ptr<far_loop> new_far_loop(const listening& first, server& all) {
  try {
    return std::make_unique<far_loop>(first, all);
  } catch (const std::system_error& e) {
    throw os_error::of("io::serve: cannot start a thread for a further loop", e.code().value());
  }
}

}  // namespace

task<> serve(listener at, std::shared_ptr<const stream_handler> handler, serve_options options, std::stop_token quit) {
  if (!at) throw std::invalid_argument("io::serve: the listener was closed, or is none");
  if (options.max_connections < 1 || options.loops < 1 || options.loops > 4096)
    throw std::invalid_argument(
        fmt::format("io::serve: max_connections {} and loops {}: both are 1 or more, and loops at most 4096",
                    options.max_connections, options.loops));
  server all(std::move(handler), options, std::move(quit));
  std::vector<std::unique_ptr<far_loop>> others;
  // The first loop to fail ends them all.
  co_await task_group::run([&](task_group& group) -> task<> {
    for (int i = 1; i < options.loops; ++i) {
      others.push_back(new_far_loop(*at.body(), all));
      group.spawn(end_of(*others.back()), {.name = "io::serve loop"});
    }
    co_await serve_here(std::move(at), all);
  });
}

}  // namespace tutti::io::detail
