// client_checks: what the parts of the client program share: checks that say what was wrong, and go on.
#pragma once
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <typeinfo>

namespace interop {

inline int failures = 0;

/// How long to wait for a result.
inline std::chrono::seconds limit() {
  const char* const factor = std::getenv("TUTTI_TIME_FACTOR");
  return std::chrono::seconds(static_cast<int>(60 * (factor != nullptr ? std::atof(factor) : 1)));
}

inline void complain(std::string_view what, const std::string& how) {
  ++failures;
  std::printf("FAILED %.*s: %s\n", static_cast<int>(what.size()), what.data(), how.c_str());
}

template <class T>
std::string shown(const T& value) {
  std::ostringstream text;
  text.precision(17);
  if constexpr (requires { value.begin()->length(); } || requires { *value.begin() + 1; }) {
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      text << std::string_view(value).substr(0, 300);
    } else {
      text << '[';
      for (const auto& one : value) text << ' ' << one;
      text << " ]";
    }
  } else {
    text << value;
  }
  return text.str();
}

/// `make` gives `expected`.
template <class T, class Make>
void gives(std::string_view what, const T& expected, Make make) {
  try {
    const T got = make();
    if (got != expected) complain(what, "expected " + shown(expected) + ", got " + shown(got));
  } catch (const std::exception& thrown) {
    complain(what, std::string("threw ") + thrown.what());
  }
}

inline void holds(std::string_view what, const std::function<bool()>& is_so) {
  try {
    if (!is_so()) complain(what, "is not so");
  } catch (const std::exception& thrown) {
    complain(what, std::string("threw ") + thrown.what());
  }
}

/// `make` throws an E whose text contains `text`.
template <class E, class Make>
void throws(std::string_view what, std::string_view text, Make make) {
  try {
    make();
    complain(what, "did not throw");
  } catch (const std::exception& thrown) {
    const auto is_expected = [&] {
      if constexpr (std::is_same_v<E, std::exception>) {
        return true;
      } else {
        return dynamic_cast<const E*>(&thrown) != nullptr;
      }
    };
    if (!is_expected()) {
      complain(what, std::string("threw another class: ") + typeid(thrown).name() + ": " + thrown.what());
    } else if (std::string_view(thrown.what()).find(text) == std::string_view::npos) {
      complain(what, std::string("threw with the wrong text: ") + thrown.what());
    }
  }
}

/// Until it is so; complains when that does not come.
inline bool wait_until(std::string_view what, const std::function<bool()>& is_so) {
  const auto end = std::chrono::steady_clock::now() + limit();
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > end) {
      complain(what, "did not happen");
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

void check_values();
void check_canvases();
void check_failures();
void check_options(const std::string& folder);

/// Signatures for the queue of their language.
struct languages {
  std::string_view name, queue;
};
inline constexpr languages both[] = {{"py.", "py"}, {"tasks.", "cpp"}};

}  // namespace interop
