// json: text by Boost.JSON.
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>
#include <boost/locale/utf.hpp>
#include <charconv>
#include <cmath>
#include <tutti/base/codec_archive.hpp>
#include <tutti/base/json_text.hpp>

namespace tutti {
namespace {

namespace bj = boost::json;

const bj::value& value_at(const void* value) noexcept { return *static_cast<const bj::value*>(value); }

bool is_utf8(std::string_view text) noexcept {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const auto code = boost::locale::utf::utf_traits<char>::decode(at, end);
    if (code == boost::locale::utf::illegal || code == boost::locale::utf::incomplete) return false;
  }
  return true;
}

void write(const bj::value& value, json_writer& out) {
  switch (value.kind()) {
    case bj::kind::null: return out.null();
    case bj::kind::bool_: return out.boolean(value.get_bool());
    case bj::kind::int64: return out.integer(value.get_int64());
    case bj::kind::uint64: return out.natural(value.get_uint64());
    case bj::kind::double_: return out.real(value.get_double());
    case bj::kind::string: return out.text({value.get_string().data(), value.get_string().size()});
    case bj::kind::array:
      out.begin_array();
      for (const bj::value& element : value.get_array()) write(element, out);
      return out.end_array();
    case bj::kind::object:
      out.begin_object();
      for (const auto& member : value.get_object()) {
        out.key({member.key().data(), member.key().size()});
        write(member.value(), out);
      }
      return out.end_object();
  }
}

}  // namespace

void json_writer::comma() {
  if (!first_) out_ += ',';
  first_ = false;
}

void json_writer::begin(char bracket) {
  comma();
  if (++depth_ > codec_depth_limit) throw encode_error("cannot write JSON: the value is nested deeper than 64 levels");
  out_ += bracket;
  first_ = true;
}

void json_writer::end(char bracket) {
  --depth_;
  out_ += bracket;
  first_ = false;
}

void json_writer::null() {
  comma();
  out_ += "null";
}

void json_writer::boolean(bool value) {
  comma();
  out_ += value ? "true" : "false";
}

void json_writer::integer(std::int64_t value) {
  comma();
  out_ += std::to_string(value);
}

void json_writer::natural(std::uint64_t value) {
  comma();
  out_ += std::to_string(value);
}

void json_writer::real(double value) {
  if (!std::isfinite(value)) {
    throw encode_error("cannot write JSON: it has no number for " + std::to_string(value));
  }
  comma();
  std::array<char, 32> digits{};
  const auto end =
      std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;  // the shortest that is exact
  const std::string_view number(digits.data(), static_cast<std::size_t>(end - digits.data()));
  out_ += number;
  if (number.find_first_of(".e") == std::string_view::npos) out_ += ".0";  // readers tell it from an integer
}

void json_writer::text(std::string_view value) {
  if (!is_utf8(value)) throw encode_error("cannot write JSON: a string is not UTF-8");
  comma();
  out_ += bj::serialize(bj::string_view(value.data(), value.size()));
}

void json_writer::key(std::string_view name) {
  text(name);
  out_ += ':';
  first_ = true;  // no comma before the value
}

bool json_node::is_null() const noexcept { return value_at(value_).is_null(); }
bool json_node::is_array() const noexcept { return value_at(value_).is_array(); }
bool json_node::is_object() const noexcept { return value_at(value_).is_object(); }

bool json_node::boolean() const {
  const bool* found = value_at(value_).if_bool();
  if (found == nullptr) expected("true or false");
  return *found;
}

std::int64_t json_node::integer(std::int64_t least, std::int64_t most) const {
  boost::system::error_code failed;
  const auto number = value_at(value_).to_number<std::int64_t>(failed);  // takes 3.0 for 3, refuses 3.5
  if (failed || number < least || number > most) {
    expected(("an integer from " + std::to_string(least) + " to " + std::to_string(most)).c_str());
  }
  return number;
}

std::uint64_t json_node::natural(std::uint64_t most) const {
  boost::system::error_code failed;
  const auto number = value_at(value_).to_number<std::uint64_t>(failed);
  if (failed || number > most) expected(("an integer from 0 to " + std::to_string(most)).c_str());
  return number;
}

double json_node::real() const {
  boost::system::error_code failed;
  const auto number = value_at(value_).to_number<double>(failed);
  if (failed) expected("a number");
  return number;
}

std::string_view json_node::text() const {
  const bj::string* found = value_at(value_).if_string();
  if (found == nullptr) expected("a string");
  return {found->data(), found->size()};
}

std::size_t json_node::size() const {
  if (const bj::array* array = value_at(value_).if_array()) return array->size();
  if (const bj::object* object = value_at(value_).if_object()) return object->size();
  expected("an array or an object");
}

void json_node::require_size(std::size_t wanted) const {
  const bj::array* array = value_at(value_).if_array();
  if (array == nullptr || array->size() != wanted) expected(("an array of " + std::to_string(wanted)).c_str());
}

json_node json_node::at(std::size_t i) const {
  if (const bj::array* array = value_at(value_).if_array()) return {&(*array)[i], this, i, {}};
  if (const bj::object* object = value_at(value_).if_object()) {
    const auto& member = *(object->begin() + static_cast<std::ptrdiff_t>(i));
    return {&member.value(), this, i, {member.key().data(), member.key().size()}};
  }
  expected("an array or an object");
}

std::string_view json_node::key(std::size_t i) const {
  const bj::object* object = value_at(value_).if_object();
  if (object == nullptr) expected("an object");
  const auto name = (object->begin() + static_cast<std::ptrdiff_t>(i))->key();
  return {name.data(), name.size()};
}

json_node json_node::member(std::string_view name) const {
  const bj::object* object = value_at(value_).if_object();
  if (object == nullptr) expected("an object");
  return {object->if_contains(bj::string_view(name.data(), name.size())), this, 0, name};
}

std::string json_node::way() const {
  if (above_ == nullptr) return "$";
  if (!name_.empty()) return above_->way() + '.' + std::string(name_);
  return above_->way() + '[' + std::to_string(index_) + ']';
}

std::string json_node::json() const {
  std::string text;
  json_writer out(text);
  write(value_at(value_), out);
  return text;
}

void json_node::fail(const std::string& why) const { throw decode_error("cannot read JSON at " + way() + ": " + why); }

void json_node::expected(const char* what) const {
  constexpr std::size_t longest = 60;
  std::string found = value_ != nullptr ? bj::serialize(value_at(value_)) : "nothing";
  if (found.size() > longest) found = found.substr(0, longest) + "...";
  fail("wanted " + std::string(what) + ", found " + found);
}

struct json_document::content {
  bj::value root;
};

namespace {

// Makes values of what the parser tells, as Boost.JSON's own does, but for real numbers: its own are off by one unit in
// the last place now and then.
struct value_handler {
  using text = bj::string_view;
  static constexpr std::size_t max_array_size = bj::array::max_size();
  static constexpr std::size_t max_object_size = bj::object::max_size();
  static constexpr std::size_t max_string_size = bj::string::max_size();
  static constexpr std::size_t max_key_size = bj::string::max_size();
  bj::value_stack values;

  value_handler() { values.reset(); }
  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_array_begin(bj::error_code&) { return true; }
  bool on_array_end(std::size_t size, bj::error_code&) { return values.push_array(size), true; }
  bool on_object_begin(bj::error_code&) { return true; }
  bool on_object_end(std::size_t size, bj::error_code&) { return values.push_object(size), true; }
  bool on_string_part(text part, std::size_t, bj::error_code&) { return values.push_chars(part), true; }
  bool on_string(text part, std::size_t, bj::error_code&) { return values.push_string(part), true; }
  bool on_key_part(text part, std::size_t, bj::error_code&) { return values.push_chars(part), true; }
  bool on_key(text part, std::size_t, bj::error_code&) { return values.push_key(part), true; }
  bool on_number_part(text, bj::error_code&) { return true; }
  bool on_int64(std::int64_t value, text, bj::error_code&) { return values.push_int64(value), true; }
  bool on_uint64(std::uint64_t value, text, bj::error_code&) { return values.push_uint64(value), true; }
  // `digits` is the whole number, since the whole document is there at once.
  bool on_double(double near, text digits, bj::error_code& failed) {
    double value = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc::result_out_of_range) {
      if (std::abs(near) > 1) return failed = bj::error::exponent_overflow, false;
      value = std::copysign(0.0, near);  // too small for a double
    }
    return values.push_double(value), true;
  }
  bool on_bool(bool value, bj::error_code&) { return values.push_bool(value), true; }
  bool on_null(bj::error_code&) { return values.push_null(), true; }
  bool on_comment_part(text, bj::error_code&) { return true; }
  bool on_comment(text, bj::error_code&) { return true; }
};

bj::value parse(std::string_view text, int most_depth) {
  bj::parse_options options;
  options.max_depth = static_cast<std::size_t>(most_depth);
  bj::error_code failed;
  bj::basic_parser<value_handler> parser(options);
  const std::size_t read = parser.write_some(false, text.data(), text.size(), failed);
  if (!failed && read < text.size()) failed = bj::error::extra_data;
  if (failed) {
    throw decode_error("cannot read JSON at byte " + std::to_string(read) + ": " + failed.message(), read);
  }
  return parser.handler().values.release();
}

}  // namespace

void json_writer::json(std::string_view value) {
  try {
    (void)parse(value, codec_depth_limit - depth_);
  } catch (const decode_error& e) {
    throw encode_error("cannot write JSON: what a type gives as its JSON is none: " + std::string(e.what()));
  }
  comma();
  out_ += value;
}

json_document::json_document(std::string_view text) : content_(std::make_unique<content>()) {
  content_->root = parse(text, codec_depth_limit);
}

json_document::~json_document() = default;

json_node json_document::root() const noexcept { return {&content_->root, nullptr, 0, {}}; }

}  // namespace tutti
