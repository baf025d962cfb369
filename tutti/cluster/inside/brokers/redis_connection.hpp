// redis_connection: one connection to Redis, whose every wait ends.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/brokers/redis_reply.hpp>
#include <tutti/cluster/url.hpp>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace tutti::cluster::detail {

/// The connection broke, or Redis is busy with itself: another attempt may help. Every other broker_error is Redis'
/// refusal, which it would repeat.
struct redis_lost : broker_error {
  using broker_error::broker_error;
};

/// A script in Lua. Those that connections use live as long as the program.
struct redis_script {
  const char* before;  ///< what it shares with others
  const char* text;
};

/// A connection, closed until open() and after anything went wrong with it. For one thread at a time.
class redis_connection {
 public:
  using clock = std::chrono::steady_clock;

  /// `patience`: how long it waits for Redis to take or send anything at all. `scripts` are loaded when it opens.
  redis_connection(broker_url where, std::chrono::milliseconds patience,
                   std::span<const redis_script* const> scripts = {});
  ~redis_connection();
  redis_connection(const redis_connection&) = delete;
  redis_connection& operator=(const redis_connection&) = delete;

  /// Connects, logs in, and ends the connection that this one was before, so that nothing that it had sent is carried
  /// out any more. Does nothing when it is open. Throws redis_lost, or broker_error when Redis refuses.
  void open();
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return context_ != nullptr; }
  /// To poll for something to read; -1: closed.
  [[nodiscard]] int fd() const noexcept;

  /// Sends without waiting for the answers; when the connection breaks meanwhile, who reads them hears of it. Throws
  /// redis_lost.
  void send(const redis_request& request);
  /// The next answer; blocks for it. Throws redis_lost; broker_refusal when Redis has ended the connection because of
  /// what was asked. An answer that is an error is only returned when it concerns the command and not the server.
  [[nodiscard]] redis_reply read();
  /// The next answer if it is here already. Throws as read().
  [[nodiscard]] std::optional<redis_reply> read_now();
  /// Sends, and reads one answer for each command. Throws redis_lost; and broker_error for an answer that is an error,
  /// after it has read all.
  std::vector<redis_reply> run(const redis_request& request);
  /// The same for one command.
  redis_reply run(std::initializer_list<std::string_view> words);

  /// Begins a call of one of the scripts that were named: `keys` and then `arguments` more words follow. It is open.
  void begin_script(redis_request& request, const redis_script& script, std::size_t keys, std::size_t arguments) const;

 private:
  void connect();
  void log_in();
  void end_the_one_before();
  [[noreturn]] void lose(const std::string& why);
  void check_server(redis_value reply);
  void wait_for(short events, clock::time_point until, const char* what);
  ::ssize_t feed_some();  // what can be had without waiting; as recv()
  bool feed();            // the same; false: nothing

  const broker_url where_;
  const std::chrono::milliseconds patience_;
  const std::vector<const redis_script*> scripts_;
  ::redisContext* context_ = nullptr;
  std::unordered_map<const redis_script*, std::string> hashes_;
  // How Redis knows this connection: its number and its address, which together name no other one, not even after a
  // restart that counts from 1 again.
  std::string number_, address_;
};

/// What a user of Redis' lacks, by an error's text: those of a command and of a script differ, and with 7.2 all
/// changed.
enum class redis_denial : unsigned char {
  none,
  command,  ///< a right: nothing of the kind is done for it
  key       ///< a key, or a channel: others may do
};
[[nodiscard]] redis_denial denial_of(std::string_view error) noexcept;

/// Throws broker_error for an error among the answers, or within one of EXEC.
void throw_errors(const broker_url& where, std::span<const redis_reply> replies);

}  // namespace tutti::cluster::detail
