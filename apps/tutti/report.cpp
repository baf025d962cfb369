#include <apps/tutti/report.hpp>

#include <tutti/trace/scaling.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace tutti::app {
namespace {

// Columns that a terminal gives to a UTF-8 text, nearly: one per code point.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(std::string_view text, std::size_t columns) {
  std::string result(text);
  result.append(columns - std::min(columns, width(text)), ' ');
  return result;
}

}  // namespace

std::string grouped(std::uint64_t n) {
  const std::string digits = fmt::format("{}", n);
  std::string result;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % 3 == 0) result.push_back(',');
    result.push_back(digits[i]);
  }
  return result;
}

std::string megabytes(std::uint64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

void write_files(std::ostream& out, const text_files& all, const reading& read) {
  out << fmt::format("{} files, {} of text; skipped: {} binary, {} unreadable", grouped(read.files),
                     megabytes(read.bytes), grouped(read.binary), grouped(read.unreadable));
  if (all.closed_directories != 0)
    out << fmt::format(", {} directories that cannot be listed", grouped(all.closed_directories));
  out << '\n';
}

void write_runs(std::ostream& out, const std::vector<run_row>& rows) {
  std::size_t name = 8;
  for (const run_row& row : rows) name = std::max(name, width(row.where));
  out << fmt::format("{}  {:>7}  {:>8}  {:>7}  {:>7}  {:>10}  {:>15}  {:>9}  {}\n", padded("run", name), "workers",
                     "seconds", "MB/s", "speedup", "efficiency", "serial fraction", "memory", "words");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const run_row& row = rows[i];
    if (!row.failure.empty()) {
      out << fmt::format("{}  {:>7}  failed: {}\n", padded(row.where, name), row.workers, row.failure);
      continue;
    }
    const speedup s = compare(rows.front().seconds, row.seconds, row.workers);
    const double rate = static_cast<double>(row.bytes) / 1e6 / row.seconds;
    const std::string fraction = row.workers > 1 ? fmt::format("{:.1f} %", s.serial_fraction * 100) : "-";
    const char* verdict = row.agrees ? "agree" : "DIFFER";
    out << fmt::format("{}  {:>7}  {:>8.3f}  {:>7.0f}  {:>6.2f}x  {:>8.0f} %  {:>15}  {:>9}  {}\n",
                       padded(row.where, name), row.workers, row.seconds, rate, s.factor, s.efficiency * 100, fraction,
                       megabytes(row.memory), i == 0 ? "" : verdict);
  }
}

void write_commonest(std::ostream& out, const word_table& words, std::size_t n) {
  const auto top = words.commonest(n);
  constexpr std::size_t columns = 4;
  const std::size_t lines = (top.size() + columns - 1) / columns;
  std::size_t longest = 0;
  for (const auto& [word, count] : top) longest = std::max(longest, width(word));
  for (std::size_t line = 0; line < lines; ++line) {
    for (std::size_t i = line; i < top.size(); i += lines) {
      out << fmt::format("  {:>11}  {}", grouped(top[i].second),
                         padded(top[i].first, i + lines < top.size() ? longest : 0));
    }
    out << '\n';
  }
}

}  // namespace tutti::app
