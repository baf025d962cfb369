// json_handler: what Boost.JSON's parser calls, doing nothing: the base of handlers that do something. For .cpp files.
#pragma once
#include <tutti/cluster/inside/json_slices.hpp>

#include <boost/json/basic_parser_impl.hpp>
#include <cstddef>
#include <cstdint>

namespace tutti::cluster::detail {

template <class Handler>
using json_reader = boost::json::basic_parser<Handler>;

inline boost::json::parse_options json_parse_options() {
  boost::json::parse_options options;
  options.max_depth = json_depth_limit;
  return options;
}

struct json_handler {
  using text = boost::json::string_view;
  using failure = boost::json::error_code;
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);

  bool on_document_begin(failure&) { return true; }
  bool on_document_end(failure&) { return true; }
  bool on_array_begin(failure&) { return true; }
  bool on_array_end(std::size_t, failure&) { return true; }
  bool on_object_begin(failure&) { return true; }
  bool on_object_end(std::size_t, failure&) { return true; }
  bool on_string_part(text, std::size_t, failure&) { return true; }
  bool on_string(text, std::size_t, failure&) { return true; }
  bool on_key_part(text, std::size_t, failure&) { return true; }
  bool on_key(text, std::size_t, failure&) { return true; }
  bool on_number_part(text, failure&) { return true; }
  bool on_int64(std::int64_t, text, failure&) { return true; }
  bool on_uint64(std::uint64_t, text, failure&) { return true; }
  bool on_double(double, text, failure&) { return true; }
  bool on_bool(bool, failure&) { return true; }
  bool on_null(failure&) { return true; }
  bool on_comment_part(text, failure&) { return true; }
  bool on_comment(text, failure&) { return true; }
};

}  // namespace tutti::cluster::detail
