#include <tutti/base/error.hpp>
#include <tutti/mpi/inside/pool_wire.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <map>
#include <sstream>

namespace tutti::mpi::detail {
namespace {

// A machine that is gone says nothing: the system asks it, and gives up after some 15 s.
void keep_alive(int fd) noexcept {
  const auto set = [fd](int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 5);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 2);
  set(IPPROTO_TCP, TCP_KEEPCNT, 5);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 15'000);
}

using clock = std::chrono::steady_clock;
constexpr std::chrono::seconds patience{60};

// In the abstract namespace: nothing to remove, whoever is killed.
std::pair<sockaddr_un, socklen_t> local_address(const meeting_place& place) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name =
      "tutti-ranks-" + std::to_string(place.token[0]) + '-' + std::to_string(place.token[1] >> 32U);
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return {address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())};
}

unique_fd checked(int fd, const char* what) {
  if (fd < 0) throw os_error::of(std::string("rank_pool: ") + what, errno);
  return unique_fd(fd);
}

void add_addresses(meeting_place& place) {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) throw os_error::of("rank_pool: no addresses of this machine", errno);
  std::string text;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    char shown[INET_ADDRSTRLEN] = {};
    const auto* const address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
    ::inet_ntop(AF_INET, &address->sin_addr, shown, sizeof shown);
    if (text.size() + sizeof shown < sizeof place.addresses) text += std::string(shown) + ' ';
  }
  ::freeifaddrs(all);
  text.copy(place.addresses, sizeof place.addresses - 1);
}

unique_fd reach(const meeting_place& place) {
  const auto [local, size] = local_address(place);
  unique_fd fd = checked(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "no socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&local), size) == 0) return fd;
  std::istringstream addresses(place.addresses);
  for (std::string text; place.port != 0 && addresses >> text;) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(place.port));
    ::inet_pton(AF_INET, text.c_str(), &address.sin_addr);
    fd = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "no socket");
    const timeval limit{5, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) continue;
    const timeval none{};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
    keep_alive(fd.get());
    return fd;
  }
  throw worker_lost(std::string("rank_pool: rank 0 cannot be reached at any of its addresses: ") + place.addresses);
}

}  // namespace

namespace {
progress_memory map_progress(int fd) noexcept {
  void* const at = ::mmap(nullptr, sizeof(pool_progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return nullptr;
  return {static_cast<pool_progress*>(at), [](pool_progress* memory) { ::munmap(memory, sizeof(pool_progress)); }};
}
}  // namespace

std::pair<progress_memory, unique_fd> make_progress_memory() {
  unique_fd fd = checked(::memfd_create("tutti-rank", MFD_CLOEXEC), "no shared memory");
  if (::ftruncate(fd.get(), sizeof(pool_progress)) != 0) throw os_error::of("rank_pool: no shared memory", errno);
  progress_memory memory = map_progress(fd.get());
  if (memory == nullptr) throw os_error::of("rank_pool: no shared memory", errno);
  return {std::move(memory), std::move(fd)};
}

progress_memory map_progress_memory(int pid, int fd) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
  const unique_fd opened(::open(path, O_RDWR | O_CLOEXEC));
  struct stat about{};
  if (!opened || ::fstat(opened.get(), &about) != 0 || about.st_size != sizeof(pool_progress)) return nullptr;
  return map_progress(opened.get());
}

bool send_all(int fd, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (sent < 0 && errno == EAGAIN) {
      pollfd room{fd, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

bool receive_all(int fd, void* to, std::size_t bytes) noexcept {
  auto* at = static_cast<char*>(to);
  while (bytes != 0) {
    const ssize_t got = ::recv(fd, at, bytes, MSG_WAITALL);
    if (got > 0) {
      at += got;
      bytes -= static_cast<std::size_t>(got);
    } else if (got == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

open_doors open_meeting_place(bool one_machine) {
  open_doors doors;
  if (::getrandom(doors.place.token, sizeof doors.place.token, 0) != sizeof doors.place.token)
    throw os_error::of("rank_pool: no random numbers", errno);
  doors.local = checked(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "no socket");
  const auto [address, size] = local_address(doors.place);
  if (::bind(doors.local.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(doors.local.get(), 4096) != 0)
    throw os_error::of("rank_pool: no socket for the ranks of this machine", errno);
  if (one_machine) return doors;
  doors.tcp = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "no socket");
  sockaddr_in any{};
  any.sin_family = AF_INET;
  socklen_t length = sizeof any;
  if (::bind(doors.tcp.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0 ||
      ::listen(doors.tcp.get(), 4096) != 0 ||
      ::getsockname(doors.tcp.get(), reinterpret_cast<sockaddr*>(&any), &length) != 0)
    throw os_error::of("rank_pool: no socket for the ranks of other machines", errno);
  doors.place.port = ntohs(any.sin_port);
  add_addresses(doors.place);
  return doors;
}

std::vector<rank_link> meet_workers(const open_doors& doors, int workers) {
  std::map<int, rank_link> met;
  const auto end = clock::now() + patience;
  for (int missing = 2 * workers; missing > 0;) {
    pollfd wanted[2] = {{doors.local.get(), POLLIN, 0}, {doors.tcp.get(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - clock::now()).count();
    if (left <= 0) {
      throw worker_lost("rank_pool: " + std::to_string(missing) + " of " + std::to_string(2 * workers) +
                        " connections of the other ranks have not come within a minute");
    }
    if (::poll(wanted, 2, static_cast<int>(left)) <= 0) continue;
    for (const pollfd& door : wanted) {
      if (door.revents == 0) continue;
      unique_fd fd(::accept4(door.fd, nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) continue;
      const timeval limit{5, 0};  // for who says nothing
      ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      hello said;
      if (!receive_all(fd.get(), &said, sizeof said)) continue;
      if (said.token[0] != doors.place.token[0] || said.token[1] != doors.place.token[1]) continue;  // a stranger
      if (door.fd == doors.tcp.get()) keep_alive(fd.get());
      rank_link& link = met[said.rank];
      link.rank = said.rank;
      link.pid = said.pid;
      if (said.is_control == 0 && door.fd == doors.local.get())
        link.progress = map_progress_memory(said.pid, said.progress);
      link.host.assign(said.host, ::strnlen(said.host, sizeof said.host));
      (said.is_control != 0 ? link.control : link.data) = std::move(fd);
      --missing;
    }
  }
  std::vector<rank_link> links;
  links.reserve(met.size());
  for (auto& [rank, link] : met) links.push_back(std::move(link));
  return links;
}

rank_link meet_caller(const meeting_place& place, int rank, const std::string& host) {
  auto [progress, progress_fd] = make_progress_memory();
  rank_link link{.rank = rank,
                 .pid = ::getpid(),
                 .host = host,
                 .data = reach(place),
                 .control = reach(place),
                 .progress = std::move(progress),
                 .progress_fd = std::move(progress_fd)};
  hello said;
  said.token[0] = place.token[0];
  said.token[1] = place.token[1];
  said.rank = rank;
  said.pid = link.pid;
  said.progress = link.progress_fd.get();
  host.copy(said.host, sizeof said.host - 1);
  bool ok = send_all(link.data.get(), bytes_of(said));
  said.is_control = 1;
  ok = send_all(link.control.get(), bytes_of(said)) && ok;
  if (!ok) throw worker_lost("rank_pool: rank 0 has gone before the pool was made");
  return link;
}

}  // namespace tutti::mpi::detail
