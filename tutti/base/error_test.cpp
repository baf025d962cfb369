#include <gtest/gtest.h>
#include <tutti/base/error.hpp>

#include <cerrno>
#include <type_traits>

namespace {

struct flaky : tutti::retryable {
  using retryable::retryable;
};

template <class E>
bool retries(const E& failure) {
  return tutti::is_retryable(std::make_exception_ptr(failure));
}

TEST(error, all_are_one_root) {
  static_assert(std::is_base_of_v<std::runtime_error, tutti::error>);
  EXPECT_THROW(throw tutti::cancelled("x"), tutti::error);
  EXPECT_THROW(throw tutti::worker_lost("x"), tutti::error);
  EXPECT_STREQ(tutti::bad_spec("unknown executor").what(), "unknown executor");
}

TEST(error, extra_data) {
  const tutti::worker_lost killed("worker 3 was killed", std::nullopt, 9);
  EXPECT_EQ(killed.signal(), 9);
  EXPECT_EQ(killed.exit_code(), std::nullopt);
  const tutti::remote_error remote("my::type", "bad", "line 1");
  EXPECT_EQ(remote.type(), "my::type");
  EXPECT_STREQ(remote.what(), "bad");
  EXPECT_EQ(remote.stack(), "line 1");
  EXPECT_EQ(tutti::decode_error("x", 5).offset(), 5u);
}

TEST(Error, OfTheSystemSaysWhatWasTriedAndWhy) {
  const auto refused = tutti::os_error::of("cannot open \"/x\"", ENOENT);
  EXPECT_EQ(refused.code(), ENOENT);
  EXPECT_STREQ(refused.what(), "cannot open \"/x\": No such file or directory");
}

TEST(error, what_is_worth_another_try) {
  EXPECT_TRUE(retries(flaky("x")));
  EXPECT_TRUE(retries(tutti::worker_lost("x")));
  EXPECT_TRUE(retries(tutti::remote_error("flaky", "x", "", true)));
  EXPECT_FALSE(retries(tutti::remote_error("other", "x")));
  EXPECT_FALSE(retries(tutti::cancelled("x")));
  EXPECT_FALSE(retries(std::runtime_error("x")));
  EXPECT_FALSE(retries(5));
  EXPECT_FALSE(tutti::is_retryable(nullptr));
}

}  // namespace
