#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <tests/support/python_says.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/throw_stack.hpp>
#include <tutti/cluster/failure.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/this_call.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace failure_test {

struct unknown : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct known : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
template <class T>
struct templated : std::runtime_error {
  using std::runtime_error::runtime_error;
};
namespace inner {
struct no_exception {};
}  // namespace inner

}  // namespace failure_test

namespace {

using namespace failure_test;
using namespace tutti::cluster;
using testing::HasSubstr;
using testing::StartsWith;

struct nameless : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class E>
task_failure describe(const E& exception) {
  return describe_failure(std::make_exception_ptr(exception));
}

template <class E>
std::string python_name(const E& exception) {
  const task_failure f = describe(exception);
  return f.module + '.' + f.type;
}

// The text of the exception that a failure is restored to, which must be an E.
template <class E>
std::string restored(const task_failure& f) {
  try {
    std::rethrow_exception(restore_failure(f));
  } catch (const E& e) {
    return e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << f.type << " became " << tutti::demangle(typeid(e).name()) << ": " << e.what();
  }
  return "";
}

task_failure python(std::string type, std::string args, std::string module = "builtins", std::string traceback = "") {
  return {std::move(type), std::move(module), std::move(args), std::move(traceback), ""};
}

TEST(failure, standard_exceptions_have_pythons_names) {
  EXPECT_EQ(python_name(std::invalid_argument("x")), "builtins.ValueError");
  EXPECT_EQ(python_name(std::domain_error("x")), "builtins.ValueError");
  EXPECT_EQ(python_name(std::length_error("x")), "builtins.ValueError");
  EXPECT_EQ(python_name(std::out_of_range("x")), "builtins.IndexError");
  EXPECT_EQ(python_name(std::overflow_error("x")), "builtins.OverflowError");
  EXPECT_EQ(python_name(std::range_error("x")), "builtins.ArithmeticError");
  EXPECT_EQ(python_name(std::runtime_error("x")), "builtins.RuntimeError");
  EXPECT_EQ(python_name(std::logic_error("x")), "builtins.RuntimeError");
  EXPECT_EQ(python_name(std::bad_alloc()), "builtins.MemoryError");
  EXPECT_EQ(python_name(std::bad_array_new_length()), "builtins.MemoryError");
  EXPECT_EQ(python_name(std::bad_optional_access()), "std.bad_optional_access");
  EXPECT_EQ(python_name(std::filesystem::filesystem_error("x", std::make_error_code(std::errc::no_space_on_device))),
            "builtins.OSError");
  const task_failure f = describe(std::system_error(2, std::generic_category(), "data.txt"));
  EXPECT_EQ(f.type, "OSError");
  EXPECT_EQ(f.args, R"([2,"data.txt: No such file or directory"])");
}

TEST(failure, ours_have_celerys_names_or_their_own) {
  EXPECT_EQ(python_name(argument_error("x")), "builtins.TypeError");
  EXPECT_EQ(python_name(tutti::timed_out("x")), "builtins.TimeoutError");
  EXPECT_EQ(python_name(tutti::os_error("x", 5)), "builtins.OSError");
  EXPECT_EQ(python_name(tutti::worker_lost("x")), "billiard.exceptions.WorkerLostError");
  EXPECT_EQ(python_name(tutti::cancelled("x")), "celery.exceptions.TaskRevokedError");
  EXPECT_EQ(python_name(tutti::not_registered("x")), "celery.exceptions.NotRegistered");
  EXPECT_EQ(python_name(max_retries_exceeded("x")), "celery.exceptions.MaxRetriesExceededError");
  EXPECT_EQ(python_name(tutti::deadlock("x")), "tutti.deadlock");
}

TEST(failure, others_have_their_own_names) {
  EXPECT_EQ(python_name(unknown("x")), "failure_test.unknown");
  EXPECT_EQ(python_name(known("x")), "failure_test.known");
  EXPECT_EQ(python_name(nameless("x")), "tutti.nameless");
  EXPECT_EQ(python_name(templated<inner::no_exception>("x")),
            "failure_test.templated<failure_test::inner::no_exception>");
  EXPECT_EQ(python_name(inner::no_exception()), "failure_test.inner.no_exception");
  EXPECT_EQ(python_name(7), "tutti.int");
  EXPECT_EQ(describe(7).args, "[\"7\"]");
  EXPECT_EQ(describe(std::string("text")).args, "[\"text\"]");
  EXPECT_EQ(python_name(tutti::remote_error("mine.too.ParseError", "x")), "mine.too.ParseError");
  EXPECT_EQ(python_name(tutti::remote_error("KeyError", "x")), "builtins.KeyError");
  EXPECT_EQ(python_name(tutti::remote_error("my::thing", "x")), "my.thing");
}

TEST(failure, what_is_nested_does_not_change_the_name) {
  std::exception_ptr nested;
  try {
    try {
      throw std::out_of_range("inside");
    } catch (...) {
      std::throw_with_nested(std::invalid_argument("outside"));
    }
  } catch (...) {
    nested = std::current_exception();
  }
  const task_failure f = describe_failure(nested);
  EXPECT_EQ(f.type, "ValueError");
  EXPECT_EQ(f.args, "[\"outside\"]");
  try {
    std::rethrow_exception(restore_failure(f));
  } catch (const std::invalid_argument& e) {
    EXPECT_THROW(std::rethrow_if_nested(e), std::out_of_range);
  }
}

TEST(failure, text_that_is_not_utf8_is_still_json) {
  const task_failure f = describe(std::runtime_error("a \xff b"));
  EXPECT_EQ(f.args, "[\"a \xef\xbf\xbd b\"]");
  EXPECT_EQ(restored<std::runtime_error>(f), "a \xff b");
}

TEST(failure, the_traceback_says_what_and_where) {
  const task_failure plain = describe(unknown("it broke"));
  EXPECT_EQ(plain.traceback, "failure_test::unknown: it broke");
  const auto stack = [] { return std::string("#0 here\n#1 there"); };
  const task_failure with = describe_failure(std::make_exception_ptr(unknown("it broke")), stack);
  EXPECT_EQ(with.traceback, "failure_test::unknown: it broke\n#0 here\n#1 there");
  const task_failure standard = describe_failure(std::make_exception_ptr(std::range_error("far")), stack);
  EXPECT_EQ(standard.traceback, "std::range_error: far\n#0 here\n#1 there");
}

TEST(failure, ours_come_back_as_themselves) {
  EXPECT_EQ(restored<std::out_of_range>(describe(std::out_of_range("x"))), "x");
  EXPECT_EQ(restored<tutti::deadlock>(describe(tutti::deadlock("x"))), "x");
  EXPECT_EQ(restored<argument_error>(describe(argument_error("x"))), "x");
  EXPECT_EQ(restored<max_retries_exceeded>(describe(max_retries_exceeded("x"))), "x");
  EXPECT_EQ(restored<tutti::remote_error>(describe(unknown("x"))), "x");
  tutti::register_exception<known>();
  EXPECT_EQ(restored<known>(describe(known("x"))), "x");
}

TEST(failure, broken_bytes_leave_what_people_can_read) {
  task_failure f = describe(std::out_of_range("x"));
  f.native.resize(f.native.size() / 2);
  EXPECT_EQ(restored<std::out_of_range>(f), "x");
  f.native = std::string(1000, '\xff');
  EXPECT_EQ(restored<std::out_of_range>(f), "x");
}

TEST(failure, pythons_come_back_as_the_nearest) {
  EXPECT_EQ(restored<std::invalid_argument>(python("ValueError", R"(["bad"])")), "bad");
  EXPECT_EQ(restored<std::invalid_argument>(python("ValueError", R"(["bad", 1])")), "('bad', 1)");
  EXPECT_EQ(restored<std::invalid_argument>(python("ValueError", "[]")), "");
  EXPECT_EQ(restored<std::invalid_argument>(python("ValueError", "[{\"a\":null}]")), "{'a': None}");
  EXPECT_EQ(restored<std::out_of_range>(python("KeyError", R"(["k"])")), "k");
  EXPECT_EQ(restored<std::overflow_error>(python("OverflowError", R"(["x"])")), "x");
  EXPECT_EQ(restored<std::range_error>(python("ArithmeticError", R"(["x"])")), "x");
  EXPECT_EQ(restored<std::runtime_error>(python("RuntimeError", R"(["x"])")), "x");
  EXPECT_EQ(restored<tutti::timed_out>(python("TimeoutError", R"(["x"])")), "x");
  (void)restored<std::bad_alloc>(python("MemoryError", "[]"));
  EXPECT_EQ(restored<std::system_error>(python("OSError", R"([2, "No such file or directory"])")),
            "No such file or directory");
  EXPECT_EQ(restored<std::system_error>(python("FileNotFoundError", R"([2, "No such file or directory", "a.txt"])")),
            "a.txt: No such file or directory");
  EXPECT_EQ(restored<tutti::remote_error>(python("OSError", R"(["odd"])")), "odd");
  EXPECT_EQ(restored<tutti::timed_out>(python("TimeLimitExceeded", "[10]", "billiard.exceptions")), "10");
  EXPECT_EQ(restored<tutti::timed_out>(python("SoftTimeLimitExceeded", "[]", "celery.exceptions")), "");
  EXPECT_EQ(restored<tutti::cancelled>(python("TaskRevokedError", R"(["terminated"])", "celery.exceptions")),
            "terminated");
  EXPECT_EQ(restored<tutti::worker_lost>(celery_failure("WorkerLostError", "gone")), "gone");
  EXPECT_EQ(restored<tutti::not_registered>(celery_failure("NotRegistered", "t")), "t");
  EXPECT_EQ(restored<max_retries_exceeded>(celery_failure("MaxRetriesExceededError", "m")), "m");
  EXPECT_EQ(restored<std::invalid_argument>(python("ValueError", "not json")), "not json");
}

TEST(failure, others_of_python_keep_class_and_traceback) {
  try {
    std::rethrow_exception(restore_failure(python("Broken", R"(["x"])", "shop.errors", "Traceback ...")));
    FAIL();
  } catch (const tutti::remote_error& e) {
    EXPECT_EQ(e.type(), "shop.errors.Broken");
    EXPECT_STREQ(e.what(), "x");
    EXPECT_EQ(e.stack(), "Traceback ...");
  }
  try {
    std::rethrow_exception(restore_failure(python("ValueError", R"(["x"])", "builtins", "Traceback ...")));
    FAIL();
  } catch (const std::invalid_argument& e) {
    try {
      std::rethrow_if_nested(e);
      FAIL() << "without its traceback";
    } catch (const tutti::remote_error& inner) {
      EXPECT_EQ(inner.type(), "ValueError");
      EXPECT_EQ(inner.stack(), "Traceback ...");
    }
  }
}

// What Celery makes of our failures.
TEST(failure, celery_takes_it) {
  const std::string base = testing::TempDir() + "failure_test_" + std::to_string(::getpid());
  std::ofstream out(base + ".json");
  for (const task_failure& f :
       {describe(std::invalid_argument("bad")), describe(std::system_error(2, std::generic_category(), "f")),
        describe(unknown("own")), describe(7), celery_failure("TimeLimitExceeded", "10"),
        celery_failure("NotRegistered", "t"), describe(tutti::worker_lost("gone")), describe(tutti::cancelled("no")),
        describe(max_retries_exceeded("m"))}) {
    task_result r;
    r.id = "i";
    r.status = state::failure;
    r.failure = f;
    out << encode_result(r) << '\n';
  }
  out.close();
  const std::string script = R"py(
import sys
from celery import Celery
backend = Celery('t', broker='memory://', backend='cache+memory://').backend
for line in open(sys.argv[1]):
    meta = backend.decode_result(line)
    e = meta['result']
    print(type(e).__module__, type(e).__mro__[0].__name__, repr(e), meta['status'], meta['task_id'])
)py";
  EXPECT_EQ(
      tutti_test::python_says(base, script),
      "builtins ValueError ValueError('bad') FAILURE i\n"
      "builtins FileNotFoundError FileNotFoundError(2, 'f: No such file or directory') FAILURE i\n"
      "celery.exceptions unknown unknown('own') FAILURE i\n"
      "celery.exceptions int int('7') FAILURE i\n"
      "billiard.exceptions TimeLimitExceeded TimeLimitExceeded('10') FAILURE i\n"
      "celery.exceptions NotRegistered Task of kind 't' never registered, please make sure it's imported. FAILURE i\n"
      "billiard.exceptions WorkerLostError WorkerLostError('gone') FAILURE i\n"
      "celery.exceptions TaskRevokedError TaskRevokedError('no') FAILURE i\n"
      "celery.exceptions MaxRetriesExceededError MaxRetriesExceededError('m') FAILURE i\n");
}

}  // namespace
