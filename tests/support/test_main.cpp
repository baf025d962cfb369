// test_main: the main() of every test program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#if __has_include(<tutti/base/init.hpp>)
#include <tutti/base/init.hpp>
#define TUTTI_TEST_INIT 1
#endif

#if defined(__SANITIZE_ADDRESS__)
// Sanitizer settings travel with the program, so that a test behaves alike under ctest and in a terminal.
extern "C" const char* __ubsan_default_options() { return "print_stacktrace=1"; }
extern "C" const char* __asan_default_options() { return "strict_string_checks=1:check_initialization_order=1"; }
#elif defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_options() {
  // atexit_sleep_ms: many tests start processes of this program, each of which would sleep a second at its end.
  return "halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=0";
}
// The reference count of exceptions is in libstdc++, which is not instrumented: the last owner's free looks like a race
// with the reads of the others before. In optimised code the exception's destructor is the innermost frame that is
// left.
extern "C" const char* __tsan_default_suppressions() {
  return "race:std::__exception_ptr::exception_ptr::_M_release\n"
         "race:std::logic_error::~logic_error\n"
         "race:std::runtime_error::~runtime_error\n";
}
#endif

int main(int argc, char** argv) {
#ifdef TUTTI_TEST_INIT
  tutti::init(argc, argv);  // first: a worker process started from this program never returns from it
#endif
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
