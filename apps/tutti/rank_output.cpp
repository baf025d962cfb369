#include <apps/tutti/rank_output.hpp>

#include <apps/tutti/printable.hpp>
#include <apps/tutti/rank_launcher.hpp>

#include <fmt/format.h>
#include <signal.h>

#include <charconv>
#include <cstring>
#include <ostream>

namespace tutti::app {
namespace {

// A line that grows beyond this is cut: memory has an end.
constexpr std::size_t longest_line = std::size_t{16} << 20;

std::string signal_text(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? std::to_string(signal) : fmt::format("{} (SIG{})", signal, name);
}

}  // namespace

rank_output::rank_output(std::ostream& out, std::ostream& err, rank_output_options options)
    : out_(out),
      err_(err),
      options_(options),
      from_records_([this](const rank_frame& frame) { take(frame); },
                    [this](std::string_view line) { take_words(line); }),
      from_words_([this](const rank_frame& frame) { take(frame); },
                  [this](std::string_view line) { take_words(line); }) {}

void rank_output::take(const rank_frame& frame) {
  if (frame.news == rank_news::output || frame.news == rank_news::errors) {
    take_text(frame);
  } else {
    rank_ended(frame);
  }
}

void rank_output::write_line(std::ostream& to, int rank, std::string_view line) const {
  if (options_.prefix) to << '[' << rank << "] ";
  to << line << '\n';
}

void rank_output::take_text(const rank_frame& frame) {
  std::ostream& to = frame.news == rank_news::output ? out_ : err_;
  std::string& begun = begun_[{frame.rank, frame.news}];
  std::string_view left = frame.bytes;
  for (std::size_t end = left.find('\n'); end != std::string_view::npos; end = left.find('\n')) {
    begun += left.substr(0, end);
    write_line(to, frame.rank, begun);
    begun.clear();
    left.remove_prefix(end + 1);
  }
  begun += left;
  if (begun.size() < longest_line) return;
  write_line(to, frame.rank, begun);
  begun.clear();
}

void rank_output::rank_ended(const rank_frame& frame) {
  ++ended_;
  for (const rank_news news : {rank_news::output, rank_news::errors}) {
    const auto begun = begun_.find({frame.rank, news});
    if (begun == begun_.end()) continue;
    if (!begun->second.empty()) write_line(news == rank_news::output ? out_ : err_, frame.rank, begun->second);
    begun_.erase(begun);
  }
  int number = 0;
  const std::string_view text = frame.bytes;
  std::from_chars(text.data(), text.data() + text.size(), number);
  const std::size_t space = text.find(' ');
  const std::string host(space == std::string_view::npos ? "?" : text.substr(space + 1));
  const bool is_failure = frame.news != rank_news::ended_by_us && (frame.news != rank_news::exited || number != 0);
  const int code = frame.news == rank_news::signalled ? 128 + number : number;
  if (options_.keep_going && frame.rank == 0 && !code_) code_ = code;
  if (!is_failure) return;
  if (failed_ && !options_.keep_going) return;  // those after the first follow from it
  const bool is_first = !failed_;
  failed_ = true;
  if (is_first) {
    failed_rank_ = frame.rank;
    failed_host_ = host;
  }
  if (!options_.keep_going) code_ = code;
  if (frame.news == rank_news::not_started) {
    if (is_first) not_started_ = number;
  } else if (frame.news == rank_news::signalled) {
    err_ << fmt::format("tutti: rank {} on {} was ended by signal {}\n", frame.rank, printable(host),
                        signal_text(number));
  } else {
    err_ << fmt::format("tutti: rank {} on {} failed with exit code {}\n", frame.rank, printable(host), number);
  }
}

void rank_output::take_words(std::string_view line) {
  if (is_frame_line(line)) {
    if (!in_banner_) {
      in_banner_ = true;
      banner_is_known_ = false;
      banner_ = {std::string(line)};
      return;
    }
    in_banner_ = false;
    banner_.emplace_back(line);
    if (banner_is_known_) {
      held_.insert(held_.end(), banner_.begin(), banner_.end());
    } else {
      for (const std::string& said : banner_) err_ << printable(said) << '\n';
    }
    banner_.clear();
    return;
  }
  const bool known = tells_of_failed_rank(line);
  if (in_banner_) {
    banner_is_known_ = banner_is_known_ || known;
    banner_.emplace_back(line);
  } else if (known || line.empty()) {
    held_.emplace_back(line);
  } else {
    err_ << printable(line) << '\n';
  }
}

void rank_output::write_held() {
  for (const std::string& said : held_) err_ << printable(said) << '\n';
  held_.clear();
}

void rank_output::flush() {
  out_.flush();
  err_.flush();
}

void rank_output::end(bool interrupted) {
  from_records_.end();
  from_words_.end();
  for (const auto& [where, text] : begun_) {
    if (!text.empty()) write_line(where.second == rank_news::output ? out_ : err_, where.first, text);
  }
  begun_.clear();
  held_.insert(held_.end(), banner_.begin(), banner_.end());
  if (!failed_ && !interrupted) write_held();
  flush();
}

}  // namespace tutti::app
