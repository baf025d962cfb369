#include <tutti/io/http/fields.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace tutti::io::http {

namespace detail {
namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr std::array<bool, 256> token_characters = [] {
  std::array<bool, 256> is{};
  for (char c = '0'; c <= '9'; ++c) is[static_cast<unsigned char>(c)] = true;
  for (char c = 'a'; c <= 'z'; ++c) is[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) is[static_cast<unsigned char>(c)] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) is[static_cast<unsigned char>(c)] = true;
  return is;
}();

// A tab is allowed, as are all bytes above 127.
bool is_value(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 32 && byte != 127) || c == '\t';
  });
}

}  // namespace

bool same_word(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return x == y || lower(x) == lower(y); });
}

bool is_token(std::string_view text) noexcept {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return token_characters[static_cast<unsigned char>(c)]; });
}

}  // namespace detail

void fields::add(std::string_view name, std::string_view value) {
  // The name as it may be shown: its own characters only as far as they are harmless.
  if (!detail::is_token(name))
    throw std::invalid_argument(
        fmt::format("HTTP header: {:?} is no name: give letters, digits and !#$%&'*+-.^_`|~", name));
  if (!detail::is_value(value))
    throw std::invalid_argument(fmt::format(
        "HTTP header {}: its value has a line end or another control character in it: leave it out, or encode it",
        name));
  add_checked(name, value);
}

void fields::add_checked(std::string_view name, std::string_view value) {
  const std::size_t more = name.size() + value.size();
  std::string before;  // lives until they were read, which may be views of it
  if (text_.capacity() - text_.size() < more) {
    // A good time to leave behind what was erased.
    std::size_t kept = 0;
    for (const place& p : places_) kept += p.name_size + p.value_size;
    before.reserve(2 * kept + more);
    for (const place& p : places_) before.append(text_, p.at, p.name_size + p.value_size);
    std::size_t at = 0;
    for (place& p : places_) at = (p.at = at) + p.name_size + p.value_size;
    before.swap(text_);
  }
  const std::size_t at = text_.size();
  text_.append(name).append(value);
  places_.push_back({at, static_cast<std::uint32_t>(name.size()), static_cast<std::uint32_t>(value.size())});
}

void fields::set(std::string_view name, std::string_view value) {
  const std::string own_name(name), own_value(value);  // they may be views of this
  const std::size_t before = places_.size();
  add(own_name, own_value);
  const auto last = places_.begin() + static_cast<std::ptrdiff_t>(before);
  const auto kept = std::remove_if(places_.begin(), last, [&](const place& p) {
    return detail::same_word({text_.data() + p.at, p.name_size}, own_name);
  });
  places_.erase(kept, last);
}

std::size_t fields::erase(std::string_view name) noexcept {
  return std::erase_if(places_,
                       [&](const place& p) { return detail::same_word({text_.data() + p.at, p.name_size}, name); });
}

std::optional<std::string_view> fields::get(std::string_view name) const noexcept {
  for (const field f : *this)
    if (detail::same_word(f.name, name)) return f.value;
  return std::nullopt;
}

bool fields::has_token(std::string_view name, std::string_view token) const noexcept {
  bool found = false;
  for (const field f : *this)
    if (detail::same_word(f.name, name))
      detail::for_each_word(f.value, [&](std::string_view word) { found = found || detail::same_word(word, token); });
  return found;
}

}  // namespace tutti::io::http
