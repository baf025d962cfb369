// timeline_builder: what the values in a timeline's file mean, told one by one.
#pragma once
#include <tutti/trace/timeline_reader.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tutti::detail {

/// A scalar value, as far as anybody here wants to know.
struct json_scalar {
  enum class type : std::uint8_t { text, number, flag, nothing } kind = type::nothing;
  std::string_view text = {};
  double number = 0;
  std::optional<std::int64_t> integer = {};   ///< the number exactly, where it is one
  std::optional<std::uint64_t> natural = {};  ///< the same for those from 0 on
  bool flag = false;
};

/// Makes a timeline of the values it is told, object by object. What it does not understand it says in `problem`.
class timeline_builder {
 public:
  explicit timeline_builder(const timeline_limits& limits) : limits_(limits) {}

  /// Where in the file a value stands.
  enum class place : std::uint8_t { outside, root, about, threads, thread, events, event, arguments, ignored };

  place inner(place outer, std::string_view key, bool is_object) const noexcept;
  bool begin(place where);
  bool end(place where);
  bool value(place where, std::string_view key, const json_scalar& found);
  bool finish(timeline& into);

  const std::string& problem() const noexcept { return problem_; }

 private:
  // The members of one event that mean something.
  struct fields {
    std::string phase, category, name, target, where;
    std::optional<std::int64_t> at, duration;
    std::optional<std::uint64_t> thread, id;
    std::int64_t value = 0;
    std::uint64_t number = 0;
    bool resumed = false, unfinished = false;
  };
  struct half_flow {
    timeline::flow flow;
    bool begun = false, ended = false;
  };

  bool fail(std::string why) {
    problem_ = std::move(why);
    return false;
  }
  bool read(std::string_view key, const json_scalar& found, std::string& to);
  bool read(std::string_view key, const json_scalar& found, bool& to);
  bool read(std::string_view key, const json_scalar& found, double least, double most, double& to);
  bool read_time(std::string_view key, const json_scalar& found, std::optional<std::int64_t>& to);
  bool read_natural(std::string_view key, const json_scalar& found, std::optional<std::uint64_t>& to);
  bool about_value(std::string_view key, const json_scalar& found);
  bool thread_value(std::string_view key, const json_scalar& found);
  bool event_value(std::string_view key, const json_scalar& found);
  bool argument_value(std::string_view key, const json_scalar& found);
  bool add_thread();
  bool add_event();
  bool add_slice();
  bool add_flow();
  bool index_of(std::uint64_t id, std::uint32_t& index);
  bool need(bool there, const char* member);

  // Times up to eleven days are exact to the nanosecond as floating-point microseconds, and so are sums of them.
  static constexpr double most_us = 1e12;
  static constexpr double most_integer = 9007199254740992.0;  // 2^53, up to which a double is exact

  const timeline_limits limits_;
  timeline made_;
  bool ours_ = false;
  fields event_;
  timeline::thread thread_;
  std::optional<std::uint64_t> thread_id_;
  std::unordered_map<std::uint64_t, std::uint32_t> threads_;
  std::unordered_map<std::uint64_t, half_flow> flows_;
  std::size_t events_ = 0;
  std::string problem_;
};

}  // namespace tutti::detail
