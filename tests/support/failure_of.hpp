// failure_of: the words of the error that a coroutine ends with.
#pragma once
#include <string>
#include <tutti/task/task.hpp>
#include <utility>

namespace tutti_test {

/// Awaits `work`, and gives what() of the E that it throws.
template <class E, class T>
tutti::task<std::string> failure_of(tutti::task<T> work) {
  try {
    co_await std::move(work);
  } catch (const E& e) {
    co_return e.what();
  }
  co_return "no such error";
}

}  // namespace tutti_test
