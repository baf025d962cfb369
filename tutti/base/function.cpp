// function: names from type information.
#include <tutti/base/at_fork.hpp>
#include <tutti/base/demangle.hpp>
#include <tutti/base/function.hpp>

#include <mutex>
#include <set>

namespace tutti::detail {
namespace {

// "tutti::detail::function_tag<&(ns::f(int))>" -> "ns::f"; of a template's instance also "&(int ns::f<int>(int))".
std::string qualified_name(const std::type_info& tag) {
  std::string text = demangle(tag.name());
  const std::size_t start = text.find('<');
  const std::size_t stop = text.rfind('>');
  if (start == text.npos || stop == text.npos) return text;
  text = text.substr(start + 1, stop - start - 1);
  std::size_t begin = text.find_first_not_of("&( ");
  if (begin == text.npos) return text;
  // The name ends where its parameters begin; a blank before that ends the return type.
  int depth = 0;
  std::size_t end = begin;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    if (c == '<') ++depth;
    if (c == '>') --depth;
    if (depth == 0 && c == ' ') begin = end + 1;
    if (depth == 0 && (c == '(' || c == ')')) break;
  }
  // A function that returns std::string carries "[abi:cxx11]": no part of the name that anybody wrote.
  std::string name = text.substr(begin, end - begin);
  for (std::size_t at = 0; (at = name.find("[abi:")) != name.npos;) name.erase(at, name.find(']', at) + 1 - at);
  return name;
}

// Names live for ever: whoever holds an identity may outlast the library that it came from.
struct all_names {
  std::mutex mutex;
  std::set<std::string, std::less<>> names;
};
std::string_view keep_for_ever(std::string name) {
  auto& all = process_wide<all_names>();
  const std::lock_guard guard(all.mutex);
  return *all.names.insert(std::move(name)).first;
}

}  // namespace

// FNV-1a, 64 bits: short texts, no adversary, and the same everywhere.
std::uint64_t hash_text(std::string_view text) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  return hash;
}

function_identity make_identity(const std::type_info& function, const std::type_info& arguments) {
  return {keep_for_ever(qualified_name(function)), hash_text(arguments.name())};
}

}  // namespace tutti::detail
