#include <tutti/io/serve.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/tls.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/sync/semaphore.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/when.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
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

void tell(const std::exception_ptr& failed, const std::string& peer) {
  try {
    std::rethrow_exception(failed);
  } catch (const cancelled&) {
  } catch (const os_error& e) {
    log(log_level::debug, "connection ended", {{"peer", peer}, {"because", e.what()}});
  } catch (const closed& e) {
    log(log_level::debug, "connection ended", {{"peer", peer}, {"because", e.what()}});
  } catch (const timed_out& e) {
    log(log_level::debug, "connection ended", {{"peer", peer}, {"because", e.what()}});
  } catch (const tls_error& e) {
    log(log_level::debug, "connection ended", {{"peer", peer}, {"because", e.what()}});
  } catch (const too_long& e) {
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

task<int> accept_all(listener& at, server& all, connections& here, task_group& group) {
  for (;;) {
    co_await all.places.acquire_async();
    stream connection;
    try {
      connection = co_await at.accept();
    } catch (...) {
      all.places.release();
      throw;
    }
    group.spawn(serve_one(*all.handler, std::move(connection), kept_place(all, here)));
  }
}

task<> serve_here(listener at, server& all) {
  connections here;
  here.none.set();
  co_await task_group::run([&](task_group& group) -> task<> {
    // Its end because of `quit` is no error of the group's.
    future<int> accepting =
        group.spawn(accept_all(at, all, here, group), {.name = "io::serve accept", .stop = all.quit});
    try {
      co_await std::move(accepting);
    } catch (const cancelled&) {
      if (!all.quit.stop_requested()) throw;
    }
    at.close();
    const bool drained = co_await here.none.wait_for_async(all.options.drain);
    if (!drained) group.stop();
  });
}

// A further socket at the same place: connections are spread over both.
unique_fd another_socket(const listener& first) {
  const endpoint at = first.local();
  const auto check = [&](bool fine) {
    if (!fine) throw os_error::of("io::serve: cannot listen once more at " + at.text(), errno);
  };
  if (!at.is_ip()) {
    unique_fd same(::fcntl(first.descriptor(), F_DUPFD_CLOEXEC, 0));
    check(static_cast<bool>(same));
    return same;
  }
  const int on = 1, off = 0;
  unique_fd socket(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  check(static_cast<bool>(socket));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (at.family() == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  // Only now: until here nobody else could take the same port by mistake.
  check(::setsockopt(first.descriptor(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        ::bind(socket.get(), at.data(), at.size()) == 0 && ::listen(socket.get(), SOMAXCONN) == 0);
  return socket;
}

// A thread with a loop of its own.
class far_loop {
 public:
  far_loop(unique_fd socket, server& all, const std::stop_token& now)
      : thread_([this, fd = std::move(socket), &all, now]() mutable {
          try {
            loop own;
            own.run(serve_there(own, std::move(fd), all, now));
            ended_.set_value();
          } catch (...) {
            ended_.set_exception(std::current_exception());
          }
        }) {}
  far_loop(const far_loop&) = delete;
  far_loop& operator=(const far_loop&) = delete;

  future<void> ended() { return ended_.get_future(); }

 private:
  static task<> serve_there(loop& own, unique_fd fd, server& all, std::stop_token now) {
    listener at = listener::adopt(std::move(fd));
    future<void> served = own.with({.name = "io::serve", .stop = now}).submit(serve_here(std::move(at), all));
    co_await std::move(served);
  }

  promise<void> ended_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace

task<> serve(listener at, std::shared_ptr<const stream_handler> handler, serve_options options, std::stop_token quit) {
  if (!at) throw std::invalid_argument("io::serve: the listener was closed, or is none");
  if (options.max_connections < 1 || options.loops < 1 || options.loops > 4096)
    throw std::invalid_argument(
        fmt::format("io::serve: max_connections {} and loops {}: both are 1 or more, and loops at most 4096",
                    options.max_connections, options.loops));
  server all(std::move(handler), options, std::move(quit));
  std::stop_source now;
  std::vector<std::unique_ptr<far_loop>> others;
  std::exception_ptr failed;
  try {
    for (int i = 1; i < options.loops; ++i)
      others.push_back(std::make_unique<far_loop>(another_socket(at), all, now.get_token()));
    co_await serve_here(std::move(at), all);
  } catch (...) {
    failed = std::current_exception();
    now.request_stop();
  }
  for (const auto& other : others) {
    future<void> ended = other->ended();
    try {
      co_await shield(std::move(ended));
    } catch (...) {
      if (failed == nullptr) failed = std::current_exception();
    }
  }
  if (failed != nullptr) std::rethrow_exception(failed);
}

}  // namespace tutti::io::detail
