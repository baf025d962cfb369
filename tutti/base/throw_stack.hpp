// throw_stack: where an exception was thrown, for who catches it elsewhere.
//
// The search for a handler walks up the stack before anything on it is destroyed, and asks each catch clause on its way
// whether it wants the exception (Itanium C++ ABI, Exception Handling, 1.3). One of ours always says no, but notes what
// the stack looks like: so nothing is paid until something is thrown.
#pragma once
#include <string>
#include <utility>

namespace tutti {

namespace detail {

// Never thrown and never made: its type_info, which is ours, takes the note.
struct throw_probe {
  virtual ~throw_probe();
};

}  // namespace detail

/// Calls `f()`. If an exception leaves it, throw_stack() on this thread tells where it was thrown last.
template <class F>
decltype(auto) noting_throws(F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (detail::throw_probe&) {  // never: it says no
    throw;
  }
}

/// The functions that were being called when the last exception was thrown through a noting_throws of this thread, the
/// innermost first, a line each: "#2 my::parse(std::string) +0x41 in /usr/bin/tool"; "" when there was none. Names as
/// far as the programs' symbols tell. Takes milliseconds.
[[nodiscard]] std::string throw_stack();

namespace detail {
/// One such line, for a return address that backtrace() gives.
[[nodiscard]] std::string frame_text(int number, void* return_address);
}  // namespace detail

}  // namespace tutti
