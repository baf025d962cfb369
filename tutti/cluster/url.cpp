// url: RFC 3986 as far as brokers need it.
#include <tutti/base/error.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/cluster/url.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace tutti::cluster {
namespace {

constexpr int redis_port = 6379;
constexpr std::string_view known = "redis://HOST:PORT/DATABASE, redis+socket:///PATH, sqlite:PATH, memory://";
constexpr std::string_view hex = "0123456789ABCDEF";

bool is_redis(std::string_view scheme) noexcept { return scheme == "redis"; }
bool is_socket(std::string_view scheme) noexcept { return scheme == "redis+socket"; }

std::optional<int> number(std::string_view text, int most) noexcept {
  int value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size() || value < 0 || value > most) return std::nullopt;
  return value;
}

std::string in_lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

int hex_digit(char c) noexcept {
  if (c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
  const std::size_t digit = hex.find(c);
  return digit == std::string_view::npos ? -1 : static_cast<int>(digit);
}

// Nothing when a % is not followed by two digits, or stands for a NUL.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || high + low == 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::string percent_encoded(std::string_view text, std::string_view also_plain = "") {
  std::string out;
  for (const char c : text) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (is_letter || std::string_view("-._~").find(c) != std::string_view::npos ||
        also_plain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += hex[byte >> 4U];
      out += hex[byte & 15U];
    }
  }
  return out;
}

// Takes one URL apart.
class url_parser {
 public:
  explicit url_parser(std::string_view text) : text_(text) {}

  broker_url parse() {
    const std::size_t colon = text_.find(':');
    if (colon == std::string_view::npos || colon == 0 || text_.find_first_of("/@") < colon) {
      refuse("it has no scheme; known: " + std::string(known));
    }
    out_.scheme = in_lower_case(text_.substr(0, colon));
    const std::string_view rest = text_.substr(colon + 1);
    if (out_.scheme == "sqlite") {
      parse_file(rest);
    } else if (out_.scheme == "memory") {
      parse_name(rest);
    } else if (is_redis(out_.scheme) || is_socket(out_.scheme)) {
      parse_redis(rest);
    } else {
      refuse_scheme();
    }
    return out_;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw bad_spec("broker URL \"" + tutti::detail::redacted(text_).substr(0, 200) + "\": " + why);
  }
  [[noreturn]] void refuse_scheme() const {
    std::string hint;
    if (out_.scheme == "rediss") hint = " (Redis over TLS is not supported: put a TLS proxy before it)";
    if (out_.scheme == "unix") hint = " (a socket is redis+socket:///PATH)";
    if (out_.scheme.find("sqlite") != std::string::npos) hint = " (a file is sqlite:PATH)";
    if (out_.scheme.ends_with("memory")) hint = " (memory is memory://)";
    refuse("no broker for \"" + out_.scheme + "\"" + hint + "; known: " + std::string(known));
  }
  // Executors take theirs before the URL comes here. What it is set to may be a password: not shown.
  [[noreturn]] void refuse_option(std::string_view option, const std::string& taken) const {
    const std::string name(option.substr(0, option.find_first_of("=&")));
    refuse("unknown option \"" + name.substr(0, 40) + "\"; known: " + taken + "for an executor concurrency, queue");
  }
  [[nodiscard]] std::string decoded(std::string_view part, const std::string& what) const {
    auto text = percent_decoded(part);
    if (!text) refuse("the " + what + " has a % without two hexadecimal digits of a character; a % itself is %25");
    return std::move(*text);
  }

  void parse_file(std::string_view rest) {
    if (rest.starts_with("//")) {
      std::string_view path = rest.substr(2);  // with slashes as SQLAlchemy wants them: one more than the path has
      if (path.starts_with('/')) path.remove_prefix(1);
      if (path.find('@') != std::string_view::npos) path = {};
      path = path.substr(0, path.find('?'));
      refuse("write it without //: \"sqlite:" + (path.empty() ? std::string("PATH") : std::string(path)) + "\"");
    }
    if (rest.empty()) refuse("it names no file; write sqlite:PATH");
    if (rest.find('?') != std::string_view::npos) refuse("sqlite: takes no options; a ? in the path is %3F");
    out_.path = decoded(rest, "path");
  }

  void parse_name(std::string_view rest) {
    if (!rest.starts_with("//")) refuse("write it with //: memory://");
    rest.remove_prefix(2);
    while (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.find('?') != std::string_view::npos) refuse_option(rest.substr(rest.find('?') + 1), "");
    out_.path = decoded(rest, "name");
  }

  void parse_redis(std::string_view rest) {
    if (!rest.starts_with("//")) refuse("write it with //: " + out_.scheme + "://");
    rest.remove_prefix(2);
    const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
    if (rest.find('@', end) != std::string_view::npos) {
      refuse("in a user, password or path, write / as %2F, ? as %3F, # as %23 and @ as %40");
    }
    parse_authority(rest.substr(0, end));
    rest.remove_prefix(end);
    if (rest.find('#') != std::string_view::npos) refuse("it has a #; in a path that is %23");
    const std::size_t question = std::min(rest.find('?'), rest.size());
    const std::string_view path = rest.substr(0, question);
    if (is_socket(out_.scheme)) {
      if (path.size() < 2) refuse("it names no socket; write redis+socket:///PATH");
      out_.path = decoded(path, "path");
    } else if (path.size() > 1) {
      set_database(path.substr(1));
    }
    if (question < rest.size()) parse_options(rest.substr(question + 1));
  }

  void parse_authority(std::string_view authority) {
    if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
      const std::string_view who = authority.substr(0, at);
      const std::size_t colon = std::min(who.find(':'), who.size());
      out_.user = decoded(who.substr(0, colon), "user");
      if (colon < who.size()) out_.password = decoded(who.substr(colon + 1), "password");
      authority.remove_prefix(at + 1);
    }
    if (is_socket(out_.scheme)) {
      if (!authority.empty()) {
        refuse("a socket has no host \"" + std::string(authority.substr(0, authority.find(':'))) +
               "\"; write redis+socket:///PATH, with three /");
      }
      return;
    }
    parse_place(authority);
  }

  void parse_place(std::string_view place) {
    std::string_view host = place;
    std::string_view port;
    if (place.starts_with('[')) {
      const std::size_t end = place.find(']');
      if (end == std::string_view::npos) refuse("the host has a [ without its ]");
      host = place.substr(1, end - 1);
      if (host.find_first_not_of("0123456789abcdefABCDEF:.%") != std::string_view::npos ||
          host.find(':') == std::string_view::npos) {
        refuse("the host \"" + std::string(host) + "\" is no IPv6 address");
      }
      port = place.substr(end + 1);
      if (!port.empty() && !port.starts_with(':')) refuse("after the ] of the host comes a port, as in [::1]:6379");
    } else {
      host = place.substr(0, place.find(':'));
      port = place.substr(host.size());
    }
    if (!port.empty()) port.remove_prefix(1);
    out_.host = place.starts_with('[') ? std::string(host) : decoded(host, "host");
    for (const char c : out_.host) {
      if (static_cast<unsigned char>(c) <= ' ' ||
          std::string_view(";,<>\"'\\^`{}|[]").find(c) != std::string_view::npos) {
        refuse("the host \"" + out_.host + "\" is no name of a host; it takes one");
      }
    }
    if (out_.host.empty()) out_.host = "localhost";
    out_.port = redis_port;
    if (!port.empty()) {
      const auto found = number(port, 65535);
      if (!found || *found == 0) {  // perhaps it is a password: not shown
        throw bad_spec("broker URL \"" + out_.scheme + "://" + out_.host +
                       ":**\": the port is no number from 1 to 65535; a password comes before an @, as in " +
                       "redis://:PASSWORD@HOST");
      }
      out_.port = *found;
    }
  }

  void set_database(std::string_view text, bool in_option = false) {
    const auto found = number(text, 1'000'000);
    if (!found) refuse("the database" + (in_option ? "" : " \"" + std::string(text) + "\"") + " is no number");
    if (has_database_ && *found != out_.database) refuse("it names two databases");
    out_.database = *found;
    has_database_ = true;
  }

  void parse_options(std::string_view options) {
    while (!options.empty()) {
      const std::string_view option = options.substr(0, options.find('&'));
      options.remove_prefix(std::min(option.size() + 1, options.size()));
      const std::string_view name = option.substr(0, option.find('='));
      if (name.empty()) continue;
      if (name != "virtual_host" && name != "db") {
        refuse_option(option, "virtual_host, db; ");
      }
      const std::string value = decoded(option.substr(std::min(name.size() + 1, option.size())), "option");
      set_database(std::string_view(value).substr(value.starts_with('/') ? 1 : 0), true);
    }
  }

  std::string_view text_;
  broker_url out_;
  bool has_database_ = false;
};

std::string joined(const broker_url& url, const std::string& password) {
  if (url.scheme == "sqlite") return "sqlite:" + percent_encoded(url.path, "/:@!$&'()*+,;= ");
  if (url.scheme == "memory") return "memory://" + percent_encoded(url.path, "/:!$&'()*+,;=");
  std::string out = url.scheme + "://" + percent_encoded(url.user);
  if (!password.empty()) out += ':' + password;
  if (!url.user.empty() || !password.empty()) out += '@';
  if (is_socket(url.scheme)) {
    out += percent_encoded(url.path, "/");
    if (url.database != 0) out += "?virtual_host=" + std::to_string(url.database);
    return out;
  }
  const bool is_ipv6 = url.host.find(':') != std::string::npos;
  out += is_ipv6 ? '[' + url.host + ']' : percent_encoded(url.host);
  return out + ':' + std::to_string(url.port) + '/' + std::to_string(url.database);
}

}  // namespace

broker_url broker_url::parse(std::string_view text) { return url_parser(text).parse(); }

std::string broker_url::redacted() const { return joined(*this, password.empty() ? "" : "**"); }

std::string broker_url::text() const { return joined(*this, percent_encoded(password)); }

}  // namespace tutti::cluster
