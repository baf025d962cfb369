// wire_text: base64 as RFC 4648 has it, moments as ISO 8601 has them.
#include <sys/random.h>
#include <unistd.h>
#include <tutti/base/error.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

namespace tutti::cluster {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr unsigned char none = 255;

constexpr auto values = [] {
  std::array<unsigned char, 256> table{};
  table.fill(none);
  for (unsigned char i = 0; i < 64; ++i) table[static_cast<unsigned char>(alphabet[i])] = i;
  return table;
}();

std::uint32_t byte(std::string_view bytes, std::size_t at) noexcept { return static_cast<unsigned char>(bytes[at]); }

std::uint32_t value(std::string_view text, std::size_t at) noexcept {
  return values[static_cast<unsigned char>(text[at])];
}

char letter(std::uint32_t bits, unsigned shift) noexcept { return alphabet[(bits >> shift) & 63U]; }

[[noreturn]] void not_base64(std::string_view text) {
  const std::size_t at = text.find_first_not_of(alphabet);
  if (at == std::string_view::npos || (text[at] == '=' && at + 2 >= text.size())) {
    throw decode_error("base64 of " + std::to_string(text.size()) + " characters is cut off: not groups of 4",
                       text.size());
  }
  throw decode_error("base64 has a byte " + std::to_string(byte(text, at)) + " at " + std::to_string(at) + " of " +
                         std::to_string(text.size()),
                     at);
}

}  // namespace

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4, '=');
  char* to = out.data();
  std::size_t at = 0;
  for (; at + 3 <= bytes.size(); at += 3) {
    const std::uint32_t bits = byte(bytes, at) << 16U | byte(bytes, at + 1) << 8U | byte(bytes, at + 2);
    *to++ = letter(bits, 18);
    *to++ = letter(bits, 12);
    *to++ = letter(bits, 6);
    *to++ = letter(bits, 0);
  }
  if (const std::size_t left = bytes.size() - at; left != 0) {
    const std::uint32_t bits = byte(bytes, at) << 16U | (left == 2 ? byte(bytes, at + 1) << 8U : 0);
    *to++ = letter(bits, 18);
    *to++ = letter(bits, 12);
    if (left == 2) *to++ = letter(bits, 6);
  }
  return out;
}

std::string from_base64(std::string_view text) {
  if (text.size() % 4 != 0) not_base64(text);
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  const std::string_view letters = text.substr(0, text.size() - padding);
  std::string out(letters.size() * 3 / 4, '\0');
  char* to = out.data();
  std::size_t at = 0;
  std::uint32_t seen = 0;  // has a bit beyond the 6 as soon as one of the letters is none
  for (; at + 4 <= letters.size(); at += 4) {
    const std::uint32_t a = value(letters, at);
    const std::uint32_t b = value(letters, at + 1);
    const std::uint32_t c = value(letters, at + 2);
    const std::uint32_t d = value(letters, at + 3);
    seen |= a | b | c | d;
    const std::uint32_t bits = a << 18U | b << 12U | c << 6U | d;
    *to++ = static_cast<char>(bits >> 16U);
    *to++ = static_cast<char>(bits >> 8U);
    *to++ = static_cast<char>(bits);
  }
  if (padding != 0) {
    const std::uint32_t a = value(letters, at);
    const std::uint32_t b = value(letters, at + 1);
    const std::uint32_t c = padding == 1 ? value(letters, at + 2) : 0;
    seen |= a | b | c;
    const std::uint32_t bits = a << 18U | b << 12U | c << 6U;
    *to++ = static_cast<char>(bits >> 16U);
    if (padding == 1) *to++ = static_cast<char>(bits >> 8U);
  }
  if ((seen & ~63U) != 0) not_base64(text);
  return out;
}

namespace {

using namespace std::chrono;

// The days that a wall_time can be in, with a year to spare for what is added to it.
constexpr year_month_day first_day(1678y, January, 1d);
constexpr year_month_day last_day(2261y, December, 31d);

void put_digits(std::string& out, std::int64_t number, std::size_t digits) {
  const std::size_t end = out.size() + digits;
  out.resize(end);
  for (std::size_t i = 1; i <= digits; ++i, number /= 10) out[end - i] = static_cast<char>('0' + number % 10);
}

// Takes a moment's text apart, from the left.
class moment_reader {
 public:
  explicit moment_reader(std::string_view text) : text_(text), left_(text) {}

  [[noreturn]] void refuse() const {
    throw decode_error(
        "not a moment of ISO 8601 (like 2026-01-31T12:00:00+00:00): \"" + std::string(text_.substr(0, 60)) + "\"",
        text_.size() - left_.size());
  }
  int digits(std::size_t count) {
    if (left_.size() < count) refuse();
    int number = 0;
    for (const char c : left_.substr(0, count)) {
      if (c < '0' || c > '9') refuse();
      number = number * 10 + (c - '0');
    }
    left_.remove_prefix(count);
    return number;
  }
  int digits(std::size_t count, int most) {
    const int number = digits(count);
    if (number > most) refuse();
    return number;
  }
  // Goes past `c`, if it is what comes next.
  bool pass(char c) {
    if (!left_.starts_with(c)) return false;
    left_.remove_prefix(1);
    return true;
  }
  void want(char c) {
    if (!pass(c)) refuse();
  }
  nanoseconds fraction() {
    std::int64_t number = 0;
    std::size_t count = 0;
    for (; !left_.empty() && left_[0] >= '0' && left_[0] <= '9'; ++count, left_.remove_prefix(1)) {
      if (count < 9) number = number * 10 + (left_[0] - '0');  // the rest is finer than our clock
    }
    if (count == 0) refuse();
    for (; count < 9; ++count) number *= 10;
    return nanoseconds(number);
  }
  minutes offset() {
    if (pass('Z') || pass('z') || left_.empty()) return minutes(0);
    const bool is_west = pass('-');
    if (!is_west) want('+');
    minutes ahead = hours(digits(2, 23));
    if (!left_.empty()) {
      (void)pass(':');
      ahead += minutes(digits(2, 59));
    }
    if (pass(':')) (void)digits(2, 59);  // Python's offsets can have seconds; no place on earth has
    return is_west ? -ahead : ahead;
  }
  void finish() const {
    if (!left_.empty()) refuse();
  }

 private:
  std::string_view text_, left_;
};

}  // namespace

std::string iso_time(wall_time when) {
  const auto day = floor<days>(when);
  const year_month_day date(day);
  const auto rest = floor<microseconds>(when - day);
  std::string out;
  out.reserve(32);
  put_digits(out, static_cast<int>(date.year()), 4);
  out += '-';
  put_digits(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  put_digits(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  const hh_mm_ss time(rest);
  put_digits(out, time.hours().count(), 2);
  out += ':';
  put_digits(out, time.minutes().count(), 2);
  out += ':';
  put_digits(out, time.seconds().count(), 2);
  out += '.';
  put_digits(out, time.subseconds().count(), 6);
  out += "+00:00";
  return out;
}

wall_time from_iso_time(std::string_view text) {
  moment_reader reader(text);
  const int year_number = reader.digits(4);
  reader.want('-');
  const auto month_number = static_cast<unsigned>(reader.digits(2));
  reader.want('-');
  const auto day_number = static_cast<unsigned>(reader.digits(2));
  const year_month_day date(year{year_number}, month{month_number}, day{day_number});
  if (!date.ok()) reader.refuse();
  nanoseconds time(0);
  if (reader.pass('T') || reader.pass(' ')) {
    time += hours(reader.digits(2, 23));
    reader.want(':');
    time += minutes(reader.digits(2, 59));
    if (reader.pass(':')) {
      time += seconds(reader.digits(2, 60));  // 60: a leap second
      if (reader.pass('.') || reader.pass(',')) time += reader.fraction();
    }
    time -= reader.offset();
  }
  reader.finish();
  if (date < first_day) return sys_days(first_day);
  if (date > last_day) return sys_days(last_day);
  return sys_days(date) + time;
}

std::string new_uuid() {
  std::array<unsigned char, 16> bytes{};
  for (std::size_t have = 0; have < bytes.size();) {
    const ssize_t got = ::getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (got > 0) have += static_cast<std::size_t>(got);
  }
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0fU) | 0x40U);  // version 4
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3fU) | 0x80U);  // of RFC 4122
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += hex[bytes[i] >> 4U];
    out += hex[bytes[i] & 15U];
  }
  return out;
}

std::string process_name() {
  static const std::string& host = []() -> const std::string& {
    std::array<char, 256> name{};
    const bool is_known = ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0';
    return *new std::string(is_known ? name.data() : "localhost");  // workers may end later than main
  }();
  return std::to_string(::getpid()) + "@" + host;
}

}  // namespace tutti::cluster
