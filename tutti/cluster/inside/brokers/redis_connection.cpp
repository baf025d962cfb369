#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/brokers/redis_connection.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tutti::cluster::detail {

namespace {

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> starts) {
  return std::any_of(starts.begin(), starts.end(), [text](std::string_view s) { return text.starts_with(s); });
}

void set_option(int fd, int level, int name, int value) noexcept {
  ::setsockopt(fd, level, name, &value, sizeof value);  // makes it better where it can be had, is not needed
}

// The value of `name=` in the line that CLIENT INFO gives.
std::string field_of(std::string_view line, std::string_view name) {
  for (std::size_t at = 0; (at = line.find(name, at)) != std::string_view::npos; ++at) {
    if (at != 0 && line[at - 1] != ' ') continue;  // the end of another name
    at += name.size();
    return std::string(line.substr(at, line.find_first_of(" \r\n", at) - at));
  }
  return {};
}

// What Redis says, under its name and without the password: a server whose AUTH has another name repeats the words that
// it does not understand.
std::string told(const broker_url& where, std::string_view said) {
  std::string text(said);
  const std::string& secret = where.password;
  for (std::size_t at = 0; !secret.empty() && (at = text.find(secret, at)) != std::string::npos; at += 2)
    text.replace(at, secret.size(), "**");
  return where.redacted() + ": " + text;
}

bool has_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [text](std::string_view s) { return text.find(s) != text.npos; });
}

std::string_view way_out(std::string_view error) noexcept {
  if (starts_with_any(error, {"NOAUTH", "WRONGPASS", "ERR invalid password", "ERR AUTH"}))
    return " (the URL's user and password are redis://USER:PASSWORD@HOST)";
  if (error.starts_with("OOM")) return " (it is full: raise its maxmemory, or drop what nobody needs)";
  if (error.starts_with("READONLY")) return " (it is a replica: name the master)";
  if (error.find("WRONGTYPE") != std::string_view::npos) return " (the key of this name belongs to something else)";
  if (denial_of(error) == redis_denial::command)
    return " (its user lacks a right, often +time: see the ACL line in docs/cluster.md)";
  if (error.find("unknown command") != std::string_view::npos) return " (tutti needs Redis 6.2 or later)";
  return {};
}

void throw_error(const broker_url& where, redis_value reply) {
  if (!reply.is_error()) return;
  const std::string text = told(where, reply.text()) + std::string(way_out(reply.text()));
  // An error in a script names it first.
  if (has_any(reply.text(), {"WRONGTYPE", "exceeds maximum allowed size"})) throw broker_refusal(text);
  throw broker_error(text);
}

}  // namespace

redis_denial denial_of(std::string_view error) noexcept {
  if (has_any(error, {"can't run this command", "permissions to run"})) return redis_denial::command;
  if (has_any(error, {"NOPERM", "can't access at least one of the keys", "can't publish to the channel",
                      "ACL failure in script"}))
    return redis_denial::key;
  return redis_denial::none;
}

void throw_errors(const broker_url& where, std::span<const redis_reply> replies) {
  for (const redis_reply& reply : replies) {
    throw_error(where, reply.value());
    for (std::size_t i = 0; i < reply.value().size(); ++i) throw_error(where, reply.value()[i]);
  }
}

redis_connection::redis_connection(broker_url where, std::chrono::milliseconds patience,
                                   std::span<const redis_script* const> scripts)
    : where_(std::move(where)),
      patience_(std::max(patience, std::chrono::milliseconds(1))),
      scripts_(scripts.begin(), scripts.end()) {}

redis_connection::~redis_connection() { close(); }

void redis_connection::close() noexcept {
  if (context_ != nullptr) ::redisFree(std::exchange(context_, nullptr));
  hashes_.clear();
}

int redis_connection::fd() const noexcept { return context_ == nullptr ? -1 : context_->fd; }

void redis_connection::lose(const std::string& why) {
  const std::string text = told(where_, why);
  close();
  throw redis_lost(text);
}

void redis_connection::open() {
  if (is_open()) return;
  connect();
  try {
    log_in();
    end_the_one_before();
  } catch (...) {
    close();
    throw;
  }
}

void redis_connection::connect() {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience_);
  const ::timeval limit{seconds.count(), std::chrono::microseconds(patience_ - seconds).count()};
  context_ = where_.scheme == "redis+socket" ? ::redisConnectUnixWithTimeout(where_.path.c_str(), limit)
                                             : ::redisConnectWithTimeout(where_.host.c_str(), where_.port, limit);
  if (context_ == nullptr) throw redis_lost(told(where_, "no memory for a connection"));
  if (context_->err != 0) lose(std::string("cannot connect: ") + context_->errstr);
  const int fd = context_->fd;
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // programs that a task starts have no part in it
  if (where_.scheme == "redis+socket") return;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // Who is gone without a word is noticed within 11 s, also by those who only listen.
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 11000);
}

void redis_connection::log_in() {
  redis_request hello;
  if (!where_.password.empty()) {
    if (where_.user.empty()) {
      hello.add({"AUTH", where_.password});
    } else {
      hello.add({"AUTH", where_.user, where_.password});
    }
  }
  if (where_.database != 0) hello.add({"SELECT", std::to_string(where_.database)});
  const std::size_t loads = hello.commands();
  for (const redis_script* script : scripts_) hello.add({"SCRIPT", "LOAD", std::string(script->before) + script->text});
  const std::vector<redis_reply> replies = run(hello);
  for (std::size_t i = 0; i < scripts_.size(); ++i)
    hashes_[scripts_[i]] = std::string(replies[loads + i].value().text());
}

void redis_connection::end_the_one_before() {
  // What it had sent may still be on the way, and would be carried out after what this one is about to ask. A Redis
  // that does not let us end it keeps that small risk; it may also be gone, or have gone with a restart.
  redis_request request;
  if (!number_.empty()) request.add({"CLIENT", "KILL", "ID", number_, "ADDR", address_});
  request.add({"CLIENT", "INFO"});
  send(request);
  redis_reply last;
  for (std::size_t i = 0; i < request.commands(); ++i) last = read();
  // Only now: when it was not answered, the next attempt ends that same one.
  number_.clear();
  address_.clear();
  if (!last.value().is_text()) return;
  number_ = field_of(last.value().text(), "id=");
  address_ = field_of(last.value().text(), "addr=");
}

void redis_connection::wait_for(short events, clock::time_point until, const char* what) {
  for (;;) {
    ::pollfd one{fd(), events, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
    const int ready = ::poll(&one, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30)));
    if (ready > 0) return;
    if (ready == 0) lose(std::string(what) + " for " + std::to_string(patience_.count()) + " ms");
    if (errno != EINTR) lose(std::string("poll: ") + std::strerror(errno));
  }
}

::ssize_t redis_connection::feed_some() {
  char bytes[64 * 1024];
  ::ssize_t n = 0;
  do {
    n = ::recv(fd(), bytes, sizeof bytes, MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n > 0 && ::redisReaderFeed(context_->reader, bytes, static_cast<std::size_t>(n)) != REDIS_OK)
    lose(std::string("what it sends cannot be read: ") + context_->reader->errstr);
  return n;
}

bool redis_connection::feed() {
  const ::ssize_t n = feed_some();
  if (n == 0) lose("it has closed the connection");
  if (n < 0 && errno != EAGAIN) lose(std::string("the connection broke: ") + std::strerror(errno));
  return n > 0;
}

void redis_connection::send(const redis_request& request) {
  if (!is_open()) throw redis_lost(told(where_, "not connected"));
  std::string_view left = request.bytes();
  auto until = clock::now() + patience_;
  while (!left.empty()) {
    const ::ssize_t n = ::send(fd(), left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      left.remove_prefix(static_cast<std::size_t>(n));
      until = clock::now() + patience_;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      wait_for(POLLOUT | POLLIN, until, "it takes nothing");
      ::ssize_t n_read = 0;  // or neither of us would go on, each waiting for the other
      while ((n_read = feed_some()) > 0) until = clock::now() + patience_;
      if (n_read == 0 || errno != EAGAIN) return;
    } else if (errno != EINTR) {
      return;  // who reads hears what it said about that before, or that the connection broke
    }
  }
}

std::optional<redis_reply> redis_connection::read_now() {
  if (!is_open()) throw redis_lost(told(where_, "not connected"));
  do {
    void* reply = nullptr;
    if (::redisReaderGetReply(context_->reader, &reply) != REDIS_OK)
      lose(std::string("what it sends cannot be read: ") + context_->reader->errstr);
    if (reply != nullptr) {
      redis_reply whole(static_cast<::redisReply*>(reply));
      check_server(whole.value());
      return whole;
    }
  } while (feed());
  return std::nullopt;
}

redis_reply redis_connection::read() {
  for (auto until = clock::now() + patience_;;) {
    std::optional<redis_reply> reply = read_now();
    if (reply) return std::move(*reply);
    wait_for(POLLIN, until, "it says nothing");
    if (feed()) until = clock::now() + patience_;
  }
}

// Throws for what concerns all that is asked of this server: it loads its data, is no master yet or no more, or has
// forgotten the scripts, which it gets again with the next connection; and for what it closes the connection after: a
// text that is too long for it, or, before 7.0, a request of more than 1024 * 1024 words. It stays open here then, as
// it was not lost: who uses it next finds it broken.
void redis_connection::check_server(redis_value reply) {
  if (!reply.is_error()) return;
  std::string_view text = reply.text();
  if (has_any(text, {"invalid bulk length", "invalid multibulk length"})) throw broker_refusal(told(where_, text));
  // An error in a script names the script first.
  for (const std::string_view passing : {"-READONLY", "-MISCONF", "-NOREPLICAS", "-MASTERDOWN"})
    if (const std::size_t at = text.find(passing); at != std::string_view::npos) text.remove_prefix(at + 1);
  if (starts_with_any(text, {"LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "NOSCRIPT", "READONLY",
                             "MISCONF", "NOREPLICAS"}) ||
      reply.text().find("max number of clients") != std::string_view::npos) {
    lose(std::string(reply.text()) + std::string(way_out(text)));
  }
}

std::vector<redis_reply> redis_connection::run(const redis_request& request) {
  send(request);
  std::vector<redis_reply> replies;
  replies.reserve(request.commands());
  while (replies.size() < request.commands()) replies.push_back(read());
  throw_errors(where_, replies);
  return replies;
}

redis_reply redis_connection::run(std::initializer_list<std::string_view> words) {
  redis_request request;
  request.add(words);
  return std::move(run(request).front());
}

void redis_connection::begin_script(redis_request& request, const redis_script& script, std::size_t keys,
                                    std::size_t arguments) const {
  request.begin(3 + keys + arguments);
  request.word("EVALSHA");
  request.word(hashes_.at(&script));
  request.word(static_cast<std::int64_t>(keys));
}

}  // namespace tutti::cluster::detail
