// timeline_reader: Boost.JSON's incremental parser, and what the pieces mean.
#include <tutti/trace/timeline_reader.hpp>

#include <tutti/trace/timeline_builder.hpp>

#include <fmt/format.h>
#include <boost/json/basic_parser_impl.hpp>

#include <cerrno>
#include <fstream>
#include <istream>
#include <limits>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tutti {
namespace {

using detail::json_scalar;
using detail::timeline_builder;

namespace bj = boost::json;

// What Boost.JSON's parser calls.
struct handler {
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = std::size_t{1} << 16U;
  static constexpr std::size_t max_string_size = std::size_t{1} << 20U;

  using error_code = bj::error_code;
  using place = timeline_builder::place;

  explicit handler(const timeline_limits& limits) : built(limits) {}

  bool said(bool fine, error_code& ec) {
    if (!fine) ec = bj::error::exception;  // any: what is wrong says `built`
    return fine;
  }
  bool begin(bool is_object, error_code& ec) {
    const place where = built.inner(where_.empty() ? place::outside : where_.back(), key_, is_object);
    where_.push_back(where);
    key_.clear();
    return said(built.begin(where), ec);
  }
  bool end(error_code& ec) {
    const place where = where_.back();
    where_.pop_back();
    key_.clear();
    return said(built.end(where), ec);
  }
  bool scalar_value(const json_scalar& found, error_code& ec) {
    return said(built.value(where_.empty() ? place::outside : where_.back(), key_, found), ec);
  }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& ec) { return begin(true, ec); }
  bool on_object_end(std::size_t, error_code& ec) { return end(ec); }
  bool on_array_begin(error_code& ec) { return begin(false, ec); }
  bool on_array_end(std::size_t, error_code& ec) { return end(ec); }
  bool on_key_part(bj::string_view part, std::size_t, error_code&) { return keep(key_, part, key_goes_on_, true); }
  bool on_key(bj::string_view rest, std::size_t, error_code&) { return keep(key_, rest, key_goes_on_, false); }
  bool on_string_part(bj::string_view part, std::size_t, error_code&) { return keep(text_, part, text_goes_on_, true); }
  bool on_string(bj::string_view rest, std::size_t, error_code& ec) {
    keep(text_, rest, text_goes_on_, false);
    return scalar_value({.kind = json_scalar::type::text, .text = text_}, ec);
  }
  bool on_number_part(bj::string_view, error_code&) { return true; }
  bool on_int64(std::int64_t value, bj::string_view, error_code& ec) {
    json_scalar found{.kind = json_scalar::type::number, .number = static_cast<double>(value), .integer = value};
    if (value >= 0) found.natural = static_cast<std::uint64_t>(value);
    return scalar_value(found, ec);
  }
  // Those that are no std::int64_t.
  bool on_uint64(std::uint64_t value, bj::string_view, error_code& ec) {
    return scalar_value({.kind = json_scalar::type::number, .number = static_cast<double>(value), .natural = value},
                        ec);
  }
  bool on_double(double value, bj::string_view, error_code& ec) {
    return scalar_value({.kind = json_scalar::type::number, .number = value}, ec);
  }
  bool on_bool(bool value, error_code& ec) {
    return scalar_value({.kind = json_scalar::type::flag, .flag = value}, ec);
  }
  bool on_null(error_code& ec) { return scalar_value({}, ec); }
  bool on_comment_part(bj::string_view, error_code&) { return true; }
  bool on_comment(bj::string_view, error_code&) { return true; }

  timeline_builder built;

 private:
  static bool keep(std::string& whole, bj::string_view part, bool& goes_on, bool more) {
    if (!std::exchange(goes_on, more)) whole.clear();
    whole.append(part.data(), part.size());
    return true;
  }

  std::vector<place> where_;
  std::string key_, text_;
  bool key_goes_on_ = false, text_goes_on_ = false;
};

// The parser, fed piece by piece.
class reading {
 public:
  explicit reading(const timeline_limits& limits) : parser_(options(), limits) {}

  void feed(std::string_view piece, bool more) {
    bj::error_code failed;
    const std::size_t taken = parser_.write_some(more, piece.data(), piece.size(), failed);
    offset_ += taken;
    if (!failed && taken < piece.size()) failed = bj::error::extra_data;
    if (!failed) return;
    const std::string& problem = parser_.handler().built.problem();
    fail(!problem.empty() ? problem : failed == bj::error::incomplete ? "it ends too early" : failed.message());
  }
  timeline finish() {
    if (offset_ == 0) fail("it is empty");
    feed({}, false);
    timeline made;
    timeline_builder& built = parser_.handler().built;
    if (!built.finish(made)) fail(built.problem());
    return made;
  }

 private:
  static bj::parse_options options() {
    bj::parse_options chosen;
    chosen.max_depth = 64;
    chosen.allow_invalid_utf8 = true;  // only shown
    return chosen;
  }
  [[noreturn]] void fail(const std::string& why) const {
    throw decode_error(fmt::format("no timeline: at byte {}: {}", offset_, why), offset_);
  }

  bj::basic_parser<handler> parser_;
  std::size_t offset_ = 0;
};

}  // namespace

timeline read_timeline(std::istream& in, const timeline_limits& limits) {
  reading all(limits);
  std::string piece(std::size_t{1} << 16U, '\0');
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())), in.gcount() > 0) {
    all.feed({piece.data(), static_cast<std::size_t>(in.gcount())}, /*more=*/true);
  }
  return all.finish();
}

timeline read_timeline(std::string_view text, const timeline_limits& limits) {
  reading all(limits);
  all.feed(text, /*more=*/true);
  return all.finish();
}

timeline read_timeline_file(const std::filesystem::path& file, const timeline_limits& limits) {
  const auto fail = [&](int why) {
    throw std::system_error(why, std::generic_category(), "the timeline \"" + file.string() + "\" cannot be read");
  };
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) fail(errno == 0 ? EIO : errno);
  if (std::filesystem::is_directory(file)) fail(EISDIR);
  timeline made = read_timeline(in, limits);
  if (in.bad()) fail(EIO);
  return made;
}

}  // namespace tutti
