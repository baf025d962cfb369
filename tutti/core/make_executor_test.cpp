// Executors by name, and what is said about names that are none.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tutti/base/error.hpp>
#include <tutti/core/concurrency.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/thread_pool.hpp>

namespace make_executor_test {

int increment(int i) { return i + 1; }

}  // namespace make_executor_test

namespace {

using make_executor_test::increment;
using tutti::make_executor;

// Later modules, and a test below, add to the list.
std::string the_known_ones() {
  const auto kinds = tutti::executor_kinds();
  const bool added = std::ranges::count(kinds, "test-only", &tutti::executor_kind::scheme) != 0;
  return std::string(
             "known: inline, threads[:N], processes[:N], ranks, redis://, redis+socket://, amqp://, sqlite:, "
             "memory://") +
         (added ? ", test-only" : "");
}

template <class Error>
std::string message_of(std::string_view spec) {
  try {
    (void)make_executor(spec);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(MakeExecutor, Inline) {
  const auto place = make_executor("inline");
  EXPECT_EQ(place->concurrency(), 1);
  auto future = place->submit<increment>(1);
  EXPECT_TRUE(future.done());
  EXPECT_EQ(future.get(), 2);
}

TEST(MakeExecutor, ThreadsIsTheDefaultPoolShared) {
  const auto place = make_executor("threads");
  EXPECT_EQ(place->concurrency(), tutti::default_concurrency());
  EXPECT_EQ(place->id(), tutti::default_pool().id());
  EXPECT_EQ(place->submit<increment>(1).get(), 2);
}

TEST(MakeExecutor, ThreadsWithACountAreItsOwn) {
  const auto three = make_executor("threads:3"), other = make_executor("threads:3");
  EXPECT_EQ(three->concurrency(), 3);
  EXPECT_NE(three->id(), other->id());
  EXPECT_NE(three->id(), tutti::default_pool().id());
  EXPECT_EQ(three->submit<increment>(1).get(), 2);
}

TEST(MakeExecutor, DroppingAHandleToTheDefaultPoolLeavesIt) {
  make_executor("threads").reset();
  EXPECT_EQ(tutti::default_pool().submit([] { return 1; }).get(), 1);
}

TEST(MakeExecutor, UnknownNamesListTheKnownOnes) {
  EXPECT_EQ(message_of<tutti::bad_spec>("thread:4"), "unknown executor \"thread:4\"; " + the_known_ones());
  EXPECT_EQ(message_of<tutti::bad_spec>("Threads"), "unknown executor \"Threads\"; " + the_known_ones());
  EXPECT_EQ(message_of<tutti::bad_spec>(" threads"), "unknown executor \" threads\"; " + the_known_ones());
  EXPECT_EQ(message_of<tutti::bad_spec>(":"), "unknown executor \":\"; " + the_known_ones());
  EXPECT_EQ(message_of<tutti::bad_spec>(":4"), "unknown executor \":4\"; " + the_known_ones());
  EXPECT_EQ(message_of<tutti::bad_spec>("http//u:secret@h"), "unknown executor \"http//**@h\"; " + the_known_ones());
  EXPECT_EQ(message_of<tutti::bad_spec>("http://host"), "unknown executor \"http://host\"; " + the_known_ones());
}

TEST(MakeExecutor, TheEmptyName) {
  EXPECT_EQ(message_of<tutti::bad_spec>(""), "empty executor name; " + the_known_ones());
}

TEST(MakeExecutor, BadCounts) {
  for (const std::string count :
       {"0", "-1", "1e9", "", " 4", "4 ", "+4", "0x4", "4.5", "four", "4097", "4:4", "99999999999999999999"}) {
    EXPECT_EQ(message_of<tutti::bad_spec>("threads:" + count),
              "executor \"threads:" + count + "\": \"" + count + "\" is not a count from 1 to 4096");
  }
  EXPECT_EQ(message_of<tutti::bad_spec>("inline:2"), "executor \"inline:2\": inline takes no count");
  EXPECT_EQ(message_of<tutti::bad_spec>("inline:"), "executor \"inline:\": inline takes no count");
}

TEST(MakeExecutor, LongAndBinaryNamesAreShortened) {
  const std::string message = message_of<tutti::bad_spec>(std::string(100000, 'x'));
  EXPECT_LT(message.size(), 300U);
  EXPECT_NE(message.find("xxx\"; known"), std::string::npos) << message;
  EXPECT_LT(message_of<tutti::bad_spec>("threads:" + std::string(100000, '9')).size(), 400U);
  const std::string_view zeros("threads\0:4\0", 11);
  EXPECT_NE(message_of<tutti::bad_spec>(zeros), "no error");
  EXPECT_NE(message_of<tutti::bad_spec>(std::string("threads:4").append(1, '\0')), "no error");
}

TEST(MakeExecutor, ModulesThatAreNotLinkedAreNamed) {
  const auto missing = [](std::string_view scheme) {
    const auto kinds = tutti::executor_kinds();
    return std::ranges::find(kinds, scheme, &tutti::executor_kind::scheme)->make == nullptr;
  };
  const auto check = [&](const std::string& spec, const std::string& module) {
    if (!missing(spec.substr(0, spec.find(':')))) return;  // this program links it
    EXPECT_EQ(message_of<tutti::not_registered>(spec),
              "executor \"" + spec + "\" is in " + module + ", which this program does not link");
  };
  check("processes", "tutti::process");
  check("processes:4", "tutti::process");
  check("ranks", "tutti::mpi");
  check("redis://localhost", "tutti::cluster");
  check("amqp://localhost", "tutti::cluster");
  check("sqlite:/tmp/x", "tutti::cluster");
}

TEST(MakeExecutor, KindsAreDescribed) {
  const auto kinds = tutti::executor_kinds();
  ASSERT_GE(kinds.size(), 7U);
  EXPECT_EQ(kinds[0].scheme, "inline");
  EXPECT_EQ(kinds[1].scheme, "threads");
  for (const auto& kind : kinds) {
    EXPECT_FALSE(kind.usage.empty());
    EXPECT_FALSE(kind.description.empty());
    EXPECT_TRUE(kind.module.starts_with("tutti::"));
  }
  EXPECT_NE(kinds[0].make, nullptr) << "linking is enough";
  EXPECT_NE(kinds[1].make, nullptr);
}

TEST(MakeExecutor, ModulesAddTheirs) {
  tutti::register_executor({"test-only", "test-only", "tutti::test", "for this test",
                            [](std::string_view spec) -> std::unique_ptr<tutti::executor> {
                              if (spec != "test-only:yes") throw tutti::bad_spec("say yes");
                              return std::make_unique<tutti::inline_executor>();
                            },
                            nullptr});
  EXPECT_EQ(make_executor("test-only:yes")->submit<increment>(4).get(), 5);
  EXPECT_EQ(message_of<tutti::bad_spec>("test-only"), "say yes");
  EXPECT_EQ(message_of<tutti::bad_spec>("nonsense"), "unknown executor \"nonsense\"; " + the_known_ones());
}

TEST(MakeExecutor, CountsInSpecs) {
  EXPECT_EQ(tutti::count_in_spec("anything", 5), 0);
  EXPECT_EQ(tutti::count_in_spec("anything:5", 5), 5);
  EXPECT_THROW((void)tutti::count_in_spec("anything:6", 5), tutti::bad_spec);
}

}  // namespace
