#include <apps/tutti/rank_frames.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace tutti::app {
namespace {

constexpr char begin_mark = '\x1e';
constexpr char filler = '\x1f';
constexpr char escape = '\x10';
constexpr std::size_t head_size = 10;  // begin_mark, the news, eight digits of the rank

// The letter that stands for a byte behind `escape`, or 0 for bytes that stand for themselves.
char letter_for(char byte) {
  switch (byte) {
    case '\n': return 'n';
    case begin_mark: return 'b';
    case filler: return 'f';
    case escape: return 'e';
    default: return 0;
  }
}

std::optional<char> byte_for(char letter) {
  for (const char byte : {'\n', begin_mark, filler, escape}) {
    if (letter_for(byte) == letter) return byte;
  }
  return std::nullopt;
}

bool is_news(char c) { return std::string_view("oexstn").find(c) != std::string_view::npos; }

std::optional<rank_frame> read_frame(std::string_view record) {
  rank_frame frame;
  if (record.back() != '\n' || !is_news(record[1])) return std::nullopt;
  frame.news = static_cast<rank_news>(record[1]);
  const auto [end, failed] = std::from_chars(record.data() + 2, record.data() + head_size, frame.rank, 16);
  if (failed != std::errc() || end != record.data() + head_size || frame.rank < 0) return std::nullopt;
  for (std::size_t i = head_size; record[i] != filler && i + 1 < record.size(); ++i) {
    if (record[i] != escape) {
      if (record[i] == '\n') return std::nullopt;
      frame.bytes += record[i];
      continue;
    }
    const auto byte = byte_for(record[++i]);
    if (!byte) return std::nullopt;
    frame.bytes += *byte;
  }
  return frame;
}

}  // namespace

void append_frames(std::string& out, rank_news news, int rank, std::string_view bytes) {
  do {
    const std::size_t begin = out.size();
    out += begin_mark;
    out += static_cast<char>(news);
    out += fmt::format("{:08x}", rank);
    // An escaped byte takes two; one place is for the end of the line.
    while (!bytes.empty() && out.size() - begin + 2 < rank_frame_size) {
      if (const char letter = letter_for(bytes.front()); letter != 0) {
        out += escape;
        out += letter;
      } else {
        out += bytes.front();
      }
      bytes.remove_prefix(1);
    }
    out.append(rank_frame_size - 1 - (out.size() - begin), filler);
    out += '\n';
  } while (!bytes.empty());
}

void rank_frame_reader::feed(std::string_view bytes) {
  rest_ += bytes;
  while (take_one()) {
  }
  rest_.erase(0, at_);
  at_ = 0;
}

// False when what is there is no whole record or line.
bool rank_frame_reader::take_one() {
  const std::string_view left = std::string_view(rest_).substr(at_);
  if (left.empty()) return false;
  const std::size_t next = left.find(begin_mark, 1);
  if (left.front() == begin_mark && next >= rank_frame_size) {
    if (left.size() < rank_frame_size) return false;
    if (auto frame = read_frame(left.substr(0, rank_frame_size))) {
      at_ += rank_frame_size;
      on_frame_(std::move(*frame));
      return true;
    }
  }
  const std::size_t end = std::min(left.find('\n'), next);
  if (end == std::string_view::npos) return false;
  at_ += end + (left[end] == '\n' ? 1 : 0);
  words(left.substr(0, end));
  return true;
}

void rank_frame_reader::words(std::string_view text) {
  if (!text.starts_with(begin_mark)) on_words_(text);  // a record's remains say nothing to anybody
}

void rank_frame_reader::end() {
  if (!rest_.empty()) words(rest_);
  rest_.clear();
}

}  // namespace tutti::app
