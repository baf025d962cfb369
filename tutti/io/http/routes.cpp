#include <tutti/io/http/routes.hpp>

#include <tutti/io/http/url.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace tutti::io::http::detail {

struct route_table::entry {
  std::string method;
  std::vector<std::string> names;  // of the parts, in order
  handler what;
};

struct route_table::node {
  std::map<std::string, std::unique_ptr<node>, std::less<>> texts;
  std::unique_ptr<node> part;
  std::vector<entry> here, rest;  // for paths that end here, or go on as they like
};

namespace {

[[noreturn]] void refuse(std::string_view pattern, std::string_view why) {
  throw std::invalid_argument(fmt::format("HTTP route \"{}\": {}", pattern, why));
}

// Whether it may be put behind a folder's name, and names nothing outside of that.
bool stays_in_its_folder(std::string_view path) {
  if (path.starts_with('/') || path.starts_with('\\')) return false;  // goes on from the root
  if (path.find('\0') != std::string_view::npos) return false;        // the system stops reading there
  while (!path.empty()) {
    const std::size_t end = std::min(path.find_first_of("/\\"), path.size());
    if (path.substr(0, end) == "..") return false;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return true;
}

// The same for one name.
bool is_one_segment(std::string_view name) {
  return stays_in_its_folder(name) && name.find_first_of("/\\") == std::string_view::npos;
}

}  // namespace

route_table::route_table() : root_(std::make_unique<node>()) {}
route_table::~route_table() = default;

void route_table::add(std::string_view method, std::string_view pattern, handler what) {
  if (!method.empty() && !is_token(method)) refuse(pattern, fmt::format("{:?} is no method", method));
  if (!pattern.starts_with('/')) refuse(pattern, "a pattern begins with /");
  node* at = root_.get();
  std::vector<std::string> names;
  std::vector<entry>* end = nullptr;
  for (std::string_view left = pattern; !left.empty();) {
    if (end != nullptr) refuse(pattern, "nothing may follow what matches all the rest");
    left.remove_prefix(1);
    const std::size_t size = std::min(left.find('/'), left.size());
    std::string_view segment = left.substr(0, size);
    left.remove_prefix(size);
    if (segment.find_first_of("{}") == std::string_view::npos) {
      auto& next = at->texts[std::string(segment)];
      if (next == nullptr) next = std::make_unique<node>();
      at = next.get();
      continue;
    }
    if (segment.size() < 3 || segment.front() != '{' || segment.back() != '}')
      refuse(pattern, "a part is a whole segment: {name} or {name...}");
    segment = segment.substr(1, segment.size() - 2);
    const bool all_the_rest = segment.ends_with("...");
    if (all_the_rest) segment.remove_suffix(3);
    if (segment.empty() || segment.find_first_of("{}.") != std::string_view::npos)
      refuse(pattern, "a part has a name: {name} or {name...}");
    if (std::find(names.begin(), names.end(), segment) != names.end()) refuse(pattern, "two parts have the same name");
    names.emplace_back(segment);
    if (all_the_rest) {
      end = &at->rest;
    } else {
      if (at->part == nullptr) at->part = std::make_unique<node>();
      at = at->part.get();
    }
  }
  if (end == nullptr) end = &at->here;
  for (const entry& other : *end)
    if (other.method == method) refuse(pattern, "there is a handler for it already");
  end->push_back({std::string(method), std::move(names), std::move(what)});
}

// One request's way through the tree.
struct route_table::search {
  const std::string& method;
  found best;
  const entry* chosen = nullptr;
  bool by_rest = false;                 // the last of `parts` is all the rest
  std::vector<std::string_view> parts;  // of the path

  bool take(const std::vector<entry>& all) {
    if (all.empty()) return false;
    const entry* any = nullptr;
    const entry* get = nullptr;
    for (const entry& e : all) {
      if (e.method == method) return choose(e);
      if (e.method.empty()) any = &e;
      if (e.method == "GET") get = &e;
    }
    if (method == "HEAD" && get != nullptr) return choose(*get);
    if (any != nullptr) return choose(*any);
    best.path_known = true;
    for (const entry& e : all) {
      allow(e.method);
      if (e.method == "GET") allow("HEAD");
    }
    return false;
  }
  void allow(std::string_view one) {
    bool is_there = false;
    for_each_word(best.allow, [&](std::string_view word) { is_there = is_there || word == one; });
    if (is_there) return;
    if (!best.allow.empty()) best.allow += ", ";
    best.allow += one;
  }
  bool choose(const entry& e) {
    chosen = &e;
    return true;
  }

  // `path`: what is left, beginning with "/", or nothing.
  bool visit(const node& at, std::string_view path) {
    if (path.empty()) return take(at.here);
    const std::string_view left = path.substr(1);
    const std::size_t size = std::min(left.find('/'), left.size());
    const std::string_view segment = left.substr(0, size);
    const auto text =
        segment.find('%') == std::string_view::npos ? at.texts.find(segment) : at.texts.find(percent_decode(segment));
    if (text != at.texts.end() && visit(*text->second, left.substr(size))) return true;
    if (at.part != nullptr && !segment.empty()) {
      parts.push_back(segment);
      if (visit(*at.part, left.substr(size))) return true;
      parts.pop_back();
    }
    if (at.rest.empty()) return false;
    parts.push_back(left);
    by_rest = take(at.rest);
    if (!by_rest) parts.pop_back();
    return by_rest;
  }
};

route_table::found route_table::find(request& asked) const {
  search way{.method = asked.method(), .best = {}, .chosen = nullptr, .by_rest = false, .parts = {}};
  asked.params_.clear();
  if (!asked.path().starts_with('/') || !way.visit(*root_, asked.path())) return std::move(way.best);
  for (std::size_t i = 0; i < way.parts.size(); ++i) {
    const std::string& value = asked.params_.emplace_back(way.chosen->names[i], percent_decode(way.parts[i])).second;
    // Whoever has files there serves no others.
    const bool is_rest = way.by_rest && i + 1 == way.parts.size();
    if (!(is_rest ? stays_in_its_folder(value) : is_one_segment(value))) return {};
  }
  way.best.what = &way.chosen->what;
  return std::move(way.best);
}

}  // namespace tutti::io::http::detail
