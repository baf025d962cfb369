#include <tutti/io/http/url.hpp>

#include <tutti/io/endpoint.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace tutti::io::http {
namespace {

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_unreserved(char c) noexcept {
  return is_letter(c) || is_digit(c) || std::string_view("-._~").find(c) != std::string_view::npos;
}

int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void append_encoded(std::string& to, char c) {
  static constexpr char digits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  to += '%';
  to += digits[byte >> 4U];
  to += digits[byte & 15U];
}

// What may stand in a path or a query as it is; all that is encoded already stays so.
std::string encode_rest(std::string_view text) {
  std::string encoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool begins_code =
        c == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0;
    if (begins_code || is_unreserved(c) || std::string_view("!$&'()*+,;=:@/?").find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      append_encoded(encoded, c);
    }
  }
  return encoded;
}

std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return lower;
}

std::uint16_t port_of(std::string_view scheme) noexcept {
  if (scheme == "http" || scheme == "ws") return 80;
  return scheme == "https" || scheme == "wss" ? 443 : 0;
}

// The text without what may be a user and a password in it, also where a "/" in that makes it none.
std::string without_user(std::string_view text) {
  const std::size_t slashes = text.find("//");
  const std::size_t begin = slashes == std::string_view::npos ? 0 : slashes + 2;
  const std::string_view rest = text.substr(begin);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  const bool has_colon = authority.find(':') != std::string_view::npos;
  const std::size_t at = (has_colon ? rest : authority).rfind('@');
  if (at == std::string_view::npos) return std::string(text);
  return std::string(text.substr(0, begin)).append("...").append(rest.substr(at));
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw std::invalid_argument(fmt::format("URL {:?}: {}", without_user(text).substr(0, 200), why));
}

// Whether it is "/" and these dots, some of which may be encoded.
bool is_dots(std::string_view segment, std::string_view dots) {
  if (segment.starts_with('/')) segment.remove_prefix(1);
  for (; !dots.empty(); dots.remove_prefix(1)) {
    if (segment.starts_with('.')) {
      segment.remove_prefix(1);
    } else if (segment.starts_with("%2e") || segment.starts_with("%2E")) {
      segment.remove_prefix(3);
    } else {
      return false;
    }
  }
  return segment.empty();
}

// RFC 3986, 5.2.4, of a path that begins with "/".
std::string without_dots(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(0, end);
    const bool last = end == path.size();
    path.remove_prefix(end);
    if (is_dots(segment, "..")) {
      result.erase(std::min(result.rfind('/'), result.size()));
    } else if (!is_dots(segment, ".")) {
      result += segment;
      continue;
    }
    if (last) result += '/';
  }
  return result.empty() ? "/" : result;
}

// The parts of a reference, RFC 3986, appendix B.
struct parts {
  std::optional<std::string_view> scheme, authority, query, fragment;
  std::string_view path;
};

parts split(std::string_view text) {
  parts p;
  const auto cut_behind = [&](char mark) {
    std::optional<std::string_view> rest;
    if (const std::size_t at = text.find(mark); at != std::string_view::npos) {
      rest = text.substr(at + 1);
      text = text.substr(0, at);
    }
    return rest;
  };
  p.fragment = cut_behind('#');
  p.query = cut_behind('?');
  const std::size_t colon = text.find_first_of(":/");
  if (colon != std::string_view::npos && text[colon] == ':' && colon > 0 && is_letter(text[0]) &&
      std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon),
                  [](char c) { return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.'; })) {
    p.scheme = text.substr(0, colon);
    text.remove_prefix(colon + 1);
  }
  if (text.starts_with("//")) {
    const std::size_t end = std::min(text.find('/', 2), text.size());
    p.authority = text.substr(2, end - 2);
    text.remove_prefix(end);
  }
  p.path = text;
  return p;
}

// As browsers do it.
std::string tidied(std::string_view text) {
  const auto is_blank = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  std::string tidy(text);
  std::erase_if(tidy, [](char c) { return c == '\n' || c == '\r' || c == '\t'; });
  return tidy;
}

std::optional<std::string> encode_rest(const std::optional<std::string_view>& text) {
  if (!text) return std::nullopt;
  return encode_rest(*text);
}

}  // namespace

void url::set_host(std::string_view host, std::string_view whole) {
  if (host.empty()) refuse(whole, "it has no host");
  if (host.front() == '[') {
    host = host.substr(1, host.size() - 2);
    try {
      static_cast<void>(endpoint::of(host, 0));
    } catch (const std::invalid_argument&) {
      refuse(whole, "there is no IPv6 address between the brackets");
    }
    if (host.find(':') == std::string_view::npos) refuse(whole, "there is no IPv6 address between the brackets");
  } else {
    for (const char c : host)
      if (!is_unreserved(c) && std::string_view("!$&'()*+,;=%").find(c) == std::string_view::npos)
        refuse(whole, fmt::format("{:?} must not stand in a host: write names beyond ASCII in Punycode", c));
  }
  host_ = in_lower_case(host);
}

void url::set_authority(std::string_view authority, std::string_view whole) {
  // Browsers take a "\" for its end: nobody is to be sent elsewhere than they show.
  for (const char c : authority)
    if (c == '\\' || static_cast<unsigned char>(c) < ' ' || c == 127)
      refuse(whole, fmt::format("{:?} must not stand before the path", c));
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    const std::string_view info = authority.substr(0, at);
    const std::size_t colon = std::min(info.find(':'), info.size());
    has_user_ = true;
    user_ = percent_decode(info.substr(0, colon));
    password_ = percent_decode(info.substr(std::min(colon + 1, info.size())));
    authority.remove_prefix(at + 1);
  }
  std::size_t end = authority.size();
  if (authority.starts_with('[')) {
    end = authority.find(']');
    if (end == std::string_view::npos) refuse(whole, "a [ without a ]");
    ++end;
  } else {
    end = std::min(authority.find(':'), end);
  }
  set_host(authority.substr(0, end), whole);
  port_ = port_of(scheme_);
  std::string_view port = authority.substr(end);
  if (port.empty() || port == ":") return;
  if (port.front() != ':') refuse(whole, "after the host there is something else than a port");
  port.remove_prefix(1);
  unsigned number = 0;
  for (const char c : port) {
    if (!is_digit(c)) refuse(whole, "the port is no number");
    number = number * 10 + static_cast<unsigned>(c - '0');
    if (number > 65535) refuse(whole, "the port is above 65535");
  }
  port_ = static_cast<std::uint16_t>(number);
}

url url::parse(std::string_view text) {
  const std::string tidy = tidied(text);
  const parts p = split(tidy);
  if (!p.scheme) refuse(text, "it does not begin with a scheme, such as http://");
  if (!p.authority) refuse(text, "it has no host: it is to begin with a scheme and two slashes, such as http://");
  url made;
  made.scheme_ = in_lower_case(*p.scheme);
  made.set_authority(*p.authority, text);
  made.path_ = without_dots(encode_rest(p.path));
  made.query_ = encode_rest(p.query);
  made.fragment_ = encode_rest(p.fragment);
  return made;
}

url url::resolve(const url& base, std::string_view link) {
  const std::string tidy = tidied(link);
  const parts p = split(tidy);
  if (p.scheme) return parse(tidy);
  url made = base;
  made.fragment_ = encode_rest(p.fragment);
  if (p.authority) {
    made.has_user_ = false;
    made.user_.clear();
    made.password_.clear();
    made.set_authority(*p.authority, link);
  }
  if (p.authority || !p.path.empty()) {
    std::string path = encode_rest(p.path);
    if (!p.authority && !path.starts_with('/')) path.insert(0, base.path_, 0, base.path_.rfind('/') + 1);
    made.path_ = without_dots(path);
    made.query_ = encode_rest(p.query);
  } else if (p.query) {
    made.query_ = encode_rest(p.query);
  }
  return made;
}

std::string url::place() const {
  const bool is_v6 = host_.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", host_, is_v6 ? "]" : "", port_);
}

std::string url::authority() const {
  std::string text = host_.find(':') == std::string::npos ? host_ : '[' + host_ + ']';
  if (port_ != port_of(scheme_)) text += ':' + std::to_string(port_);
  return text;
}

std::string url::text() const {
  std::string all = origin() + target();
  if (fragment_) all += '#' + *fragment_;
  return all;
}

std::string percent_encode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (is_unreserved(c)) {
      encoded += c;
    } else {
      append_encoded(encoded, c);
    }
  }
  return encoded;
}

std::string percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      decoded += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> all;
  const auto decode = [](std::string_view text) {
    std::string plain(text);
    std::replace(plain.begin(), plain.end(), '+', ' ');
    return percent_decode(plain);
  };
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.empty()) continue;
    const std::size_t equals = std::min(one.find('='), one.size());
    all.emplace_back(decode(one.substr(0, equals)), decode(one.substr(std::min(equals + 1, one.size()))));
  }
  return all;
}

}  // namespace tutti::io::http
