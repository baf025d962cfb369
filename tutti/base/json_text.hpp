// json_text: JSON without its types: a writer of text and a view into what was parsed. Boost.JSON stays in json.cpp.
#pragma once
#include <tutti/base/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tutti {

/// Writes one JSON document piece by piece. The caller keeps begin and end in pairs. Not thread-safe.
class json_writer {
 public:
  /// Appends to `out`, which must outlive the writer.
  explicit json_writer(std::string& out) noexcept : out_(out) {}

  void null();
  void boolean(bool value);
  void integer(std::int64_t value);
  void natural(std::uint64_t value);
  /// The shortest digits that give the same number again, always with a point or an exponent ("1.0"). Throws
  /// encode_error for what JSON has no number for: infinities and not-a-number.
  void real(double value);
  /// Throws encode_error when `value` is not UTF-8.
  void text(std::string_view value);
  /// What is JSON already, digit by digit. Throws encode_error when it is not.
  void json(std::string_view value);
  /// The name of the next value, within an object.
  void key(std::string_view name);
  void begin_array() { begin('['); }
  void end_array() { end(']'); }
  void begin_object() { begin('{'); }
  void end_object() { end('}'); }

 private:
  void comma();
  void begin(char bracket);
  void end(char bracket);

  std::string& out_;
  bool first_ = true;  // nothing in the current array or object yet
  int depth_ = 0;
};

/// A parsed value inside a json_document, and the way to it for error messages. All readers throw decode_error, naming
/// that way ("$[2].name"), when the value is something else. Refers to its document and to the node above.
class json_node {
 public:
  [[nodiscard]] bool is_null() const noexcept;
  [[nodiscard]] bool is_array() const noexcept;
  [[nodiscard]] bool is_object() const noexcept;
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] std::int64_t integer(std::int64_t least, std::int64_t most) const;
  [[nodiscard]] std::uint64_t natural(std::uint64_t most) const;
  [[nodiscard]] double real() const;
  [[nodiscard]] std::string_view text() const;

  /// The value as JSON again; integers beyond 64 bits as real numbers.
  [[nodiscard]] std::string json() const;

  /// How many elements the array or members the object has.
  [[nodiscard]] std::size_t size() const;
  /// Refuses an array with another number of elements.
  void require_size(std::size_t wanted) const;
  /// The i-th element of the array or member of the object, which must exist.
  [[nodiscard]] json_node at(std::size_t i) const;
  /// The name of the i-th member.
  [[nodiscard]] std::string_view key(std::size_t i) const;
  /// The member `name`; tells false for absent by is_missing().
  [[nodiscard]] json_node member(std::string_view name) const;
  [[nodiscard]] bool is_missing() const noexcept { return value_ == nullptr; }

  /// Throws decode_error with `why` and the way to this value.
  [[noreturn]] void fail(const std::string& why) const;

 private:
  friend class json_document;
  json_node(const void* value, const json_node* above, std::size_t index, std::string_view name)
      : value_(value), above_(above), index_(index), name_(name) {}
  [[noreturn]] void expected(const char* what) const;
  [[nodiscard]] std::string way() const;

  const void* value_;  // a boost::json::value
  const json_node* above_;
  std::size_t index_;
  std::string_view name_;
};

/// A parsed JSON text.
class json_document {
 public:
  /// Throws decode_error, with the offset, for what is not JSON or is nested deeper than 64 levels.
  explicit json_document(std::string_view text);
  ~json_document();
  json_document(const json_document&) = delete;
  json_document& operator=(const json_document&) = delete;

  /// The outermost value.
  [[nodiscard]] json_node root() const noexcept;

 private:
  struct content;
  std::unique_ptr<content> content_;
};

}  // namespace tutti
