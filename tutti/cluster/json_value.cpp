#include <tutti/cluster/json_value.hpp>

#include <tutti/cluster/inside/json_slices.hpp>

namespace tutti::cluster {

std::string json_text(const json& value) {
  try {
    return std::string(detail::checked_json(value.text, "the text of a json"));
  } catch (const decode_error& e) {
    throw encode_error(e.what());
  }
}

}  // namespace tutti::cluster
