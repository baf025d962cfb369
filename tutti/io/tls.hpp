// tls: streams that nobody else can read or change, with a peer that has proved who it is.
#pragma once
#include <tutti/io/connect.hpp>
#include <tutti/io/stream.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace tutti::io {

/// TLS failed: the peer could not prove who it is, wants what we do not have, or does not speak TLS. what() names the
/// peer, the cause and the way out.
class tls_error : public error {
 public:
  explicit tls_error(const std::string& what, bool is_cut_off = false) : error(what), cut_off_(is_cut_off) {}
  /// Whether nothing is wrong but that the connection was closed in the middle.
  [[nodiscard]] bool is_cut_off() const noexcept { return cut_off_; }

 private:
  bool cut_off_;
};

/// How a client speaks TLS. Certificates and keys are PEM: the name of a file, or the text itself ("-----BEGIN ...").
/// Trivially destructible: what the views refer to must live until the context is made.
struct tls_client_options {
  bool verify = true;                 ///< false: takes any server for the right one: anybody may read and change it all
  std::string_view authorities = {};  ///< whose certificates are believed; default: the system's
  std::string_view certificate = {};  ///< the own one, for servers that ask, with those of its authorities behind it
  std::string_view key = {};          ///< of the own certificate, not encrypted
  std::string_view alpn = {};         ///< protocols to be spoken inside, the best first: "h2,http/1.1"
};
static_assert(std::is_trivially_destructible_v<tls_client_options>);

/// How a server speaks TLS; PEM as in tls_client_options.
struct tls_server_options {
  std::string_view certificate = {};         ///< with those of its authorities behind it
  std::string_view key = {};                 ///< not encrypted
  std::string_view client_authorities = {};  ///< clients must show a certificate of one of these; default: none needed
  std::string_view alpn = {};                ///< as of clients; a client that knows none of them is sent away
};
static_assert(std::is_trivially_destructible_v<tls_server_options>);

namespace detail {
struct tls_settings;
}

/// What many connections have in common. At least TLS 1.2. A value, cheap to copy; copies share what cannot be changed
/// any more, on any threads.
class tls_context {
 public:
  /// A client's that believes the system's authorities: one for the whole program, made on first use from files
  /// (OpenSSL's; the environment's SSL_CERT_FILE and SSL_CERT_DIR count).
  tls_context();
  tls_context(const tls_context& other) = default;
  tls_context& operator=(const tls_context& other) = default;
  ~tls_context() = default;

  /// A client's. Blocks on files. Throws tls_error, which names the file, when one cannot be read or has not what it
  /// should have; std::invalid_argument for options that make no sense.
  [[nodiscard]] static tls_context client(const tls_client_options& options = {});
  /// A server's; it needs a certificate and a key. As `client`.
  [[nodiscard]] static tls_context server(const tls_server_options& options);

  /// For this module.
  [[nodiscard]] const std::shared_ptr<const detail::tls_settings>& settings() const noexcept { return settings_; }

 private:
  explicit tls_context(std::shared_ptr<const detail::tls_settings> settings) noexcept;
  std::shared_ptr<const detail::tls_settings> settings_;
};

/// What was agreed with the peer.
struct tls_info {
  std::string protocol;     ///< "TLSv1.3"
  std::string cipher;       ///< "TLS_AES_256_GCM_SHA384"
  std::string alpn;         ///< the protocol inside; "" if none was agreed on
  std::string server_name;  ///< the name that the client has asked for; "" if none
  std::string peer;         ///< the subject of the peer's certificate, "CN=example.org"; "" if it has shown none

  /// Of a stream that tls_connect, tls_accept or connect_tls gave. Throws std::invalid_argument for others.
  [[nodiscard]] static tls_info of(const stream& s);
};

/// Speaks TLS with the server at the other end of `lower`, which is checked to be `host`, a name or an address in
/// numbers: its certificate has to name it among its hosts (subjectAltName). The stream that it gives has what is said
/// of streams, and:
///
/// - shutdown_write ends the output with TLS's own words (close_notify); the peer's reading ends, ours goes on.
/// - A peer that goes away without them: reading throws tls_error, since somebody may have cut off the data. close()
///   says them if it can do so at once.
/// - A read that is cancelled or times out loses nothing. A write that does makes later writes throw `closed`.
///
/// Throws tls_error, what streams throw, and std::invalid_argument for a server's context or a bad name. `lower` is
/// closed then.
[[nodiscard]] task<stream> tls_connect(stream lower, std::string host, tls_context context = {},
                                       time_limit limit = no_limit);
/// Speaks TLS with the client at the other end of `lower`; as tls_connect. Give a limit, or a client that says nothing
/// is waited for without end.
[[nodiscard]] task<stream> tls_accept(stream lower, tls_context context, time_limit limit = no_limit);
/// Connects to "example.org:443" and speaks TLS there: `connect` and `tls_connect` in one step; options.limit is for
/// both. For "unix:" places, which have no host name, use these two.
[[nodiscard]] task<stream> connect_tls(std::string to, tls_context context = {}, connect_options options = {});

}  // namespace tutti::io
