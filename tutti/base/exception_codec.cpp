// exception_codec: the table of types that cross as themselves, and the message around them.
#include <cxxabi.h>
#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>

#include <any>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <regex>
#include <system_error>
#include <tuple>
#include <typeindex>
#include <variant>

namespace tutti {
namespace {

using detail::as_exception;
using detail::exception_entry;
using detail::make_nesting;

constexpr int nesting_limit = 16;  // exceptions within exceptions; the rest is dropped

// What travels. `what`, `stack` and `retry` serve the side that does not know `type`.
struct message {
  std::string type;
  std::string what;
  std::string stack;
  bool retry = false;
  std::optional<std::string> data;  // none: it is to become a remote_error
  std::string inner;                // a message again; empty: nests nothing
};

// A standard exception whose constructor would make its own text.
template <class Base>
class with_text final : public Base {
 public:
  with_text(const Base& base, std::string text) : Base(base), text_(std::move(text)) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

struct table {
  std::mutex mutex;
  std::map<std::type_index, std::string> names;
  std::map<std::string, exception_entry, std::less<>> entries;

  table();
  void add(const std::type_info& type, exception_entry entry) {
    names.insert_or_assign(type, entry.name);
    entries.insert_or_assign(entry.name, std::move(entry));
  }
  // Types with fixed texts: nothing but the type travels.
  template <class E>
  void add_plain(const char* name) {
    add(typeid(E), {name, [](const std::exception_ptr&) { return std::string(); },
                    [](std::string_view, const std::exception_ptr& inner) { return make_nesting(E(), inner); }});
  }
  template <class E>
  void add_text(const char* name) {
    add(typeid(E), {name,
                    [](const std::exception_ptr& failure) {
                      return as_exception<E>(failure, [](const E& e) { return encode(std::string(e.what())); });
                    },
                    [](std::string_view data, const std::exception_ptr& inner) {
                      return make_nesting(E(decode<std::string>(data)), inner);
                    }});
  }
};

const std::error_category* find_category(std::string_view name) noexcept {
  for (const std::error_category* known :
       {&std::generic_category(), &std::system_category(), &std::iostream_category(), &std::future_category()}) {
    if (name == known->name()) return known;
  }
  return nullptr;
}

std::error_code make_code(const std::string& category, int value, std::string_view whole) {
  const std::error_category* known = find_category(category);
  if (known == nullptr) throw decode_error("unknown category of errors in an exception: " + category, whole.size());
  return {value, *known};
}

// The text given to a std::system_error, which appended ": " and the message of the code.
std::string given_text(std::string_view what, const std::error_code& code) {
  const std::string message = code.message();
  if (what.size() >= message.size() + 2 && what.ends_with(message)) what.remove_suffix(message.size() + 2);
  return std::string(what);
}

// A category that the other side cannot have makes the whole exception a remote_error.
void require_known(const std::error_code& code) {
  if (find_category(code.category().name()) == nullptr) throw encode_error("unknown category");
}

template <class E>
std::string encode_system(const std::exception_ptr& failure) {
  return as_exception<E>(failure, [](const E& e) {
    require_known(e.code());
    const std::string what = e.std::system_error::what();
    const bool bare = what == e.code().message();
    return encode(std::tuple(std::string(e.code().category().name()), e.code().value(), bare,
                             bare ? std::string() : given_text(what, e.code())));
  });
}

template <class E>
std::exception_ptr decode_system(std::string_view data, const std::exception_ptr& inner) {
  const auto [category, value, bare, text] = decode<std::tuple<std::string, int, bool, std::string>>(data);
  const std::error_code code = make_code(category, value, data);
  if constexpr (std::is_same_v<E, std::system_error>) {
    return make_nesting(bare ? E(code) : E(code, text), inner);
  } else {
    return make_nesting(E(text, code), inner);
  }
}

std::string encode_filesystem(const std::exception_ptr& failure) {
  using E = std::filesystem::filesystem_error;
  return as_exception<E>(failure, [](const E& e) {
    require_known(e.code());
    return encode(std::tuple(std::string(e.code().category().name()), e.code().value(),
                             given_text(e.std::system_error::what(), e.code()), e.path1(), e.path2()));
  });
}

std::exception_ptr decode_filesystem(std::string_view data, const std::exception_ptr& inner) {
  using std::filesystem::path;
  const auto [category, value, text, path1, path2] =
      decode<std::tuple<std::string, int, std::string, path, path>>(data);
  const std::error_code code = make_code(category, value, data);
  if (path1.empty()) return make_nesting(std::filesystem::filesystem_error(text, code), inner);
  if (path2.empty()) return make_nesting(std::filesystem::filesystem_error(text, path1, code), inner);
  return make_nesting(std::filesystem::filesystem_error(text, path1, path2, code), inner);
}

std::string encode_regex(const std::exception_ptr& failure) {
  return as_exception<std::regex_error>(failure, [](const std::regex_error& e) {
    return encode(std::tuple(static_cast<int>(e.code()), std::string(e.what())));
  });
}

std::exception_ptr decode_regex(std::string_view data, const std::exception_ptr&) {
  const auto [code, text] = decode<std::tuple<int, std::string>>(data);
  if (code < 0 || code > 15) throw decode_error("not a code of std::regex_error: " + std::to_string(code));
  const std::regex_error plain(static_cast<std::regex_constants::error_type>(code));
  return std::make_exception_ptr(with_text<std::regex_error>(plain, text));
}

std::string encode_bad_variant(const std::exception_ptr& failure) {
  return as_exception<std::bad_variant_access>(failure, [](const auto& e) { return encode(std::string(e.what())); });
}

std::exception_ptr decode_bad_variant(std::string_view data, const std::exception_ptr&) {
  return std::make_exception_ptr(with_text<std::bad_variant_access>({}, decode<std::string>(data)));
}

std::string encode_future(const std::exception_ptr& failure) {
  return as_exception<std::future_error>(failure, [](const auto& e) { return encode(e.code().value()); });
}

std::exception_ptr decode_future(std::string_view data, const std::exception_ptr& inner) {
  return make_nesting(std::future_error(static_cast<std::future_errc>(decode<int>(data))), inner);
}

std::string encode_worker_lost(const std::exception_ptr& failure) {
  return as_exception<worker_lost>(failure, [](const worker_lost& e) {
    return encode(std::tuple(std::string(e.what()), e.exit_code(), e.signal()));
  });
}

std::exception_ptr decode_worker_lost(std::string_view data, const std::exception_ptr& inner) {
  const auto [text, exit_code, signal] = decode<std::tuple<std::string, std::optional<int>, std::optional<int>>>(data);
  return make_nesting(worker_lost(text, exit_code, signal), inner);
}

std::string encode_os_error(const std::exception_ptr& failure) {
  return as_exception<os_error>(failure,
                                [](const os_error& e) { return encode(std::pair(std::string(e.what()), e.code())); });
}

std::exception_ptr decode_os_error(std::string_view data, const std::exception_ptr& inner) {
  const auto [text, code] = decode<std::pair<std::string, int>>(data);
  return make_nesting(os_error(text, code), inner);
}

std::string encode_remote(const std::exception_ptr& failure) {
  return as_exception<remote_error>(failure, [](const remote_error& e) {
    return encode(std::tuple(e.type(), std::string(e.what()), e.stack(), e.retry()));
  });
}

std::exception_ptr decode_remote(std::string_view data, const std::exception_ptr& inner) {
  const auto [type, text, stack, retry] = decode<std::tuple<std::string, std::string, std::string, bool>>(data);
  return make_nesting(remote_error(type, text, stack, retry), inner);
}

std::string encode_decode_error(const std::exception_ptr& failure) {
  return as_exception<decode_error>(failure, [](const decode_error& e) {
    return encode(std::tuple(std::string(e.what()), static_cast<std::uint64_t>(e.offset())));
  });
}

std::exception_ptr decode_decode_error(std::string_view data, const std::exception_ptr& inner) {
  const auto [text, offset] = decode<std::tuple<std::string, std::uint64_t>>(data);
  return make_nesting(decode_error(text, static_cast<std::size_t>(offset)), inner);
}

table::table() {
  add_plain<std::exception>("std::exception");
  add_plain<std::bad_exception>("std::bad_exception");
  add_plain<std::bad_alloc>("std::bad_alloc");
  add_plain<std::bad_array_new_length>("std::bad_array_new_length");
  add_plain<std::bad_cast>("std::bad_cast");
  add_plain<std::bad_any_cast>("std::bad_any_cast");
  add_plain<std::bad_typeid>("std::bad_typeid");
  add_plain<std::bad_function_call>("std::bad_function_call");
  add_plain<std::bad_weak_ptr>("std::bad_weak_ptr");
  add_plain<std::bad_optional_access>("std::bad_optional_access");
  add_text<std::logic_error>("std::logic_error");
  add_text<std::domain_error>("std::domain_error");
  add_text<std::invalid_argument>("std::invalid_argument");
  add_text<std::length_error>("std::length_error");
  add_text<std::out_of_range>("std::out_of_range");
  add_text<std::runtime_error>("std::runtime_error");
  add_text<std::range_error>("std::range_error");
  add_text<std::overflow_error>("std::overflow_error");
  add_text<std::underflow_error>("std::underflow_error");
  add(typeid(std::system_error),
      {"std::system_error", encode_system<std::system_error>, decode_system<std::system_error>});
  add(typeid(std::ios_base::failure),
      {"std::ios_base::failure", encode_system<std::ios_base::failure>, decode_system<std::ios_base::failure>});
  add(typeid(std::filesystem::filesystem_error),
      {"std::filesystem::filesystem_error", encode_filesystem, decode_filesystem});
  add(typeid(std::regex_error), {"std::regex_error", encode_regex, decode_regex});
  add(typeid(with_text<std::regex_error>), {"std::regex_error", encode_regex, decode_regex});
  add(typeid(std::bad_variant_access), {"std::bad_variant_access", encode_bad_variant, decode_bad_variant});
  add(typeid(with_text<std::bad_variant_access>), {"std::bad_variant_access", encode_bad_variant, decode_bad_variant});
  add(typeid(std::future_error), {"std::future_error", encode_future, decode_future});
  add_text<error>("tutti::error");
  add_text<cancelled>("tutti::cancelled");
  add_text<timed_out>("tutti::timed_out");
  add_text<closed>("tutti::closed");
  add_text<poisoned>("tutti::poisoned");
  add_text<deadlock>("tutti::deadlock");
  add_text<would_block>("tutti::would_block");
  add_text<not_owner>("tutti::not_owner");
  add_text<broken_promise>("tutti::broken_promise");
  add_text<broken_barrier>("tutti::broken_barrier");
  add_text<not_registered>("tutti::not_registered");
  add_text<ambiguous_function>("tutti::ambiguous_function");
  add_text<pool_exhausted>("tutti::pool_exhausted");
  add_text<owner_lost>("tutti::owner_lost");
  add_text<broker_error>("tutti::broker_error");
  add_text<bad_spec>("tutti::bad_spec");
  add_text<encode_error>("tutti::encode_error");
  add_text<retryable>("tutti::retryable");
  add(typeid(worker_lost), {"tutti::worker_lost", encode_worker_lost, decode_worker_lost});
  add(typeid(os_error), {"tutti::os_error", encode_os_error, decode_os_error});
  add(typeid(remote_error), {"tutti::remote_error", encode_remote, decode_remote});
  add(typeid(decode_error), {"tutti::decode_error", encode_decode_error, decode_decode_error});
}

table& known_types() { return process_wide<table>(); }

// What the current exception says, whatever it is.
std::string current_text() {
  try {
    throw;
  } catch (const std::exception& e) {
    const char* const text = e.what();  // null: a type of the program's may do that
    return text != nullptr ? text : "";
  } catch (const std::string& text) {
    return text;
  } catch (const char* text) {
    return text != nullptr ? text : "null";
  } catch (int value) {
    return std::to_string(value);
  } catch (long value) {
    return std::to_string(value);
  } catch (unsigned value) {
    return std::to_string(value);
  } catch (const std::error_code& code) {
    return code.message();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

std::exception_ptr current_inner() {
  try {
    throw;
  } catch (const std::nested_exception& e) {
    return e.nested_ptr();
  } catch (...) {
    return nullptr;
  }
}

// The registered type of the exception; the one inside when the standard library wrapped it in std::throw_with_nested.
std::optional<exception_entry> find_entry(const std::type_info& type, const std::string& readable) {
  table& known = known_types();
  const std::lock_guard guard(known.mutex);
  if (const auto name = known.names.find(type); name != known.names.end()) return known.entries.at(name->second);
  constexpr std::string_view wrapper = "std::_Nested_exception<";
  if (!readable.starts_with(wrapper)) return std::nullopt;
  std::string_view inside = std::string_view(readable).substr(wrapper.size());
  inside = inside.substr(0, inside.rfind('>'));
  while (inside.ends_with(' ')) inside.remove_suffix(1);
  const auto entry = known.entries.find(inside);
  return entry != known.entries.end() ? std::optional(entry->second) : std::nullopt;
}

message describe(const std::exception_ptr& failure, std::string (*stack)(), int depth) {
  message out;
  out.retry = is_retryable(failure);
  std::exception_ptr inner;
  const std::type_info* type = nullptr;
  try {
    std::rethrow_exception(failure);
  } catch (...) {
    type = abi::__cxa_current_exception_type();
    out.what = current_text();
    inner = current_inner();
  }
  out.type = type != nullptr ? demangle(type->name()) : "foreign exception";
  if (type != nullptr) {
    if (const auto entry = find_entry(*type, out.type)) {
      try {
        out.data = entry->encode(failure);
        out.type = entry->name;
      } catch (...) {  // cannot be encoded after all: a remote_error tells as much as we know
        out.data.reset();
      }
    }
  }
  if (!out.data && stack != nullptr) out.stack = stack();
  if (inner && depth < nesting_limit) out.inner = encode(describe(inner, nullptr, depth + 1));
  return out;
}

std::exception_ptr restore(std::string_view bytes, int depth) {
  const auto in = decode<message>(bytes);
  std::exception_ptr inner;
  if (!in.inner.empty() && depth < nesting_limit) inner = restore(in.inner, depth + 1);
  if (in.data) {
    std::optional<exception_entry> entry;
    {
      table& known = known_types();
      const std::lock_guard guard(known.mutex);
      const auto found = known.entries.find(in.type);
      if (found != known.entries.end()) entry = found->second;
    }
    try {
      if (entry) return entry->decode(*in.data, inner);
    } catch (...) {  // it cannot be made here: all that we know of it is worth more than what its type threw now
    }
  }
  return make_nesting(remote_error(in.type, in.what, in.stack, in.retry), inner);
}

}  // namespace

void detail::register_exception_type(const std::type_info& type, exception_entry entry) {
  table& known = known_types();
  const std::lock_guard guard(known.mutex);
  known.add(type, std::move(entry));
}

std::string encode_exception(const std::exception_ptr& failure, std::string (*stack)()) {
  if (!failure) throw std::invalid_argument("encode_exception: there is no exception");
  return encode(describe(failure, stack, 0));
}

std::exception_ptr decode_exception(std::string_view bytes) { return restore(bytes, 0); }

}  // namespace tutti
