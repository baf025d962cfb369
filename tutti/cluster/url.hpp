// url: where a broker or a result store is, as a text that people already have in their configuration.
#pragma once
#include <map>
#include <string>
#include <string_view>

namespace tutti::cluster {

/// `redis://[user[:password]@]host[:port][/database]`, `redis+socket:///path[?virtual_host=database]`, `sqlite:PATH`,
/// `memory://[name]`; percent-encoding as in any URL.
struct broker_url {
  std::string scheme;    ///< "redis", "redis+socket", "sqlite" or "memory"
  std::string user;      ///< decoded; may be empty
  std::string password;  ///< decoded; never shown
  std::string host;      ///< redis; "localhost" when left out
  int port = 0;          ///< redis; 6379 when left out
  int database = 0;      ///< redis
  std::string path;      ///< redis+socket and sqlite: of the socket or file; memory: its name

  /// The parts of `text`. Throws bad_spec that names the part that is wrong, and never shows a password.
  [[nodiscard]] static broker_url parse(std::string_view text);

  /// As a URL again, with `**` for the password: for logs, errors and inspection.
  [[nodiscard]] std::string redacted() const;
  /// As a URL again, whole: to hand it on to a process of ours.
  [[nodiscard]] std::string text() const;
};

}  // namespace tutti::cluster
