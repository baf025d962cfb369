#include <dlfcn.h>
#include <link.h>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/task_shape.hpp>
#include <tutti/core/call.hpp>

#include <algorithm>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <system_error>

namespace tutti::cluster::detail {
namespace {

std::string dotted(std::string_view identity) {
  std::string name;
  for (std::size_t i = 0; i < identity.size(); ++i) {
    if (identity.substr(i, 2) == "::") {
      name += '.';
      ++i;
    } else {
      name += identity[i];
    }
  }
  return name;
}

[[noreturn]] void refuse_options(const std::string& task, const std::string& why) {
  throw std::invalid_argument("task \"" + task + "\": " + why);
}

template <class Duration>
void require_positive(const std::string& task, const char* what, const std::optional<Duration>& value) {
  if (value && *value <= Duration::zero()) {
    refuse_options(task, std::string(what) + " is not positive; leave it out for none");
  }
}

std::string counted(std::size_t n) { return std::to_string(n) + (n == 1 ? " argument" : " arguments"); }

}  // namespace

std::string task_shape::text() const {
  std::string all = name + '(';
  const std::size_t first_default = types.size() - defaults.size();
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (i > 0) all += ", ";
    if (!params.empty()) all += params[i] + ": ";
    all += types[i];
    if (i >= first_default) all += " = " + defaults[i - first_default];
  }
  return all += ')';
}

task_shape make_shape(std::string_view identity, const task_settings& options, std::vector<std::string> types) {
  task_shape shape{options.name.empty() ? dotted(identity) : options.name, std::move(types), options.params,
                   options.defaults};
  if (!shape.params.empty() && shape.params.size() != shape.types.size()) {
    refuse_options(shape.name, ".params has " + std::to_string(shape.params.size()) +
                                   " names, and the function takes " + counted(shape.types.size()));
  }
  if (const std::set<std::string> different(shape.params.begin(), shape.params.end());
      different.size() != shape.params.size()) {
    refuse_options(shape.name, ".params has a name twice");
  }
  if (shape.defaults.size() > shape.types.size()) {
    refuse_options(shape.name, ".defaults has " + std::to_string(shape.defaults.size()) +
                                   " values, and the function takes " + counted(shape.types.size()));
  }
  return shape;
}

task_settings checked_settings(const task_shape& shape, task_settings given) {
  const std::string& task = shape.name;
  if (given.max_retries && *given.max_retries < 0) {
    refuse_options(task, "max_retries is negative; std::nullopt is for ever");
  }
  if (given.retry_delay < std::chrono::nanoseconds::zero() ||
      given.retry_delay_max < std::chrono::nanoseconds::zero()) {
    refuse_options(task, "retry_delay and retry_delay_max may not be negative");
  }
  require_positive(task, "time_limit", given.time_limit);
  require_positive(task, "soft_time_limit", given.soft_time_limit);
  if (given.priority && (*given.priority < 0 || *given.priority > 9)) {
    refuse_options(task, "priority " + std::to_string(*given.priority) + " is not within 0 to 9 (bigger is sooner)");
  }
  if (given.result_expires && *given.result_expires < std::chrono::seconds::zero()) {
    refuse_options(task, "result_expires is negative; 0 is never");
  }
  given.name = task;
  return given;
}

const char* library_of(const void* address) {
  Dl_info found{};
  link_map* map = nullptr;
  if (dladdr1(address, &found, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) != 0 && map != nullptr &&
      map->l_name != nullptr && *map->l_name != '\0') {
    std::error_code unknown;  // then as it is
    const auto whole = std::filesystem::absolute(map->l_name, unknown);
    return intern(unknown ? map->l_name : whole.c_str());
  }
  return "";
}

std::string shorter_type(std::string name) {
  constexpr std::string_view whole = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";
  for (std::size_t at = 0; (at = name.find(whole, at)) != name.npos;) name.replace(at, whole.size(), "std::string");
  return name;
}

bound_arguments::bound_arguments(const task_shape& shape, std::string_view args, std::string_view kwargs)
    : shape_(shape), nodes_(shape.types.size()) {
  bind(args, kwargs);
}

bound_arguments::bound_arguments(const task_shape& shape, const call_arguments& given)
    : shape_(shape), nodes_(shape.types.size()) {
  bind(join_array(given.args), join_object(given.kwargs));
}

bound_arguments::bound_arguments(const task_shape& shape) : shape_(shape), nodes_(shape.types.size()) {
  add_defaults();
}

const json_node& bound_arguments::parse(std::string_view text) {
  return roots_.emplace_back(documents_.emplace_back(text).root());
}

void bound_arguments::bind(std::string_view args, std::string_view kwargs) {
  const json_node& positional = parse(args);
  if (!positional.is_array()) refuse("its arguments are no array");
  const std::size_t given = positional.size();
  if (given > nodes_.size()) refuse("takes " + counted(nodes_.size()) + ", and got " + std::to_string(given));
  for (std::size_t i = 0; i < given; ++i) nodes_[i].emplace(positional.at(i));
  if (kwargs != "{}") bind_by_name(kwargs);
  add_defaults();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i]) refuse(place(i) + " is missing");
  }
}

void bound_arguments::bind_by_name(std::string_view kwargs) {
  const json_node& named = parse(kwargs);
  if (!named.is_object()) refuse("its arguments by name are no object");
  for (std::size_t k = 0; k < named.size(); ++k) {
    const auto found = std::ranges::find(shape_.params, named.key(k));
    if (found == shape_.params.end()) {
      const std::string name(named.key(k).substr(0, 80));
      refuse(shape_.params.empty()
                 ? "argument \"" + name + "\" is given by name, and its parameters have none: see .params"
                 : "there is no parameter \"" + name + '"');
    }
    const auto i = static_cast<std::size_t>(found - shape_.params.begin());
    if (nodes_[i]) refuse(place(i) + " is given twice, by position and by name");
    nodes_[i].emplace(named.at(k));
  }
}

void bound_arguments::add_defaults() {
  const std::size_t first = nodes_.size() - shape_.defaults.size();
  for (std::size_t i = first; i < nodes_.size(); ++i) {
    if (!nodes_[i]) nodes_[i].emplace(parse(shape_.defaults[i - first]));
  }
}

std::string bound_arguments::place(std::size_t i) const {
  std::string text = "argument " + std::to_string(i + 1);
  if (!shape_.params.empty()) text += " \"" + shape_.params[i] + '"';
  return text;
}

void bound_arguments::refuse(const std::string& why) const { throw argument_error(shape_.text() + ": " + why); }

void bound_arguments::fail(std::size_t i, std::string_view why) const {
  // "cannot read JSON at $[1].x[2]: wanted ...": the first step of the way is the argument itself.
  constexpr std::string_view prefix = "cannot read JSON at $";
  std::string inner;
  if (why.starts_with(prefix)) {
    const std::string_view rest = why.substr(prefix.size());
    const std::size_t colon = rest.find(": ");
    if (colon != rest.npos) {
      const std::size_t next = rest.substr(0, colon).find_first_of(".[", 1);
      if (next < colon) inner = " at " + std::string(rest.substr(next, colon - next));
      why = rest.substr(colon + 2);
    }
  }
  refuse(place(i) + inner + ": " + std::string(why));
}

}  // namespace tutti::cluster::detail
