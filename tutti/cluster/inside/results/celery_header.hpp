// celery_header: the parts of a chord as Celery's client has noted its header: what is a group in it is one part.
#pragma once
#include <tutti/cluster/result_store.hpp>

#include <optional>
#include <string_view>

namespace tutti::cluster::detail {

/// `parts` in the order of the header that `noted` describes, the JSON that Celery keeps for a group of groups: those
/// of a group within it become one part, whose result is the list of theirs, or the first one that has failed. Nothing
/// when there are fewer than it names: a worker of Celery that sends a group within it has put that one's size in the
/// place of the whole's. As they are when the two do not fit together.
[[nodiscard]] std::optional<chord_parts> in_shape(std::string_view noted, chord_parts parts);

}  // namespace tutti::cluster::detail
