#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <random>
#include <regex>
#include <system_error>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <variant>

namespace exception_codec_test {

// Crosses by its text.
struct parse_failure : std::runtime_error {
  using runtime_error::runtime_error;
};
// Crosses by its own serialize.
class http_failure : public std::exception {
 public:
  http_failure() = default;
  explicit http_failure(int status) : status_(status) {}
  const char* what() const noexcept override { return "http failure"; }
  int status() const { return status_; }
  template <class Archive>
  void serialize(Archive& ar) {
    ar(status_);
  }

 private:
  int status_ = 0;
};
// Not registered.
struct unknown_failure : parse_failure {
  using parse_failure::parse_failure;
};
struct try_again : tutti::retryable {
  using retryable::retryable;
};
// Not even an exception by its type.
struct odd {
  int value = 0;
};
struct odder {};
struct breaks_when_encoded : std::exception {
  const char* what() const noexcept override { return "still told"; }
  template <class Archive>
  void serialize(Archive&) {
    throw std::runtime_error("no");
  }
};
// Registered, but made from its own text it throws.
struct needs_a_name : std::runtime_error {
  explicit needs_a_name(const std::string& name) : runtime_error("no such name: " + name) {
    if (name.find(' ') != name.npos) throw std::invalid_argument("not a name");
  }
};
// Has no text, which what() must not say so.
struct silent : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
struct registered_silent : silent {
  registered_silent() = default;
  explicit registered_silent(const std::string&) {}
};
struct silent_when_decoded : std::exception {
  const char* what() const noexcept override { return "loud"; }
  template <class Archive>
  void save(Archive&) const {}
  template <class Archive>
  void load(Archive&) {
    throw silent();
  }
};

const bool registered = tutti::register_exception<parse_failure>() && tutti::register_exception<http_failure>() &&
                        tutti::register_exception<odd>() && tutti::register_exception<breaks_when_encoded>() &&
                        tutti::register_exception<needs_a_name>() && tutti::register_exception<registered_silent>() &&
                        tutti::register_exception<silent_when_decoded>();

class my_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "mine"; }
  std::string message(int) const override { return "my message"; }
};

}  // namespace exception_codec_test

namespace {

using namespace exception_codec_test;

std::exception_ptr cross(const std::exception_ptr& failure) {
  return tutti::decode_exception(tutti::encode_exception(failure, [] { return std::string("line 1\nline 2"); }));
}

// Sends `thrown` across and checks that it arrives as exactly that type with that text; returns it.
template <class E>
E same(const E& thrown) {
  try {
    std::rethrow_exception(cross(std::make_exception_ptr(thrown)));
  } catch (const E& e) {
    EXPECT_STREQ(e.what(), thrown.what());
    return e;
  } catch (const std::exception& e) {
    ADD_FAILURE() << typeid(thrown).name() << " arrived as " << typeid(e).name() << ": " << e.what();
  }
  return thrown;
}

template <class E>
void exactly_same(const E& thrown) {
  try {
    std::rethrow_exception(cross(std::make_exception_ptr(thrown)));
  } catch (const std::exception& e) {
    EXPECT_EQ(typeid(e), typeid(E)) << typeid(e).name();
    EXPECT_STREQ(e.what(), thrown.what());
  }
}

template <class E>
tutti::remote_error remote(const E& thrown) {
  try {
    std::rethrow_exception(cross(std::make_exception_ptr(thrown)));
  } catch (const tutti::remote_error& e) {
    return e;
  } catch (...) {
  }
  ADD_FAILURE() << "not a remote_error";
  return {"", ""};
}

TEST(exception_codec, the_standards) {
  ASSERT_TRUE(registered);
  exactly_same(std::exception());
  exactly_same(std::logic_error("a"));
  exactly_same(std::domain_error("b"));
  exactly_same(std::invalid_argument("c"));
  exactly_same(std::length_error("d"));
  exactly_same(std::out_of_range("e"));
  exactly_same(std::runtime_error(""));
  exactly_same(std::range_error("g"));
  exactly_same(std::overflow_error("h"));
  exactly_same(std::underflow_error("i"));
  exactly_same(std::bad_alloc());
  exactly_same(std::bad_array_new_length());
  exactly_same(std::bad_cast());
  exactly_same(std::bad_typeid());
  exactly_same(std::bad_exception());
  exactly_same(std::bad_function_call());
  exactly_same(std::bad_weak_ptr());
  exactly_same(std::bad_optional_access());
  same(std::bad_variant_access());
  exactly_same(std::future_error(std::future_errc::broken_promise));
}

TEST(exception_codec, system_errors_keep_their_code) {
  const auto code = std::make_error_code(std::errc::permission_denied);
  exactly_same(std::system_error(code));
  exactly_same(std::system_error(code, ""));
  exactly_same(std::system_error(code, "opening x"));
  EXPECT_EQ(same(std::system_error(5, std::system_category(), "reading")).code(),
            std::error_code(5, std::system_category()));
  EXPECT_EQ(same(std::system_error(code, "x")).code(), code);
  exactly_same(std::ios_base::failure("bad stream"));
  const std::filesystem::filesystem_error both("rename", "/a", "/b", code);
  exactly_same(both);
  const auto back = same(both);
  EXPECT_EQ(back.path1(), "/a");
  EXPECT_EQ(back.path2(), "/b");
  EXPECT_EQ(back.code(), code);
  exactly_same(std::filesystem::filesystem_error("stat", "/a", code));
  exactly_same(std::filesystem::filesystem_error("x", code));
}

TEST(exception_codec, system_errors_of_unknown_categories_are_told) {
  static const my_category mine;
  const auto got = remote(std::system_error(3, mine, "x"));
  EXPECT_EQ(got.type(), "std::system_error");
  EXPECT_STREQ(got.what(), "x: my message");
}

TEST(exception_codec, thrown_for_real) {
  std::exception_ptr caught;
  try {
    throw std::regex_error(std::regex_constants::error_paren);
  } catch (...) {
    caught = std::current_exception();
  }
  try {
    std::rethrow_exception(cross(cross(caught)));
  } catch (const std::regex_error& e) {
    EXPECT_EQ(e.code(), std::regex_constants::error_paren);
  }
  try {
    (void)std::get<int>(std::variant<int, bool>(true));
  } catch (const std::bad_variant_access& e) {
    const std::string what = e.what();
    try {
      std::rethrow_exception(cross(cross(std::current_exception())));
    } catch (const std::bad_variant_access& back) {
      EXPECT_EQ(back.what(), what);
    }
  }
}

TEST(exception_codec, ours_with_their_data) {
  exactly_same(tutti::cancelled("a"));
  exactly_same(tutti::timed_out("b"));
  exactly_same(tutti::closed("c"));
  exactly_same(tutti::poisoned("c"));
  exactly_same(tutti::deadlock("d"));
  exactly_same(tutti::would_block("e"));
  exactly_same(tutti::not_owner("o"));
  exactly_same(tutti::broken_promise("f"));
  exactly_same(tutti::broken_barrier("b"));
  exactly_same(tutti::not_registered("g"));
  exactly_same(tutti::ambiguous_function("h"));
  exactly_same(tutti::pool_exhausted("i"));
  exactly_same(tutti::broker_error("j"));
  exactly_same(tutti::bad_spec("k"));
  exactly_same(tutti::encode_error("l"));
  exactly_same(tutti::retryable("m"));
  EXPECT_EQ(same(tutti::worker_lost("x", 3, std::nullopt)).exit_code(), 3);
  EXPECT_EQ(same(tutti::worker_lost("x", std::nullopt, 9)).signal(), 9);
  EXPECT_EQ(same(tutti::os_error("x", 12)).code(), 12);
  (void)same(tutti::owner_lost("x"));
  EXPECT_EQ(same(tutti::decode_error("x", 77)).offset(), 77u);
  const auto passed_on = same(tutti::remote_error("my::type", "x", "stack", true));
  EXPECT_EQ(passed_on.type(), "my::type");
  EXPECT_EQ(passed_on.stack(), "stack");
  EXPECT_TRUE(passed_on.retry());
}

TEST(exception_codec, registered_types) {
  exactly_same(parse_failure("line 3"));
  exactly_same(http_failure(404));
  EXPECT_EQ(same(http_failure(404)).status(), 404);
  try {
    std::rethrow_exception(cross(std::make_exception_ptr(odd{7})));
  } catch (const odd& e) {
    EXPECT_EQ(e.value, 7);
  }
}

TEST(exception_codec, the_others_are_remote_errors) {
  const auto got = remote(unknown_failure("line 4"));
  EXPECT_EQ(got.type(), "exception_codec_test::unknown_failure");
  EXPECT_STREQ(got.what(), "line 4");
  EXPECT_EQ(got.stack(), "line 1\nline 2");
  EXPECT_FALSE(got.retry());
  EXPECT_TRUE(remote(try_again("x")).retry());
  EXPECT_TRUE(tutti::is_retryable(cross(std::make_exception_ptr(try_again("x")))));
  EXPECT_STREQ(remote(breaks_when_encoded()).what(), "still told");
}

TEST(exception_codec, what_cannot_be_made_again_is_a_remote_error) {
  const auto got = remote(needs_a_name("anna"));
  EXPECT_EQ(got.type(), "exception_codec_test::needs_a_name");
  EXPECT_STREQ(got.what(), "no such name: anna");
  EXPECT_STREQ(remote(silent_when_decoded()).what(), "loud");
  EXPECT_THROW(static_cast<void>(tutti::decode<silent_when_decoded>(tutti::encode(silent_when_decoded()))),
               tutti::decode_error);
  // With what it nests.
  std::exception_ptr caught;
  try {
    try {
      throw http_failure(500);
    } catch (...) {
      std::throw_with_nested(needs_a_name("anna"));
    }
  } catch (...) {
    caught = std::current_exception();
  }
  try {
    std::rethrow_exception(cross(caught));
  } catch (const tutti::remote_error& e) {
    EXPECT_STREQ(e.what(), "no such name: anna");
    EXPECT_THROW(std::rethrow_if_nested(e), http_failure);
  }
}

TEST(exception_codec, without_a_text) {
  const auto got = remote(silent());
  EXPECT_EQ(got.type(), "exception_codec_test::silent");
  EXPECT_STREQ(got.what(), "");
  EXPECT_EQ(got.stack(), "line 1\nline 2");
  EXPECT_EQ(remote(registered_silent()).type(), "exception_codec_test::registered_silent");
}

TEST(exception_codec, what_is_no_exception) {
  EXPECT_EQ(remote(42).type(), "int");
  EXPECT_STREQ(remote(42).what(), "42");
  EXPECT_STREQ(remote("text").what(), "text");
  EXPECT_STREQ(remote(static_cast<const char*>(nullptr)).what(), "null");
  EXPECT_STREQ(remote(std::string("text")).what(), "text");
  EXPECT_EQ(remote(odder{}).type(), "exception_codec_test::odder");
  EXPECT_THROW((void)tutti::encode_exception(nullptr), std::invalid_argument);
}

TEST(exception_codec, nested_exceptions) {
  std::exception_ptr caught;
  try {
    try {
      throw http_failure(500);
    } catch (...) {
      std::throw_with_nested(std::runtime_error("loading the page"));
    }
  } catch (...) {
    caught = std::current_exception();
  }
  try {
    std::rethrow_exception(cross(cross(caught)));
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "loading the page");
    try {
      std::rethrow_if_nested(e);
      FAIL() << "nothing nested";
    } catch (const http_failure& inner) {
      EXPECT_EQ(inner.status(), 500);
    }
  }
}

TEST(exception_codec, nesting_without_end_is_cut) {
  std::exception_ptr caught = std::make_exception_ptr(std::runtime_error("innermost"));
  for (int i = 0; i < 100; ++i) {
    try {
      try {
        std::rethrow_exception(caught);
      } catch (...) {
        std::throw_with_nested(std::runtime_error("level " + std::to_string(i)));
      }
    } catch (...) {
      caught = std::current_exception();
    }
  }
  try {
    std::rethrow_exception(cross(caught));
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "level 99");
  }
}

TEST(exception_codec, a_type_that_the_other_side_does_not_know) {
  // What the other side would send for a type registered only there.
  const std::string bytes =
      tutti::encode(std::tuple(std::string("their::failure"), std::string("theirs"), std::string(), true,
                               std::optional<std::string>("data"), std::string()));
  try {
    std::rethrow_exception(tutti::decode_exception(bytes));
  } catch (const tutti::remote_error& e) {
    EXPECT_EQ(e.type(), "their::failure");
    EXPECT_STREQ(e.what(), "theirs");
    EXPECT_TRUE(e.retry());
  }
}

TEST(exception_codec, bad_bytes) {
  EXPECT_THROW((void)tutti::decode_exception(""), tutti::decode_error);
  const std::string good = tutti::encode_exception(std::make_exception_ptr(tutti::worker_lost("x", 3, std::nullopt)));
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_THROW((void)tutti::decode_exception(good.substr(0, n)), tutti::decode_error);
  }
  std::mt19937 random(std::random_device{}());
  for (int i = 0; i < 5000; ++i) {
    std::string bad = good;
    bad[random() % bad.size()] = static_cast<char>(random());
    try {
      EXPECT_TRUE(tutti::decode_exception(bad));
    } catch (const tutti::decode_error&) {
    }
  }
}

TEST(exception_codec, from_many_threads) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int n = 0; n < 200; ++n) {
        tutti::register_exception<http_failure>();
        exactly_same(http_failure(n));
      }
    });
  }
}

}  // namespace
