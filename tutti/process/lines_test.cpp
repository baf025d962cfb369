#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/lines.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/process.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace tutti {
namespace {

using testing::ElementsAre;

static_assert(std::ranges::input_range<lines>);

struct test_pipe {
  test_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) ADD_FAILURE() << "no pipe";
    from.reset(ends[0]);
    to.reset(ends[1]);
  }
  void write(std::string_view text) const {
    while (!text.empty()) {
      const ::ssize_t n = ::write(to.get(), text.data(), text.size());
      ASSERT_GT(n, 0);
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  unique_fd from, to;
};

std::vector<std::string> all_of(const unique_fd& from) {
  std::vector<std::string> result;
  for (const std::string& line : lines(from)) result.push_back(line);
  return result;
}

TEST(Lines, AreWithoutTheirEnds) {
  test_pipe p;
  p.write("one\n\nthree\nfour");
  p.to.reset();
  EXPECT_THAT(all_of(p.from), ElementsAre("one", "", "three", "four"));
}

TEST(Lines, OfNothingAreNone) {
  test_pipe p;
  p.to.reset();
  EXPECT_THAT(all_of(p.from), ElementsAre());
}

TEST(Lines, ComeWhileMoreIsWritten) {
  test_pipe p;
  p.write("first\nsec");
  lines said(p.from);
  auto at = said.begin();
  EXPECT_EQ(*at, "first");
  p.write("ond\n");
  ++at;
  EXPECT_EQ(*at, "second");
  p.to.reset();
  ++at;
  EXPECT_EQ(at, said.end());
}

TEST(Lines, MayBeLongerThanWhatIsReadAtOnce) {
  test_pipe p;
  const std::string longer(300'000, 'x');
  std::thread writer([&] {
    p.write(longer + "\nshort\n" + longer);
    p.to.reset();
  });
  EXPECT_THAT(all_of(p.from), ElementsAre(longer, "short", longer));
  writer.join();
}

TEST(Lines, AreWaitedForAlsoWhereReadsDoNotWait) {
  process p = process::exec({"sh", "-c", "echo one; echo two"}, {.out = stdio::pipe()});
  ASSERT_EQ(::fcntl(p.out().get(), F_SETFL, O_NONBLOCK), 0);
  EXPECT_THAT(all_of(p.out()), ElementsAre("one", "two"));
  EXPECT_TRUE(p.join().success());
}

TEST(Lines, NeedADescriptorThatCanBeRead) {
  const unique_fd none;
  EXPECT_THROW(lines{none}, std::invalid_argument);
  const test_pipe p;
  EXPECT_THROW(all_of(p.to), os_error);
}

}  // namespace
}  // namespace tutti
