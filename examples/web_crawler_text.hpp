// web_crawler_text: what a crawler reads: the links of an HTML page, and robots.txt.
#pragma once
#include <tutti/io/http/url.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crawl {

inline char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

inline bool starts_with_word(std::string_view text, std::string_view small) noexcept {
  return text.size() >= small.size() &&
         std::equal(small.begin(), small.end(), text.begin(), [](char s, char t) { return s == lower(t); });
}

inline std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// The same text for the same thing: without fragment, user and password; %7e, which means "~", as that, %2f as %2F,
/// and %2e%2e as "..", which leads to the folder above.
inline std::string normalised(const tutti::io::http::url& u) {
  const std::string target = u.target();
  std::string text = u.origin();
  for (std::size_t i = 0; i < target.size(); ++i) {
    unsigned code = 0;
    const char* const digits = target.data() + i + 1;
    if (target[i] != '%' || i + 2 >= target.size() || std::from_chars(digits, digits + 2, code, 16).ptr != digits + 2) {
      text += target[i];
      continue;
    }
    const char c = static_cast<char>(code);
    if (code < 128 && (std::isalnum(static_cast<int>(code)) != 0 || std::string_view("-._~").find(c) < 4)) {
      text += c;
    } else {
      text += '%';
      for (int digit = 0; digit < 2; ++digit) text += static_cast<char>(std::toupper(digits[digit]));
    }
    i += 2;
  }
  return u.origin() + tutti::io::http::url::parse(text).target();
}

/// What `&amp;` and the like in an attribute stand for, as far as links have them.
inline std::string without_entities(std::string_view text) {
  constexpr std::pair<std::string_view, char> known[] = {
      {"&amp;", '&'}, {"&#38;", '&'}, {"&#x26;", '&'}, {"&quot;", '"'}, {"&#39;", '\''}, {"&lt;", '<'}, {"&gt;", '>'}};
  std::string plain;
  while (!text.empty()) {
    const auto* const found = std::find_if(std::begin(known), std::end(known),
                                           [&](const auto& k) { return starts_with_word(text, k.first); });
    const bool is_entity = found != std::end(known);
    plain += is_entity ? found->second : text.front();
    text.remove_prefix(is_entity ? found->first.size() : 1);
  }
  return plain;
}

/// Goes through the tags of a page: calls `f(name, attribute, value)` for each attribute, names in any case. What is
/// commented out, and what scripts and styles write, is left out.
template <class F>
void for_each_attribute(std::string_view html, F&& f) {
  const auto drop_until = [&html](std::string_view end) {
    while (!html.empty() && !starts_with_word(html, end)) html.remove_prefix(1);
  };
  const auto take_while = [&html](auto&& is_part) {
    std::size_t n = 0;
    while (n < html.size() && is_part(html[n])) ++n;
    const std::string_view taken = html.substr(0, n);
    html.remove_prefix(n);
    return taken;
  };
  for (;;) {
    drop_until("<");
    if (html.empty()) return;
    if (html.starts_with("<!--")) {
      drop_until("-->");
      continue;
    }
    html.remove_prefix(1);
    const std::string_view name =
        take_while([](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' || c == '!'; });
    while (!html.empty() && html.front() != '>') {
      take_while([](char c) { return is_blank(c) || c == '/'; });
      const std::string_view attribute =
          take_while([](char c) { return !is_blank(c) && c != '=' && c != '>' && c != '/'; });
      take_while(is_blank);
      if (html.empty() || html.front() != '=') {
        if (attribute.empty() && !html.empty() && html.front() != '>') html.remove_prefix(1);
        continue;
      }
      html.remove_prefix(1);
      take_while(is_blank);
      std::string_view value;
      if (!html.empty() && (html.front() == '"' || html.front() == '\'')) {
        const char quote = html.front();
        html.remove_prefix(1);
        value = take_while([quote](char c) { return c != quote; });
        if (html.empty()) return;  // cut off in the middle
        html.remove_prefix(1);
      } else {
        value = take_while([](char c) { return !is_blank(c) && c != '>'; });
        if (html.empty()) return;
      }
      f(name, attribute, value);
    }
    if (starts_with_word(name, "script")) drop_until("</script");
    if (starts_with_word(name, "style")) drop_until("</style");
  }
}

/// What a page that came from `from` links to, normalised, each once, in order of the text; only http and https.
inline std::vector<std::string> links_of(const tutti::io::http::url& from, std::string_view html) {
  std::vector<std::string> all;
  tutti::io::http::url base = from;
  for_each_attribute(html, [&](std::string_view tag, std::string_view attribute, std::string_view value) {
    const auto is = [](std::string_view word, std::string_view small) {
      return word.size() == small.size() && starts_with_word(word, small);
    };
    if (!is(attribute, "href") || !(is(tag, "a") || is(tag, "area") || is(tag, "base"))) return;
    try {
      const tutti::io::http::url to = tutti::io::http::url::resolve(base, without_entities(value));
      if (to.scheme() != "http" && to.scheme() != "https") return;
      if (is(tag, "base")) {
        base = to;
      } else {
        all.push_back(normalised(to));
      }
    } catch (const std::invalid_argument&) {  // mailto: and the like, and what is none
    }
  });
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

/// What robots.txt says to one crawler (RFC 9309).
class robots {
 public:
  /// All is allowed.
  robots() = default;
  /// Nothing is.
  static robots nothing() {
    robots none;
    none.rules_.push_back({"/", false});
    return none;
  }
  /// What `text` says to the crawler `name` (in lower case), or, if it does not name it, to all.
  static robots parse(std::string_view text, std::string_view name) {
    robots named, others;
    bool is_named = false, for_named = false, for_others = false, in_rules = true;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      line = line.substr(0, line.find('#'));
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) continue;
      const std::string_view key = trimmed(line.substr(0, colon)), value = trimmed(line.substr(colon + 1));
      if (starts_with_word(key, "user-agent")) {
        if (std::exchange(in_rules, false)) for_named = for_others = false;  // a new group
        if (value == "*") for_others = true;
        // "name/1.0" is the same one.
        const auto is_of_name = [](char c) {
          return std::isalpha(static_cast<unsigned char>(c)) || c == '-' || c == '_';
        };
        const auto length = std::find_if_not(value.begin(), value.end(), is_of_name) - value.begin();
        if (!name.empty() && value.substr(0, static_cast<std::size_t>(length)).size() == name.size() &&
            starts_with_word(value, name))
          is_named = for_named = true;
        continue;
      }
      if (starts_with_word(key, "sitemap")) continue;  // belongs to no group
      in_rules = true;
      if (for_named) named.take(key, value);
      if (for_others) others.take(key, value);
    }
    return is_named ? named : others;
  }

  /// Whether a path with its query may be asked for: the longest pattern that fits says so, Allow before Disallow.
  [[nodiscard]] bool allows(std::string_view target) const {
    std::size_t longest = 0;
    bool allowed = true;
    for (const rule& r : rules_) {
      if (r.pattern.size() < longest || !fits(r.pattern, target)) continue;
      allowed = r.allows || (r.pattern.size() == longest && allowed && longest > 0);
      longest = r.pattern.size();
    }
    return allowed || target == "/robots.txt";
  }
  /// Between two requests, if it says so.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> crawl_delay() const noexcept { return delay_; }

 private:
  struct rule {
    std::string pattern;
    bool allows;
  };

  void take(std::string_view key, std::string_view value) {
    const bool allow = starts_with_word(key, "allow");
    if ((allow || starts_with_word(key, "disallow")) && !value.empty()) rules_.push_back({std::string(value), allow});
    double seconds = 0;
    if (starts_with_word(key, "crawl-delay") &&
        std::from_chars(value.data(), value.data() + value.size(), seconds).ec == std::errc() && seconds >= 0)
      delay_ = std::chrono::nanoseconds(static_cast<long long>(1e9 * std::min(seconds, 3600.0)));
  }

  // "*" stands for any text, "$" at the end for the end. The text is gone through once, with a step back to the last *.
  static bool fits(std::string_view pattern, std::string_view target) {
    const bool to_end = pattern.ends_with('$');
    if (to_end) pattern.remove_suffix(1);
    constexpr std::size_t none = std::string_view::npos;
    std::size_t p = 0, t = 0, star = none, resume = 0;
    for (;;) {
      if (p == pattern.size() && (!to_end || t == target.size())) return true;
      if (p < pattern.size() && pattern[p] == '*') {
        star = ++p;
        resume = t;
      } else if (p < pattern.size() && t < target.size() && pattern[p] == target[t]) {
        ++p;
        ++t;
      } else if (star != none && resume < target.size()) {
        p = star;
        t = ++resume;
      } else {
        return false;
      }
    }
  }

  std::vector<rule> rules_;
  std::optional<std::chrono::nanoseconds> delay_;
};

}  // namespace crawl
