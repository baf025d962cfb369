// envelope: what is around a task message, for those that read and write it.
#pragma once
#include <string_view>

namespace tutti::cluster::detail {

inline constexpr int soonest_priority = 9;  // of ours, 0 to 9; Celery's on Redis are 9 - ours

inline constexpr std::size_t longest_message = 100'000'000;  // bytes of an element; a worker takes no more

// Whether a header of that name is one that a message's own members stand for.
[[nodiscard]] bool is_own_header(std::string_view name) noexcept;

// The parts of an envelope, JSON as it came; empty: absent.
struct envelope {
  std::string_view body, content_type, content_encoding, headers, properties;
};

// Views into `element`. Throws decode_error when it is no JSON object.
[[nodiscard]] envelope open_envelope(std::string_view element);

}  // namespace tutti::cluster::detail
