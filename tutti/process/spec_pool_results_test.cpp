// What comes back from a call of a pool, or cannot; and what a call leaves in its worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tests/support/programs.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/process/processes.hpp>
#include <variant>
#include <vector>

namespace spec_results {

int same(int n) { return n; }
int pid() { return ::getpid(); }

struct unsaved {
  int value = 0;
  template <class Archive>
  void save(Archive&) const {
    throw std::range_error("this cannot be saved");
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(value);
  }
};
struct unloaded {
  int value = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(value);
  }
  template <class Archive>
  void load(Archive&) {
    throw std::range_error("this cannot be loaded");
  }
};
/// More than it says, or less: not what its reader expects.
struct crooked {
  int value = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(value);
  }
  template <class Archive>
  void load(Archive& archive) {
    std::array<std::string, 100> all;
    archive(all);
  }
};
struct crashes_when_saved {
  template <class Archive>
  void save(Archive&) const {
    std::abort();
  }
  template <class Archive>
  void load(Archive&) {}
};
struct crashes_when_loaded {
  template <class Archive>
  void save(Archive&) const {}
  template <class Archive>
  void load(Archive&) {
    std::abort();
  }
};

unsaved make_unsaved() { return {}; }
unloaded make_unloaded() { return {}; }
crooked make_crooked() { return {1 << 30}; }
crashes_when_saved make_crash() { return {}; }
int take_unsaved(const unsaved& one) { return one.value; }
int take_unloaded(const unloaded& one) { return one.value; }
int take_crooked(const crooked& one) { return one.value; }
int take_crash(const crashes_when_loaded&) { return 1; }

std::string big(std::size_t bytes) { return std::string(bytes, 'b'); }
std::size_t length(const std::string& text) { return text.size(); }

struct no_exception {
  int here;
};
struct odd : std::exception {
  const char* what() const noexcept override { return "odd \xff\n\t one"; }
};
struct silent : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
struct two_words : std::runtime_error {
  two_words(const std::string& a, int b) : std::runtime_error(a + std::to_string(b)) {}
};
struct needs_two : std::runtime_error {  // its bytes do not make it again
  explicit needs_two(const std::string& text) : std::runtime_error(text) {
    if (text.starts_with("again: ")) throw std::logic_error("twice is too much");
  }
  const char* what() const noexcept override { return "again: and again"; }
};
struct never_saved : std::runtime_error {
  never_saved() : std::runtime_error("it has a text") {}
  template <class Archive>
  void save(Archive&) const {
    throw std::range_error("this cannot be saved");
  }
  template <class Archive>
  void load(Archive&) {}
};
const bool known = tutti::register_exception<needs_two>() && tutti::register_exception<never_saved>();

void throws(int which) {
  switch (which) {
    case 0: throw no_exception{1};
    case 1: throw "a literal";
    case 2: throw std::string("text");
    case 3: throw odd();
    case 4: throw silent();
    case 5: throw two_words("words", 2);
    case 6: throw needs_two("once");
    case 7: throw std::system_error(ENOENT, std::generic_category(), "open");
    case 8: throw std::filesystem::filesystem_error("fs", "/a", std::error_code(EACCES, std::generic_category()));
    case 9: throw std::bad_variant_access();
    case 10: throw std::runtime_error(std::string(1'000'000, 'w'));
    case 11: throw std::make_shared<int>(3);
    case 12: {
      struct local : std::logic_error {
        local() : std::logic_error("local to a function") {}
      };
      throw local();
    }
    case 13: throw never_saved();
    default: throw which;
  }
}

}  // namespace spec_results

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_results;
using testing::HasSubstr;

class SpecPoolResult : public testing::Test {
 protected:
  void SetUp() override { ::alarm(60); }
  void TearDown() override { ::alarm(0); }
  // The same worker goes on, after whatever was tried.
  void goes_on() { EXPECT_EQ(pool_.submit<pid>().get(), worker_); }
  process_pool pool_{1};
  const int worker_ = pool_.submit<pid>().get();
};

TEST_F(SpecPoolResult, ThrowsWhileItIsEncoded) {
  EXPECT_THAT(tutti_test::text_of([&] { pool_.submit<make_unsaved>().get(); }), HasSubstr("this cannot be saved"));
  EXPECT_THROW(pool_.submit<make_unsaved>().get(), std::range_error);
  goes_on();
}

TEST_F(SpecPoolResult, ThrowsWhileItIsDecoded) {
  EXPECT_ANY_THROW(pool_.submit<make_unloaded>().get());
  EXPECT_THAT(tutti_test::text_of([&] { pool_.submit<make_unloaded>().get(); }), HasSubstr("this cannot be loaded"));
  EXPECT_THROW(pool_.submit<make_crooked>().get(), decode_error);
  goes_on();
}

TEST_F(SpecPoolResult, DiesWhileItIsEncoded) {
  EXPECT_THROW(pool_.submit<make_crash>().get(), worker_lost);
  EXPECT_EQ(pool_.submit<same>(1).get(), 1);
}

TEST_F(SpecPoolResult, ArgumentsThatThrow) {
  EXPECT_THROW(static_cast<void>(pool_.submit<take_unsaved>(unsaved())), std::range_error);  // by submit itself
  EXPECT_THAT(tutti_test::text_of([&] { pool_.submit<take_unloaded>(unloaded()).get(); }),
              HasSubstr("this cannot be loaded"));
  EXPECT_THROW(pool_.submit<take_crooked>(crooked()).get(), decode_error);
  goes_on();
  EXPECT_THROW(pool_.submit<take_crash>(crashes_when_loaded()).get(), worker_lost);
  EXPECT_EQ(pool_.submit<same>(1).get(), 1);
}

TEST_F(SpecPoolResult, MayBeLarge) {
  EXPECT_EQ(pool_.submit<big>(std::size_t{40} << 20).get(), big(std::size_t{40} << 20));
  EXPECT_EQ(pool_.submit<length>(big(std::size_t{40} << 20)).get(), std::size_t{40} << 20);
  goes_on();
}

TEST_F(SpecPoolResult, TooLargeForTheLimitOfMemory) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizers' own allocators end the process";
#endif
  process_pool small({.workers = 1, .memory_limit = 32u << 20});
  const int worker = small.submit<pid>().get();
  // It has room for the result, but none for its encoding, or for neither.
  for (std::size_t mib : {20u, 28u, 100u}) {
    try {
      const std::string got = small.submit<big>(mib << 20).get();
      EXPECT_EQ(got.size(), mib << 20);
    } catch (const std::bad_alloc&) {
    } catch (const os_error&) {
    }
  }
  EXPECT_EQ(small.submit<pid>().get(), worker);
}

TEST_F(SpecPoolResult, ExceptionsOfAnyType) {
  const auto remote = [&](int which) -> remote_error {
    try {
      pool_.submit<throws>(which).get();
    } catch (const remote_error& e) {
      return e;
    } catch (const std::exception& e) {
      ADD_FAILURE() << which << ": " << e.what();
    }
    return {"", ""};
  };
  const remote_error none = remote(0);
  EXPECT_EQ(none.type(), "spec_results::no_exception");
  EXPECT_THAT(none.stack(), HasSubstr("spec_results::throws(int)"));
  EXPECT_THAT(remote(1).type(), HasSubstr("char const*"));
  EXPECT_THAT(remote(2).type(), HasSubstr("string"));
  EXPECT_EQ(remote(3).type(), "spec_results::odd");
  EXPECT_STREQ(remote(3).what(), "odd \xff\n\t one");
  EXPECT_EQ(remote(5).type(), "spec_results::two_words");
  EXPECT_STREQ(remote(5).what(), "words2");
  EXPECT_THAT(remote(5).stack(), HasSubstr("throws"));
  EXPECT_THAT(remote(11).type(), HasSubstr("shared_ptr<int>"));
  EXPECT_STREQ(remote(12).what(), "local to a function");
  EXPECT_EQ(remote(99).type(), "int");
  EXPECT_THROW(pool_.submit<throws>(7).get(), std::system_error);
  EXPECT_ANY_THROW(pool_.submit<throws>(8).get());
  EXPECT_THROW(pool_.submit<throws>(9).get(), std::bad_variant_access);
  EXPECT_EQ(tutti_test::text_of([&] { pool_.submit<throws>(10).get(); }), std::string(1'000'000, 'w'));
  goes_on();
}

TEST_F(SpecPoolResult, ExceptionWithoutText) {
  try {
    pool_.submit<throws>(4).get();
    FAIL() << "nothing was thrown";
  } catch (const remote_error& e) {
    EXPECT_EQ(e.type(), "spec_results::silent");
  }
  goes_on();
}

TEST_F(SpecPoolResult, ExceptionThatCannotBeEncoded) {
  EXPECT_THAT(tutti_test::text_of([&] { pool_.submit<throws>(13).get(); }), HasSubstr("it has a text"));
  goes_on();
}

// Pools that hang or break on an exception that cannot be made again from its bytes: here its text arrives, and other
// calls do not notice.
TEST_F(SpecPoolResult, ExceptionThatCannotBeDecoded) {
  auto before = pool_.submit<same>(1);
  auto bad = pool_.submit<throws>(6);
  auto after = pool_.submit<same>(2);
  try {
    bad.get();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const remote_error& e) {
    EXPECT_EQ(e.type(), "spec_results::needs_two");
    EXPECT_STREQ(e.what(), "again: and again");
  } catch (const std::exception& e) {
    ADD_FAILURE() << "not a remote_error: " << e.what();
  }
  EXPECT_EQ(before.get(), 1);
  EXPECT_EQ(after.get(), 2);
  goes_on();
}

}  // namespace
}  // namespace tutti
