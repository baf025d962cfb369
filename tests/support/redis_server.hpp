// redis_server: a real Redis for a test, on a free port of loopback and in a folder of its own; it ends with the test.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tutti/base/unique_fd.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

/// How a redis_server is started.
struct redis_settings {
  bool durable = false;                ///< what was acknowledged survives kill(): appendonly, fsync always
  std::string password = {};           ///< asked for, of the user below
  std::string user = {};               ///< empty: Redis' own "default"
  bool unix_socket = false;            ///< listens on socket_path(), too
  std::vector<std::string> more = {};  ///< further arguments: {"--maxmemory", "3mb"}
};

/// A running redis-server, alone on its port. Made and restarted on a thread that outlives it: the kernel ends it with
/// the thread that has started it.
class redis_server {
 public:
  explicit redis_server(redis_settings settings = {}) : settings_(std::move(settings)) {
    folder_ = testing::TempDir() + "tutti_redis_XXXXXX";
    if (::mkdtemp(folder_.data()) == nullptr) throw std::runtime_error("cannot make " + folder_);
    for (int attempt = 0; attempt < 20; ++attempt) {
      port_ = unused_port();
      launch();
      if (answers()) return;
      kill();
    }
    throw std::runtime_error("redis-server does not start: " + log());
  }
  ~redis_server() {
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  redis_server(const redis_server&) = delete;
  redis_server& operator=(const redis_server&) = delete;

  int port() const { return port_; }
  ::pid_t pid() const { return pid_; }
  std::string socket_path() const { return folder_ + "/socket"; }
  /// With user and password, if it has them.
  std::string url(int database = 0) const { return url_at(port_, database); }
  /// The same behind a proxy.
  std::string url_at(int port, int database = 0) const {
    std::string login;
    if (!settings_.password.empty()) login = settings_.user + ":" + settings_.password + "@";
    return "redis://" + login + "127.0.0.1:" + std::to_string(port) + "/" + std::to_string(database);
  }

  /// kill -9; what it listened on is free again when this returns.
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }
  /// After kill(): on the same port, with what it had written. Returns when it answers.
  void start() {
    for (int attempt = 0; attempt < 20; ++attempt) {
      launch();
      if (answers()) return;
      kill();
    }
    throw std::runtime_error("redis-server does not start again: " + log());
  }
  /// Its process is stopped, and stays silent with its connections open; until go_on().
  void freeze() const { ::kill(pid_, SIGSTOP); }
  void go_on() const { ::kill(pid_, SIGCONT); }

  /// What it says to one command, as text: elements of arrays in lines, "(nil)", errors with their '-'. Blocks.
  std::string ask(const std::vector<std::string>& command, int database = 0) const {
    const tutti::unique_fd socket = connected();
    if (!socket) return "(no connection)";
    std::string request;
    if (!settings_.password.empty()) {
      request += encoded(settings_.user.empty() ? std::vector<std::string>{"AUTH", settings_.password}
                                                : std::vector{std::string("AUTH"), settings_.user, settings_.password});
    }
    request += encoded({"SELECT", std::to_string(database)});
    request += encoded(command);
    if (!sent(socket, request)) return "(no connection)";
    if (!settings_.password.empty()) reply(socket);
    reply(socket);
    return reply(socket);
  }
  std::string log() const {
    std::ifstream in(folder_ + "/log");
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

 private:
  // Outside the range that outgoing connections are given: a client that tries again and again would otherwise meet
  // itself there one day while the server is down.
  static int unused_port() {
    std::random_device random;
    for (;;) {
      const int port = 20000 + static_cast<int>(random() % 12000);
      const tutti::unique_fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const ::sockaddr_in where = address(port);
      if (::bind(probe.get(), reinterpret_cast<const ::sockaddr*>(&where), sizeof where) == 0) return port;
    }
  }
  static ::sockaddr_in address(int port) {
    ::sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(port));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return where;
  }

  void launch() {
    std::vector<std::string> words = {"redis-server", "--port", std::to_string(port_), "--bind", "127.0.0.1"};
    const auto add = [&words](const std::vector<std::string>& more) {
      words.insert(words.end(), more.begin(), more.end());
    };
    add({"--dir", folder_, "--logfile", folder_ + "/log", "--save", "", "--daemonize", "no"});
    if (settings_.durable) add({"--appendonly", "yes", "--appendfsync", "always"});
    if (settings_.unix_socket) add({"--unixsocket", socket_path()});
    if (!settings_.password.empty()) {
      if (settings_.user.empty()) {
        add({"--requirepass", settings_.password});
      } else {
        add({"--user", "default", "off", "--user", settings_.user, "on", ">" + settings_.password, "~*", "&*",
             "+@all"});
      }
    }
    add(settings_.more);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also when the test is aborted
      ::sigset_t none;
      ::sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      ::alarm(0);
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
  }

  // False when it has ended instead.
  bool answers() {
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < late) {
      if (::waitpid(pid_, nullptr, WNOHANG) != 0) {
        pid_ = 0;
        return false;
      }
      const std::string said = ask({"PING"});
      if (said == "PONG") return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  tutti::unique_fd connected() const {
    tutti::unique_fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const ::sockaddr_in where = address(port_);
    if (::connect(socket.get(), reinterpret_cast<const ::sockaddr*>(&where), sizeof where) != 0) socket.reset();
    return socket;
  }
  static std::string encoded(const std::vector<std::string>& command) {
    std::string text = "*" + std::to_string(command.size()) + "\r\n";
    for (const std::string& word : command) text += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
    return text;
  }
  static bool sent(const tutti::unique_fd& socket, const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
      const ::ssize_t n = ::send(socket.get(), text.data() + done, text.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return false;
      done += static_cast<std::size_t>(n);
    }
    return true;
  }
  static bool take(const tutti::unique_fd& socket, char& byte) { return ::recv(socket.get(), &byte, 1, 0) == 1; }
  static std::string reply(const tutti::unique_fd& socket) {
    std::string line;
    for (char c = 0; take(socket, c) && c != '\n';)
      if (c != '\r') line += c;
    if (line.empty()) return "(no connection)";
    const std::string rest = line.substr(1);
    if (line[0] == '+' || line[0] == ':') return rest;
    if (line[0] == '$') {
      const int size = std::stoi(rest);
      if (size < 0) return "(nil)";
      std::string text;
      char c = 0;
      for (int i = 0; i < size + 2 && take(socket, c); ++i) text += c;
      return text.substr(0, static_cast<std::size_t>(size));
    }
    if (line[0] == '*') {
      std::string text;
      for (int i = 0, count = std::stoi(rest); i < count; ++i) text += (i == 0 ? "" : "\n") + reply(socket);
      return text;
    }
    return line;
  }

  redis_settings settings_;
  std::string folder_;
  int port_ = 0;
  ::pid_t pid_ = 0;
};

}  // namespace tutti_test
