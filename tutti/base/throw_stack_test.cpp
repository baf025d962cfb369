#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/base/throw_stack.hpp>

#include <stdexcept>
#include <string>

namespace throw_stack_test {

[[gnu::noinline]] void innermost(int n) {
  if (n == 0) throw std::runtime_error("here");
}
struct witness {
  int& count;
  ~witness() { ++count; }
};
int destroyed = 0;
[[gnu::noinline]] int middle(int n) {
  const witness unwound{destroyed};  // the search for a handler is resumed behind its destructor
  innermost(n);
  return n + 1;
}

}  // namespace throw_stack_test

namespace tutti {
namespace {

TEST(ThrowStack, TellsWhereTheExceptionCameFrom) {
  try {
    noting_throws([] { return throw_stack_test::middle(0); });
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "here");
  }
  const std::string stack = throw_stack();
  EXPECT_THAT(stack, testing::StartsWith("#0 throw_stack_test::innermost(int)"));
  EXPECT_THAT(stack, testing::HasSubstr("\n#1 throw_stack_test::middle(int)"));
}

TEST(ThrowStack, CostsNothingElse) {
  EXPECT_EQ(noting_throws([] { return throw_stack_test::middle(4); }), 5);
  int value = 3;
  int& same = noting_throws([&]() -> int& { return value; });
  EXPECT_EQ(&same, &value);
  // What is caught inside is nobody's business.
  noting_throws([] {
    try {
      throw_stack_test::middle(0);
    } catch (const std::exception&) {
    }
  });
}

}  // namespace
}  // namespace tutti
