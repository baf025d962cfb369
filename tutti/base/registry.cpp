// registry: all registrations by name, each with the library it came from.
#include <dlfcn.h>
#include <link.h>
#include <tutti/base/at_fork.hpp>
#include <tutti/base/demangle.hpp>
#include <tutti/base/registry.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <numeric>
#include <set>

namespace tutti {
namespace {

struct entry {
  const function_info* info;
  bool in_program;  // not in a library: preferred
};

struct table {
  std::mutex mutex;
  std::map<std::string, std::vector<entry>, std::less<>> by_name;  // in order of registration
  std::set<std::string, std::less<>> libraries;                    // paths, kept for ever: function_info points to them
};

table& registry() { return process_wide<table>(); }

std::pair<std::string, bool> library_of(const void* address) {
  Dl_info found{};
  link_map* map = nullptr;
  if (dladdr1(address, &found, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) != 0 && map != nullptr &&
      map->l_name != nullptr && map->l_name[0] != '\0') {
    return {map->l_name, false};
  }
  std::error_code ignored;
  auto program = std::filesystem::read_symlink("/proc/self/exe", ignored).native();
  return {program.empty() ? "this program" : std::move(program), true};
}

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string hex(std::uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::string describe(const function_info& info) {
  char address[20];
  std::snprintf(address, sizeof address, "%p", info.address);
  std::string text = std::string(info.library) + " (at " + address;
  Dl_info found{};
  if (dladdr(info.address, &found) != 0 && found.dli_sname != nullptr && found.dli_saddr == info.address) {
    text += ", " + demangle(found.dli_sname);
  }
  return text + ", parameters " + hex(info.signature) + ')';
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::string_view last_part(std::string_view name) {
  const std::size_t cut = name.find_last_of(":.");
  return cut == name.npos ? name : name.substr(cut + 1);
}

[[noreturn]] void throw_not_registered(const table& all, std::string_view name) {
  constexpr std::size_t longest_compared = 256;  // the distance costs the product of the lengths
  std::vector<std::pair<std::size_t, std::string_view>> near;
  for (const auto& [known, entries] : all.by_name) {
    if (entries.empty() || name.size() > longest_compared || known.size() > longest_compared) continue;
    const std::size_t distance = last_part(known) == last_part(name) ? 0 : edit_distance(known, name);
    if (distance <= std::max<std::size_t>(2, name.size() / 4)) near.emplace_back(distance, known);
  }
  std::sort(near.begin(), near.end());
  std::string text = "no function " + quoted(name.substr(0, longest_compared)) + " is registered";
  if (near.empty()) {
    text += "; a function is registered by the program that mentions it: fn<f>, submit<f>";
  } else {
    text += "; did you mean ";
    for (std::size_t i = 0; i < near.size() && i < 3; ++i) text += (i == 0 ? "" : ", ") + quoted(near[i].second);
    text += '?';
  }
  throw not_registered(text);
}

// A copy: texts about entries ask the loader, whose lock is held while libraries register their functions.
std::vector<entry> entries_of(std::string_view name) {
  table& all = registry();
  const std::lock_guard guard(all.mutex);
  const auto found = all.by_name.find(name);
  if (found == all.by_name.end()) throw_not_registered(all, name);
  return found->second;
}

// The entry to use among those that carry the name: see find_function in the header.
const function_info& choose(std::string_view name, const std::vector<entry>& entries) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    for (std::size_t j = i + 1; j < entries.size(); ++j) {
      const function_info& a = *entries[i].info;
      const function_info& b = *entries[j].info;
      const bool same_library = std::string_view(a.library) == b.library;
      if (a.signature == b.signature && (!same_library || a.address == b.address)) continue;
      throw ambiguous_function("function " + quoted(name) + " is registered twice: in " + describe(a) + " and in " +
                               describe(b) + "; give one of them a name of its own: named<\"my.name\", f>");
    }
  }
  const auto own = std::find_if(entries.begin(), entries.end(), [](const entry& e) { return e.in_program; });
  return own != entries.end() ? *own->info : *entries.front().info;
}

}  // namespace

namespace detail {

function_registration::function_registration(const function_identity& identity, void* address,
                                             void (*invoke)(std::string_view, std::string&)) {
  const auto [path, in_program] = library_of(this);  // this object is static in the library that registers
  table& all = registry();
  const std::lock_guard guard(all.mutex);
  info = {identity.name, identity.signature, all.libraries.insert(path).first->c_str(), address, invoke};
  all.by_name[std::string(info.name)].push_back({&info, in_program});
}

function_registration::~function_registration() {
  table& all = registry();
  const std::lock_guard guard(all.mutex);
  const auto found = all.by_name.find(info.name);
  if (found == all.by_name.end()) return;
  std::erase_if(found->second, [this](const entry& e) { return e.info == &info; });
  if (found->second.empty()) all.by_name.erase(found);
}

}  // namespace detail

const function_info& find_function(std::string_view name) { return choose(name, entries_of(name)); }

const function_info& find_function(std::string_view name, std::uint64_t signature) {
  const std::vector<entry> entries = entries_of(name);
  std::vector<entry> fitting;
  for (const entry& e : entries) {
    if (e.info->signature == signature) fitting.push_back(e);
  }
  if (fitting.empty()) {
    throw not_registered("function " + quoted(name) + " is registered with other parameters: asked for " +
                         hex(signature) + ", known is " + describe(*entries.front().info) +
                         "; build both sides from the same source");
  }
  return choose(name, fitting);
}

std::vector<const function_info*> registered_functions() {
  table& all = registry();
  const std::lock_guard guard(all.mutex);
  std::vector<const function_info*> functions;
  for (const auto& [name, entries] : all.by_name) {
    for (const entry& e : entries) functions.push_back(e.info);
  }
  return functions;
}

}  // namespace tutti
