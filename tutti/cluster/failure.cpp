// failure: the table of exceptions and Python's classes, there and back.
#include <cxxabi.h>
#include <tutti/base/exception_codec.hpp>
#include <tutti/cluster/failure.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/this_call.hpp>

#include <charconv>
#include <new>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <typeinfo>
#include <vector>

namespace tutti::cluster {
namespace {

// Before the first exception is encoded or decoded here.
void know_ours() {
  [[maybe_unused]] static const bool known =
      register_exception<argument_error>() && register_exception<max_retries_exceeded>();
}

struct python_class {
  std::string_view name, module = "builtins";
};

constexpr std::string_view celery = "celery.exceptions";
constexpr std::string_view billiard = "billiard.exceptions";  // from where celery.exceptions has them

// The class that is nearest to the exception being handled, which is the standard's or ours; no name: none is.
python_class nearest_class() {
  try {
    throw;
  } catch (const std::invalid_argument&) {
    return {"ValueError"};
  } catch (const std::domain_error&) {
    return {"ValueError"};
  } catch (const std::length_error&) {
    return {"ValueError"};
  } catch (const std::out_of_range&) {
    return {"IndexError"};
  } catch (const std::overflow_error&) {
    return {"OverflowError"};
  } catch (const std::underflow_error&) {
    return {"ArithmeticError"};
  } catch (const std::range_error&) {
    return {"ArithmeticError"};
  } catch (const std::bad_alloc&) {
    return {"MemoryError"};
  } catch (const std::system_error&) {
    return {"OSError"};
  } catch (const os_error&) {
    return {"OSError"};
  } catch (const argument_error&) {
    return {"TypeError"};
  } catch (const timed_out&) {
    return {"TimeoutError"};
  } catch (const worker_lost&) {
    return {"WorkerLostError", billiard};
  } catch (const cancelled&) {
    return {"TaskRevokedError", celery};
  } catch (const not_registered&) {
    return {"NotRegistered", celery};
  } catch (const max_retries_exceeded&) {
    return {"MaxRetriesExceededError", celery};
  } catch (const error&) {  // the rest of ours keep their names
    return {""};
  } catch (const std::runtime_error&) {
    return {"RuntimeError"};
  } catch (const std::logic_error&) {
    return {"RuntimeError"};
  } catch (...) {
    return {""};
  }
}

// The name without what std::throw_with_nested puts around it.
std::string_view unwrapped(std::string_view type) {
  constexpr std::string_view wrapper = "std::_Nested_exception<";
  if (!type.starts_with(wrapper)) return type;
  type.remove_prefix(wrapper.size());
  type = type.substr(0, type.rfind('>'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return type;
}

// "my::(anonymous namespace)::failure<a::b>" is the class "failure<a::b>" of the module "my".
void name_by_type(task_failure& out, std::string_view type) {
  out.module.clear();
  std::size_t begin = 0;
  int inside = 0;  // of how many brackets
  const auto end_of_name = [&](std::size_t at) {
    const std::string_view name = type.substr(begin, at - begin);
    if (name.empty() || name.starts_with('(') || name.starts_with('{')) return;
    if (!out.module.empty()) out.module += '.';
    out.module += name;
  };
  for (std::size_t i = 0; i < type.size(); ++i) {
    const char c = type[i];
    if (c == '<' || c == '(' || c == '{') ++inside;
    if (c == '>' || c == ')' || c == '}') --inside;
    if (inside == 0 && type.substr(i, 2) == "::") {
      end_of_name(i);
      begin = i + 2;
      ++i;
    }
  }
  out.type = type.substr(begin);
  if (out.type.empty()) out.type = "Exception";
  if (out.module.empty()) out.module = "tutti";
}

std::string array_of_text(std::string_view text) { return '[' + json_string(text) + ']'; }

// The errno, for what Python makes an OSError from.
std::optional<int> errno_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::system_error& e) {
    const auto condition = e.code().default_error_condition();
    if (condition.category() == std::generic_category()) return condition.value();
  } catch (const os_error& e) {
    return e.code();
  } catch (...) {  // no such thing
  }
  return std::nullopt;
}

// What is known of an exception without its type: `native` is encode_exception() of it.
remote_error plain_form(const std::exception_ptr& thrown, const std::string& native, std::string (*stack)()) {
  std::string type = "foreign_exception";
  try {
    std::rethrow_exception(thrown);
  } catch (...) {
    if (const std::type_info* found = abi::__cxa_current_exception_type()) type = demangle(found->name());
  }
  const auto known = [&](const char* what) { return remote_error(type, what, stack != nullptr ? stack() : ""); };
  try {
    std::rethrow_exception(decode_exception(native));
  } catch (const remote_error& e) {  // it was one, or of a type that nobody has registered
    return e;
  } catch (const std::exception& e) {
    return known(e.what());
  } catch (...) {
    return known("");
  }
}

void describe_class(task_failure& out, const std::exception_ptr& thrown, std::string_view type) {
  python_class nearest{""};
  if (type.starts_with("std::") || type.starts_with("tutti::")) {
    try {
      std::rethrow_exception(thrown);
    } catch (...) {
      nearest = nearest_class();
    }
  }
  if (!nearest.name.empty()) {
    out.type = nearest.name;
    out.module = nearest.module;
  } else if (type.find("::") == std::string_view::npos && type.find('.') != std::string_view::npos) {
    out.module = type.substr(0, type.rfind('.'));  // a class of Python's, of a remote_error
    out.type = type.substr(type.rfind('.') + 1);
  } else {
    name_by_type(out, type);
    if (out.module == "tutti" && (type.ends_with("Error") || type.ends_with("Exception"))) out.module = "builtins";
  }
}

// The text of a Python exception with these arguments.
std::string text_of(const std::vector<std::string>& args, const std::string& whole) {
  if (args.empty()) return {};
  if (args.size() == 1) return string_in(args[0]).value_or(python_repr(args[0]));
  const std::string list = python_repr(whole);
  return '(' + list.substr(1, list.size() - 2) + ')';
}

// An OSError is made from an errno, a text, and perhaps a file's name.
std::optional<std::system_error> system_error_of(const std::vector<std::string>& args) {
  if (args.size() < 2) return std::nullopt;
  int number = 0;
  const auto [end, failed] = std::from_chars(args[0].data(), args[0].data() + args[0].size(), number);
  if (failed != std::errc() || end != args[0].data() + args[0].size()) return std::nullopt;
  const std::error_code code(number, std::generic_category());
  const std::string text = string_in(args[1]).value_or("");
  const std::string file = args.size() > 2 ? string_in(args[2]).value_or("") : "";
  if (!file.empty()) return std::system_error(code, file);
  if (text.empty() || text == code.message()) return std::system_error(code);
  return std::system_error(code, text);
}

bool is_os_error(std::string_view type) noexcept {
  for (const std::string_view known :
       {"OSError", "FileNotFoundError", "FileExistsError", "PermissionError", "IsADirectoryError", "NotADirectoryError",
        "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "ConnectionAbortedError",
        "BrokenPipeError", "BlockingIOError", "InterruptedError", "ChildProcessError", "ProcessLookupError"}) {
    if (type == known) return true;
  }
  return false;
}

// The exception for a class of Python's, with what Python said of it nested inside; null when there is none.
std::exception_ptr standard_exception(std::string_view type, const std::string& text,
                                      const std::vector<std::string>& args, const std::exception_ptr& inner) {
  using tutti::detail::make_nesting;
  if (type == "ValueError") return make_nesting(std::invalid_argument(text), inner);
  if (type == "IndexError" || type == "KeyError") return make_nesting(std::out_of_range(text), inner);
  if (type == "OverflowError") return make_nesting(std::overflow_error(text), inner);
  if (type == "ArithmeticError") return make_nesting(std::range_error(text), inner);
  if (type == "MemoryError") return make_nesting(std::bad_alloc(), inner);
  if (type == "RuntimeError") return make_nesting(std::runtime_error(text), inner);
  if (type == "TimeoutError") return make_nesting(timed_out(text), inner);
  if (is_os_error(type)) {
    if (const auto failed = system_error_of(args)) return make_nesting(*failed, inner);
  }
  return nullptr;
}

std::exception_ptr celerys_exception(std::string_view type, const std::string& text, const std::exception_ptr& inner) {
  using tutti::detail::make_nesting;
  if (type == "TimeLimitExceeded" || type == "SoftTimeLimitExceeded" || type == "TimeoutError") {
    return make_nesting(timed_out(text), inner);
  }
  if (type == "TaskRevokedError" || type == "Terminated") return make_nesting(cancelled(text), inner);
  if (type == "WorkerLostError") return make_nesting(worker_lost(text), inner);
  if (type == "NotRegistered") return make_nesting(not_registered(text), inner);
  if (type == "MaxRetriesExceededError") return make_nesting(max_retries_exceeded(text), inner);
  return nullptr;
}

}  // namespace

task_failure describe_failure(const std::exception_ptr& thrown, std::string (*stack)()) {
  know_ours();
  task_failure out;
  out.native = encode_exception(thrown, stack);
  const remote_error plain = plain_form(thrown, out.native, stack);
  const std::string type(unwrapped(plain.type()));
  describe_class(out, thrown, type);
  out.args = array_of_text(plain.what());
  if (out.type == "OSError") {
    if (const auto code = errno_of(thrown)) out.args = '[' + std::to_string(*code) + ',' + out.args.substr(1);
  }
  out.traceback = type + ": " + plain.what();
  if (!plain.stack().empty()) out.traceback += '\n' + plain.stack();
  return out;
}

task_failure celery_failure(std::string_view type, std::string_view text) {
  const bool is_billiards = type == "TimeLimitExceeded" || type == "SoftTimeLimitExceeded" ||
                            type == "WorkerLostError" || type == "Terminated";
  task_failure out;
  out.type = type;
  out.module = is_billiards ? billiard : celery;
  out.args = array_of_text(text);
  return out;
}

std::exception_ptr restore_failure(const task_failure& failure) {
  know_ours();
  if (!failure.native.empty()) {
    try {
      return decode_exception(failure.native);
    } catch (const decode_error&) {  // what people can read is left
    }
  }
  std::vector<std::string> args;
  try {
    args = array_parts(failure.args);
  } catch (const decode_error&) {
    args = {json_string(failure.args)};
  }
  const std::string text = text_of(args, failure.args);
  const bool is_builtin = failure.module.empty() || failure.module == "builtins";
  const auto plain = std::make_exception_ptr(
      remote_error(is_builtin ? failure.type : failure.module + '.' + failure.type, text, failure.traceback));
  const std::exception_ptr inner = failure.traceback.empty() ? nullptr : plain;
  std::exception_ptr found;
  if (is_builtin) found = standard_exception(failure.type, text, args, inner);
  if (failure.module == celery || failure.module == billiard) found = celerys_exception(failure.type, text, inner);
  return found ? found : plain;
}

}  // namespace tutti::cluster
