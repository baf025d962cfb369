// downloader: one file from a web server, in parts at the same time where the server can do that.
#pragma once
#include <tutti/base/json.hpp>
#include <tutti/tutti.hpp>

#include <boost/describe/class.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fetch {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
namespace io = tutti::io;
namespace http = tutti::io::http;

struct options {
  int parts = 4;                          ///< of one file, at the same time
  std::uint64_t least_part = 256 * 1024;  ///< bytes: less is not worth a connection
  tutti::retry_options retries = {.attempts = 6, .first_delay = 200ms};
};

struct part {
  std::uint64_t from = 0, to = 0;  ///< bytes of the file, `to` is the next one's
  std::uint64_t at = 0;            ///< up to here it is in the file
};
BOOST_DESCRIBE_STRUCT(part, (), (from, to, at))

/// What is kept beside a file that is not complete.
struct notes {
  std::string url, version;  ///< the version as the server names it
  std::uint64_t size = 0;
  std::vector<part> parts;
};
BOOST_DESCRIBE_STRUCT(notes, (), (url, version, size, parts))

/// The file at the URL is not the one any more that it was in the beginning.
struct changed : tutti::error {
  using tutti::error::error;
};

inline std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

class download {
 public:
  /// To `folder`/`name`, which has no dot in front: what is kept beside it has, so no other download is called so.
  download(std::string url, const fs::path& folder, const std::string& name, const options& how = {})
      : how_(how),
        target_(folder / name),
        part_file_(folder / ("." + name + ".part")),
        notes_file_(folder / ("." + name + ".notes")) {
    notes_.url = std::move(url);
    how_.retries.retry_if = io::is_transient;
  }

  /// Awaits all of it; goes on where an earlier attempt ended, if the server still has the same file. Throws
  /// http_error, timed_out, os_error of the file; what has arrived is kept then.
  tutti::task<> run(http::client& from) {
    for (int versions = 0;; ++versions) {
      try {
        co_await run_once(from);
        co_return;
      } catch (const changed&) {
        if (versions == 3) throw;
        fs::remove(notes_file_);
      }
    }
  }

  [[nodiscard]] std::string name() const { return target_.filename().string(); }
  /// Bytes of the file, 0 if the server does not say it.
  [[nodiscard]] std::uint64_t size() const noexcept { return notes_.size; }
  /// How many of them are there.
  [[nodiscard]] std::uint64_t done() const noexcept {
    std::uint64_t sum = 0;
    for (const part& p : notes_.parts) sum += p.at - p.from;
    return sum;
  }
  [[nodiscard]] std::size_t parts() const noexcept { return notes_.parts.size(); }
  [[nodiscard]] bool is_over() const noexcept { return is_over_; }

 private:
  tutti::task<> run_once(http::client& from) {
    const auto ask = [&]() -> tutti::task<http::response> {
      http::client_request head(notes_.url, "HEAD");
      http::response answer = co_await from.request(std::move(head));
      if (answer.status == 405 || answer.status == 501)
        answer.headers = {};  // it knows GET alone, which will tell
      else
        answer.throw_if_error();
      co_return answer;
    };
    const http::response answer = co_await tutti::retry(ask, how_.retries);
    notes_.size = number(answer.headers.get("Content-Length", "")).value_or(0);
    notes_.version = answer.headers.get("ETag", answer.headers.get("Last-Modified", ""));
    // Without a version nobody knows whether two parts belong together; a weak one ("W/...") does not say it either.
    const bool has_parts = notes_.size > 0 && answer.headers.has_token("Accept-Ranges", "bytes") &&
                           !notes_.version.empty() && !notes_.version.starts_with("W/");
    const bool goes_on = has_parts && recall();
    if (!goes_on) notes_.parts = has_parts ? split() : std::vector<part>{{0, 0, 0}};
    file_ = co_await io::file::open(part_file_, goes_on ? io::file_mode::update : io::file_mode::write);

    std::exception_ptr failed;
    try {
      if (has_parts) {
        std::vector<tutti::task<>> all;
        all.reserve(notes_.parts.size());
        for (part& p : notes_.parts) all.push_back(read_part(from, p));
        co_await tutti::when_all(std::move(all));
      } else {
        const auto attempt = [&]() -> tutti::task<> { co_await read_whole(from, notes_.parts[0]); };
        co_await tutti::retry(attempt, how_.retries);
      }
    } catch (...) {
      failed = std::current_exception();
    }
    if (failed != nullptr) {
      if (has_parts) co_await tutti::shield(remember());  // also when it is to stop
      std::rethrow_exception(failed);
    }
    co_await file_.close();
    fs::rename(part_file_, target_);
    fs::remove(notes_file_);
    is_over_ = true;
  }

  // Whether there are notes of this file, and it is the same one.
  bool recall() {
    std::error_code none;
    if (!fs::exists(part_file_, none)) return false;
    try {
      std::ifstream in(notes_file_);
      const auto old = tutti::decode_json<notes>(std::string(std::istreambuf_iterator<char>(in), {}));
      if (old.url != notes_.url || old.version != notes_.version || old.size != notes_.size) return false;
      std::uint64_t next = 0;
      for (const part& p : old.parts) {
        if (p.from != next || p.at < p.from || p.to < p.at) return false;
        next = p.to;
      }
      if (next != old.size) return false;
      notes_.parts = old.parts;
      return true;
    } catch (const tutti::decode_error&) {  // there are none
      return false;
    }
  }

  [[nodiscard]] std::vector<part> split() const {
    const auto most = static_cast<std::uint64_t>(how_.parts);
    const std::uint64_t count = std::clamp<std::uint64_t>(notes_.size / how_.least_part, 1, most);
    std::vector<part> all;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t begin = notes_.size * i / count;
      all.push_back({begin, notes_.size * (i + 1) / count, begin});
    }
    return all;
  }

  tutti::task<> remember() {
    const io::write_file_options quick{.sync = false};
    co_await io::write_file(notes_file_, tutti::encode_json(notes_), quick);
  }

  tutti::task<> read_part(http::client& from, part& p) {
    const auto attempt = [&]() -> tutti::task<> { co_await read_rest(from, p); };
    co_await tutti::retry(attempt, how_.retries);
  }

  // What is missing of a part.
  tutti::task<> read_rest(http::client& from, part& p) {
    if (p.at == p.to) co_return;
    http::client_request ask(notes_.url);
    ask.headers.set("Range", "bytes=" + std::to_string(p.at) + "-" + std::to_string(p.to - 1));
    ask.headers.set("If-Range", notes_.version);  // else all of it comes
    http::incoming answer = co_await from.open(std::move(ask));
    check(answer.status());
    const std::string range =
        "bytes " + std::to_string(p.at) + "-" + std::to_string(p.to - 1) + "/" + std::to_string(notes_.size);
    if (answer.status() != 206 || answer.headers().get("Content-Range", "") != range)
      throw changed(notes_.url + " has changed since the beginning");
    std::vector<char> room(65536);
    while (p.at < p.to) {
      const std::size_t n = co_await answer.read_some(room);
      if (n == 0 || n > p.to - p.at) throw changed(notes_.url + ": the server has sent another part than it said");
      co_await file_.write_at(io::const_buffer(room.data(), n), p.at);
      p.at += n;
    }
    // Its end is awaited, so that the connection can be used again.
    static_cast<void>(co_await answer.read_some(room));
  }

  // All of it, from the beginning.
  tutti::task<> read_whole(http::client& from, part& p) {
    p = {};
    http::incoming answer = co_await from.open(http::client_request(notes_.url));
    check(answer.status());
    notes_.size = answer.size().value_or(0);
    p.to = notes_.size;
    co_await file_.truncate(0);
    std::vector<char> room(65536);
    for (;;) {
      const std::size_t n = co_await answer.read_some(room);
      if (n == 0) break;
      co_await file_.write_at(io::const_buffer(room.data(), n), p.at);
      p.at += n;
    }
  }

  void check(int status) const {
    if (status >= 400)
      throw http::http_error(
          "GET " + notes_.url + ": answered: " + std::to_string(status) + " " + std::string(http::reason(status)),
          notes_.url, "answered", status, nullptr);
  }

  options how_;
  fs::path target_, part_file_, notes_file_;
  notes notes_;
  io::file file_;
  bool is_over_ = false;
};

/// "name  [=====>    ]  52%  1.0 of 2.0 MB".
inline std::string bar(const std::string& name, std::uint64_t done, std::uint64_t size, std::size_t width) {
  const auto mb = [](std::uint64_t bytes) {
    return std::to_string(bytes / 1'000'000) + "." + std::to_string(bytes / 100'000 % 10);
  };
  std::string text = name.substr(0, 24);
  text.append(24 - text.size(), ' ');
  if (size == 0) return text + "  " + mb(done) + " MB";
  const std::size_t full = static_cast<std::size_t>(std::min(done, size) * width / size);
  text += "  [" + std::string(full, '=') + (full < width ? ">" : "");
  text.append(width - std::min(full + 1, width), ' ');
  const std::string percent = std::to_string(100 * done / size);
  return text + "]  " + std::string(3 - std::min<std::size_t>(percent.size(), 3), ' ') + percent + "%  " + mb(done) +
         " of " + mb(size) + " MB";
}

}  // namespace fetch
