// fields: the header of a message: names and values, in order.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::io::http {

/// Names and values in the order in which they were added; a name may occur several times. Names are compared without
/// regard to case. All text lies in one piece of memory: views of it are valid until the next change. A value type.
class fields {
 public:
  struct field {
    std::string_view name, value;
  };

  fields() = default;
  /// Throws as add.
  fields(std::initializer_list<field> all) {
    for (const field& f : all) add(f.name, f.value);
  }

  /// Adds one behind all others; the texts may be views of this. Throws std::invalid_argument, which names the field,
  /// when the name is no token or the value has a line end or another control character in it: nobody smuggles in
  /// fields of his own.
  void add(std::string_view name, std::string_view value);
  /// The only one of that name from now on. Throws as add.
  void set(std::string_view name, std::string_view value);
  /// Removes all of that name; how many there were.
  std::size_t erase(std::string_view name) noexcept;
  void clear() noexcept {
    text_.clear();
    places_.clear();
  }

  /// The value of the first of that name, nothing if there is none.
  [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const noexcept;
  /// The same, or `otherwise`.
  [[nodiscard]] std::string_view get(std::string_view name, std::string_view otherwise) const noexcept {
    return get(name).value_or(otherwise);
  }
  [[nodiscard]] bool contains(std::string_view name) const noexcept { return get(name).has_value(); }
  /// Whether `token` is one of the comma-separated words of the values of that name, without regard to case.
  [[nodiscard]] bool has_token(std::string_view name, std::string_view token) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] bool empty() const noexcept { return places_.empty(); }

  /// The field at `index`, below size().
  [[nodiscard]] field operator[](std::size_t index) const noexcept {
    const place& p = places_[index];
    return {{text_.data() + p.at, p.name_size}, {text_.data() + p.at + p.name_size, p.value_size}};
  }
  class iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = field;
    using difference_type = std::ptrdiff_t;
    using reference = field;
    using pointer = void;
    iterator() = default;
    iterator(const fields& all, std::size_t at) noexcept : all_(&all), at_(at) {}
    field operator*() const noexcept { return (*all_)[at_]; }
    iterator& operator++() noexcept {
      ++at_;
      return *this;
    }
    iterator operator++(int) noexcept { return {*all_, at_++}; }
    friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.at_ == b.at_; }

   private:
    const fields* all_ = nullptr;
    std::size_t at_ = 0;
  };
  [[nodiscard]] iterator begin() const noexcept { return {*this, 0}; }
  [[nodiscard]] iterator end() const noexcept { return {*this, size()}; }

  /// For this module: adds what a parser has checked.
  void add_checked(std::string_view name, std::string_view value);

 private:
  struct place {
    std::size_t at;
    std::uint32_t name_size, value_size;
  };
  std::string text_;  // also what was erased, until it is full
  std::vector<place> places_;
};

namespace detail {
/// Whether they are the same but for the case of A to Z.
[[nodiscard]] bool same_word(std::string_view a, std::string_view b) noexcept;
/// Whether all of it may stand in a method or a field's name (RFC 9110, "token"), and it is not empty.
[[nodiscard]] bool is_token(std::string_view text) noexcept;
/// Calls `f(word)` for each comma-separated word of `list`, without blanks around it.
template <class F>
void for_each_word(std::string_view list, F&& f) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    std::string_view word = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    while (!word.empty() && (word.front() == ' ' || word.front() == '\t')) word.remove_prefix(1);
    while (!word.empty() && (word.back() == ' ' || word.back() == '\t')) word.remove_suffix(1);
    if (!word.empty()) f(word);
  }
}
}  // namespace detail

}  // namespace tutti::io::http
