// task_shape: what a task is called with: its parameters' names, types and defaults, and which argument is whose.
#pragma once
#include <tutti/base/demangle.hpp>
#include <tutti/base/json_text.hpp>
#include <tutti/cluster/arguments.hpp>

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

struct task_settings;

namespace detail {

struct task_shape {
  std::string name;
  std::vector<std::string> types;     ///< of all parameters, for people
  std::vector<std::string> params;    ///< their names; none: positional only
  std::vector<std::string> defaults;  ///< JSON texts, of the last parameters

  /// "tasks.add(a: int, b: int = 3)".
  [[nodiscard]] std::string text() const;
};

/// `identity`: the function's, from which a task without a name gets one. Throws std::invalid_argument.
[[nodiscard]] task_shape make_shape(std::string_view identity, const task_settings& options,
                                    std::vector<std::string> types);
/// `given` with the name. Throws std::invalid_argument for what makes no sense.
[[nodiscard]] task_settings checked_settings(const task_shape& shape, task_settings given);
/// The path of the library that `address` is in; empty for the program. Lives for ever.
[[nodiscard]] const char* library_of(const void* address);

[[nodiscard]] std::string shorter_type(std::string name);
template <class T>
[[nodiscard]] std::string shown_type() {
  return shorter_type(type_name<T>());
}

/// The arguments of a message, each at its parameter.
class bound_arguments {
 public:
  /// `args` is a JSON array, `kwargs` an object. Throws argument_error when they do not fit `shape`, which must outlive
  /// this.
  bound_arguments(const task_shape& shape, std::string_view args, std::string_view kwargs);
  bound_arguments(const task_shape& shape, const call_arguments& given);
  /// Only the defaults.
  explicit bound_arguments(const task_shape& shape);
  bound_arguments(const bound_arguments&) = delete;
  bound_arguments& operator=(const bound_arguments&) = delete;

  /// Whether there is one for the i-th parameter: always but when there are defaults only.
  [[nodiscard]] bool has(std::size_t i) const noexcept { return nodes_[i].has_value(); }
  [[nodiscard]] const json_node& operator[](std::size_t i) const { return *nodes_[i]; }
  /// Throws argument_error about the i-th one; `why` may be what() of a decode_error.
  [[noreturn]] void fail(std::size_t i, std::string_view why) const;

 private:
  const json_node& parse(std::string_view text);
  void bind(std::string_view args, std::string_view kwargs);
  void bind_by_name(std::string_view kwargs);
  void add_defaults();
  [[nodiscard]] std::string place(std::size_t i) const;
  [[noreturn]] void refuse(const std::string& why) const;

  const task_shape& shape_;
  std::deque<json_document> documents_;
  std::deque<json_node> roots_;  // nodes refer to them
  std::vector<std::optional<json_node>> nodes_;
};

}  // namespace detail
}  // namespace tutti::cluster
