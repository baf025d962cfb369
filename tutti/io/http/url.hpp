// url: where something is: its parts, and what a link on a page means.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::io::http {

/// An absolute URL with a host (RFC 3986): "http://user:password@example.org:8080/a%20b?q=1#part". Its parts are as
/// they are sent, that is percent-encoded, but for the user and the password; scheme and host are in lower case, the
/// path is at least "/" and has no "." and ".." in it. What must not stand in a path or query, such as blanks and
/// letters beyond ASCII, is encoded; blanks around the URL and line ends in it are left out, as browsers do. A value.
class url {
 public:
  /// Throws std::invalid_argument, which shows the text and says what is wrong.
  [[nodiscard]] static url parse(std::string_view text);
  /// What `link` on the page `base` means: absolute, or relative to it (RFC 3986, 5.2). Throws as parse; also for links
  /// without a host, such as mailto:.
  [[nodiscard]] static url resolve(const url& base, std::string_view link);

  [[nodiscard]] const std::string& scheme() const noexcept { return scheme_; }
  /// An IPv6 address has no brackets here.
  [[nodiscard]] const std::string& host() const noexcept { return host_; }
  /// The one given, or the scheme's: 80 for http and ws, 443 for https and wss; 0 for others.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// What follows "?", nothing without one.
  [[nodiscard]] const std::optional<std::string>& query() const noexcept { return query_; }
  /// What follows "#", nothing without one.
  [[nodiscard]] const std::optional<std::string>& fragment() const noexcept { return fragment_; }
  /// Decoded. Empty without one.
  [[nodiscard]] const std::string& user() const noexcept { return user_; }
  [[nodiscard]] const std::string& password() const noexcept { return password_; }
  [[nodiscard]] bool has_user() const noexcept { return has_user_; }
  /// The user and password of `other`, in place of the own.
  void take_user(const url& other) {
    user_ = other.user_;
    password_ = other.password_;
    has_user_ = other.has_user_;
  }

  /// "example.org:8080", "[::1]"; without the scheme's own port.
  [[nodiscard]] std::string authority() const;
  /// "example.org:80", "[::1]:80": what to connect to.
  [[nodiscard]] std::string place() const;
  /// "http://example.org:8080": what two URLs of one server have in common.
  [[nodiscard]] std::string origin() const { return scheme_ + "://" + authority(); }
  /// What a request asks for: path and query.
  [[nodiscard]] std::string target() const { return query_ ? path_ + '?' + *query_ : path_; }
  /// All of it, but for the user and the password.
  [[nodiscard]] std::string text() const;

  friend bool operator==(const url& a, const url& b) = default;

 private:
  url() = default;
  void set_authority(std::string_view authority, std::string_view whole);
  void set_host(std::string_view host, std::string_view whole);

  std::string scheme_, host_, path_, user_, password_;
  std::optional<std::string> query_, fragment_;
  std::uint16_t port_ = 0;
  bool has_user_ = false;
};

/// `text` with everything but letters, digits and "-._~" as %XX: for one segment of a path, one name or value of a
/// query.
[[nodiscard]] std::string percent_encode(std::string_view text);
/// %XX as the byte it stands for; a % that begins none stays.
[[nodiscard]] std::string percent_decode(std::string_view text);
/// The names and values of "a=1&b=x+y", decoded, "+" as a blank, in order; a name without "=" has the value "".
[[nodiscard]] std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query);

}  // namespace tutti::io::http
