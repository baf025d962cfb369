#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/results/celery_header.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tutti::cluster::detail {
namespace {

struct chord_part_fields {
  std::string id, state, result;  // JSON
  std::string text;
};

chord_part_fields fields_of(std::string text) {
  std::vector<std::string> part = array_parts(text);
  if (part.size() != 4) throw decode_error("a part of a chord has four elements");
  return {std::move(part[1]), std::move(part[2]), std::move(part[3]), std::move(text)};
}

// A result is noted as [[id, its parent], null], a group with a list of its results in place of null.
std::vector<std::string> result_of(std::string_view noted) {
  std::vector<std::string> result = array_parts(noted);
  if (result.size() != 2) throw decode_error("a result of a group has two elements");
  return result;
}

std::size_t tasks_in(std::string_view list) {
  std::size_t count = 0;
  for (const std::string& one : array_parts(list)) {
    const std::string members = result_of(one)[1];
    count += members.starts_with('[') ? tasks_in(members) : 1;
  }
  return count;
}

class header_reader {
 public:
  explicit header_reader(const chord_parts& parts) {
    for (const std::string& text : parts) {
      chord_part_fields fields = fields_of(text);
      std::string id = fields.id;
      by_id_.insert_or_assign(std::move(id), std::move(fields));
    }
  }

  [[nodiscard]] chord_parts members(std::string_view list) {
    chord_parts all;
    for (const std::string& one : array_parts(list)) all.push_back(part(one).text);
    return all;
  }
  [[nodiscard]] std::size_t left() const { return by_id_.size(); }

 private:
  chord_part_fields part(std::string_view noted) {
    const std::vector<std::string> result = result_of(noted);
    const std::string id = array_parts(result[0]).at(0);
    if (!result[1].starts_with('[')) {
      auto found = by_id_.extract(id);
      if (found.empty()) throw decode_error("no part has the id " + id);
      return std::move(found.mapped());
    }
    std::vector<std::string> results;
    std::string failed;
    for (const std::string& one : members(result[1])) {
      chord_part_fields fields = fields_of(one);
      if (fields.state != R"("SUCCESS")" && failed.empty()) failed = one;
      results.push_back(std::move(fields.result));
    }
    if (!failed.empty()) return fields_of(std::move(failed));
    return fields_of(join_array({"1", id, R"("SUCCESS")", join_array(results)}));
  }

  std::unordered_map<std::string, chord_part_fields> by_id_;
};

}  // namespace

std::optional<chord_parts> in_shape(std::string_view noted, chord_parts parts) {
  try {
    header_reader header(parts);
    for (const auto& [name, value] : object_parts(noted)) {
      if (name != "result") continue;
      const std::string list = result_of(value)[1];
      if (header.left() < tasks_in(list)) return std::nullopt;
      chord_parts shaped = header.members(list);
      if (header.left() == 0) return shaped;
    }
  } catch (const std::exception&) {  // not what Celery keeps, or of other tasks
  }
  return parts;
}

}  // namespace tutti::cluster::detail
