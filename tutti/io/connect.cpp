#include <tutti/io/connect.hpp>

#include <tutti/io/helpers.hpp>
#include <tutti/io/ready_wait.hpp>
#include <tutti/io/until.hpp>
#include <tutti/task/sleep.hpp>

#include <fmt/format.h>

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>

namespace tutti::io {
namespace {

using namespace std::chrono_literals;

std::optional<endpoint> in_numbers(const std::string& host, std::uint16_t port) {
  try {
    return endpoint::of(host, port);
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

std::vector<endpoint> look_up(const std::string& host, std::uint16_t port) {
  ::addrinfo hints{};
  hints.ai_flags = AI_ADDRCONFIG;
  hints.ai_socktype = SOCK_STREAM;
  ::addrinfo* found = nullptr;
  int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed != 0) {  // on a machine that has the loopback only, its addresses are not "configured"
    hints.ai_flags = 0;
    failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  }
  if (failed != 0) {
    const int code = errno;
    // It says of a name that does not exist what it says without a descriptor to ask with.
    const unique_fd spare(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!spare && (errno == EMFILE || errno == ENFILE))
      throw os_error::of(fmt::format("cannot look up host \"{}\"", host), errno);
    throw dns_error(fmt::format("cannot find host \"{}\": {}", host,
                                failed == EAI_SYSTEM ? os_error::of("resolver", code).what() : ::gai_strerror(failed)),
                    failed == EAI_AGAIN || failed == EAI_SYSTEM || failed == EAI_MEMORY);
  }
  std::vector<endpoint> places;
  for (const ::addrinfo* a = found; a != nullptr; a = a->ai_next) places.emplace_back(a->ai_addr, a->ai_addrlen);
  ::freeaddrinfo(found);
  return places;
}

void check_name(const std::string& host) {
  if (host.empty() || host.size() > 253 || host.find('\0') != std::string::npos)
    throw dns_error(fmt::format("cannot find host \"{}\": a name has 1 to 253 characters, none of them zero",
                                host.substr(0, 64).c_str()));  // up to the zero, which would end the text
}

// The resolver takes "127.1", "0177.0.0.1" and "0x7f.1" for addresses, which misleads who checks them, as endpoint::of
// says; no name ends in a number.
void refuse_shorthand(std::string_view host) {
  const std::string_view name = host.substr(0, host.size() - (host.ends_with('.') ? 1 : 0));
  const std::string_view last = name.substr(name.rfind('.') + 1);  // from 0 on without a dot
  const auto only = [](std::string_view text, const char* digits) {
    return text.find_first_not_of(digits) == std::string_view::npos;
  };
  const bool is_hex = last.starts_with("0x") || last.starts_with("0X");
  if (!last.empty() && (is_hex ? only(last.substr(2), "0123456789abcdefABCDEF") : only(last, "0123456789")))
    throw dns_error(
        fmt::format("cannot find host \"{}\": it ends in a number, as an address, but is none in full: "
                    "write \"127.0.0.1\"",
                    host));
}

}  // namespace

task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port, time_limit limit) {
  check_name(host);
  if (const auto place = in_numbers(host, port)) co_return std::vector<endpoint>{*place};
  refuse_shorthand(host);
  const auto found = std::make_shared<std::vector<endpoint>>();
  // Nobody can end getaddrinfo early: who gives up leaves it to itself.
  auto work = [found, host, port] { *found = look_up(host, port); };
  const shared_future<void> asked = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(asked, detail::until(limit), fmt::format("looking up host \"{}\"", host));
  co_return std::move(*found);
}

task<stream> connect(endpoint to, connect_options options) {
  detail::until end(options.limit);
  const std::string tried = "connecting to " + to.text();
  unique_fd made(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made) throw os_error::of(tried, errno);
  if (to.is_ip() && options.no_delay) {
    const int on = 1;
    ::setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  const int socket = made.get();
  const auto try_it = [&] { return ::connect(socket, to.data(), to.size()) == 0 ? 0 : errno; };
  int error = try_it();
  for (; error == EAGAIN && to.is_unix(); error = try_it()) {  // its backlog is full; nothing tells when it is not
    if (end.left() == 0ns) throw timed_out(tried + ": it accepts nobody in time");
    co_await sleep_for(std::min<std::chrono::nanoseconds>(1ms, end.left()));
  }
  if (error != 0 && error != EINPROGRESS && error != EINTR) throw os_error::of(tried, error);
  detail::byte_stream_ptr body = detail::make_descriptor_stream(std::move(made), to, "connect");
  if (error != 0) {
    co_await detail::ready_wait("connect", body.get(), detail::readiness::to_write, end.left());
    ::socklen_t size = sizeof error;
    ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) throw os_error::of(tried, error);
  }
  co_return stream(std::move(body));
}

task<stream> detail::connect_to_one(std::vector<endpoint> places, until end, bool no_delay) {
  std::exception_ptr failed;
  for (std::size_t i = 0; i != places.size(); ++i) {
    const time_limit left = end.left();
    const auto share = std::chrono::nanoseconds(left) / static_cast<std::int64_t>(places.size() - i);
    connect_options options{.limit = left, .no_delay = no_delay};
    if (!(left == no_limit)) options.limit = time_limit(share, left.told());
    try {
      co_return co_await connect(places[i], options);
    } catch (const os_error&) {
      failed = std::current_exception();
    } catch (const timed_out&) {
      failed = std::current_exception();
    }
  }
  std::rethrow_exception(failed);
}

task<stream> connect(std::string to, connect_options options) {
  if (to.starts_with("unix:")) co_return co_await connect(endpoint::parse(to), options);
  const auto [host, port] = detail::split_port(to);
  detail::until end(options.limit);
  std::vector<endpoint> places = co_await resolve(host, port, end.left());  // the first to be told all of it
  co_return co_await detail::connect_to_one(std::move(places), end, options.no_delay);
}

std::pair<stream, stream> stream_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    throw os_error::of("cannot make a pair of sockets", errno);
  unique_fd first(ends[0]), second(ends[1]);
  return {stream(detail::make_descriptor_stream(std::move(first), {}, "a socket of a pair")),
          stream(detail::make_descriptor_stream(std::move(second), {}, "a socket of a pair"))};
}

}  // namespace tutti::io
