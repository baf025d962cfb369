// Named channels: unrelated programs meet at a path, and some are killed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <tests/support/choices.hpp>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_named {

using link = tutti::named_channel<std::vector<int>>;

std::vector<int> element(int n) { return std::vector<int>(static_cast<std::size_t>(n % 3000) + 1, n); }
void send_and_end(const std::string& path, int count, int way) {
  auto out = link::writer(path);
  for (int i = 0; i < count; ++i) out.send(element(i));
  if (way == 0) ::raise(SIGKILL);
  if (way == 1) ::_exit(0);
  if (way == 2) std::abort();
}
void send_for_ever(const std::string& path, tutti::shared_value<int> begun) {
  auto out = link::writer(path);
  begun.fetch_add(1);
  begun.notify_all();
  for (int i = 0;; ++i) out.send(element(i));
}
void receive_and_die(const std::string& path, int count) {
  auto in = link::reader(path);
  for (int i = 0; i < count; ++i) static_cast<void>(in.receive());
  ::raise(SIGKILL);
}
void receive_some(const std::string& path, int count) {
  auto in = link::reader(path);
  for (int i = 0; i < count; ++i) static_cast<void>(in.receive());
}
void nothing() {}

}  // namespace spec_named

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_named;
using testing::HasSubstr;

class SpecNamed : public tutti_test::tidy_test {
 protected:
  static void SetUpTestSuite() { process(fn<nothing>).join(); }
  const tutti_test::fresh_path at_;
  const std::string path_ = at_.path();
  template <class F>
  static int code_of(F f, const std::string& part) {
    try {
      f();
    } catch (const os_error& e) {
      EXPECT_THAT(e.what(), HasSubstr(part));
      return e.code();
    } catch (const std::exception& e) {
      ADD_FAILURE() << "not an os_error: " << e.what();
    }
    return -1;
  }
  static bool exists(const std::string& path) {
    struct ::stat there{};
    return ::lstat(path.c_str(), &there) == 0;
  }
};

TEST_F(SpecNamed, AllThatWasSentArrivesAndThenTheEnd) {
  for (int way = 0; way < 4; ++way) {
    process p({.err = stdio::null()}, fn<send_and_end>, path_, 50, way);
    auto in = link::reader(path_);
    for (int i = 0; i < 50; ++i) ASSERT_EQ(in.receive(), element(i)) << way;
    EXPECT_THROW(in.receive(), closed);
    EXPECT_EQ(in.next(), std::nullopt);
    EXPECT_EQ(in.path(), path_);
    p.join();  // the next round finds what this one may have left
  }
}

TEST_F(SpecNamed, SenderIsKilledAtRandomAndDisturbsNoOther) {
  tutti_test::choices choose(5);
  for (int round = 0; round < 15; ++round) {
    const shared_value<int> begun(0);
    process p({.daemon = true}, fn<send_for_ever>, path_, begun);
    process q({.daemon = true}, fn<send_for_ever>, path_, begun);
    auto in = link::reader(path_);
    for (int n = begun.load(); n < 2; n = begun.load()) begun.wait(n);
    // Of each sender elements come in order; together each number comes twice at most.
    for (unsigned i = choose.below(100); i > 0; --i) {
      const auto got = in.receive();
      ASSERT_EQ(got, element(got.front()));
    }
    p.kill();
    for (int i = 0; i < 50; ++i) {
      const auto got = in.receive();
      ASSERT_EQ(got, element(got.front()));
    }
    q.kill();
    try {
      while (auto got = in.next()) ASSERT_EQ(*got, element(got->front()));
    } catch (const closed&) {  // one or both were in the middle of an element
    }
    EXPECT_EQ(in.next(), std::nullopt);
  }
}

TEST_F(SpecNamed, ReceiverIsKilled) {
  process p(fn<receive_and_die>, path_, 3);
  auto out = link::writer(path_);
  EXPECT_THROW(
      {
        for (;;) out.send(element(1000));  // and no SIGPIPE
      },
      closed);
  out.close();
  p.join();
  // What it has left is used again, by others.
  process next(fn<receive_some>, path_, 2);
  auto again = link::writer(path_);
  again.send(element(1));
  again.send(element(2));
  EXPECT_TRUE(next.join().success());
}

TEST_F(SpecNamed, FilesAreRemovedByWhoMadeThem) {
  {
    process p(fn<send_and_end>, path_, 2, 3);
    auto in = link::reader(path_, {.permissions = 0640});
    EXPECT_EQ(in.receive(), element(0));
    EXPECT_EQ(in.receive(), element(1));
    EXPECT_EQ(in.next(), std::nullopt);
    p.join();
  }
  EXPECT_FALSE(exists(path_));
}

TEST_F(SpecNamed, PermissionsWhateverTheMask) {
  const ::mode_t before = ::umask(0077);
  struct ::stat there{};
  {
    std::jthread second([&] {
      // The file may be there before its permissions are.
      while (::stat(path_.c_str(), &there) != 0 || (there.st_mode & 0777) != 0646) std::this_thread::yield();
      auto out = link::writer(path_);
      out.send(element(4));
    });
    auto in = link::reader(path_, {.permissions = 0646});
    EXPECT_EQ(in.receive(), element(4));
  }
  ::umask(before);
  EXPECT_EQ(there.st_mode & 0777, 0646u);
}

TEST_F(SpecNamed, LimitBoundsTheWait) {
  EXPECT_THROW(static_cast<void>(link::writer(path_, {.limit = 1ms})), timed_out);
  EXPECT_THROW(static_cast<void>(link::reader(path_, {.limit = 1ms})), timed_out);
  EXPECT_THROW(static_cast<void>(link::writer(path_, {.limit = -1s})), timed_out);
  EXPECT_THAT(tutti_test::text_of([&] { static_cast<void>(link::writer(path_, {.limit = 0s})); }), HasSubstr(path_));
  EXPECT_FALSE(exists(path_));
}

TEST_F(SpecNamed, BadPaths) {
  const auto writer = [](const std::string& path) { static_cast<void>(link::writer(path, {.limit = 0s})); };
  EXPECT_EQ(code_of([&] { writer("/no/such/folder/file"); }, "/no/such/folder/file"), ENOENT);
  EXPECT_EQ(code_of([&] { writer("/etc/passwd/file"); }, "/etc/passwd/file"), ENOTDIR);
  code_of([&] { writer("/etc/passwd"); }, "/etc/passwd");  // another file of that name
  code_of([&] { writer("/usr"); }, "/usr");
  code_of([&] { static_cast<void>(link::reader("/etc/passwd", {.limit = 0s})); }, "/etc/passwd");
  EXPECT_ANY_THROW(writer(""));
  std::ofstream(path_) << "text";
  code_of([&] { writer(path_); }, path_);
  EXPECT_TRUE(exists(path_));  // not ours to remove
}

TEST_F(SpecNamed, OneReceives) {
  const shared_value<int> begun(0);
  process p({.daemon = true}, fn<send_for_ever>, path_, begun);
  auto in = link::reader(path_);
  EXPECT_GT(code_of([&] { static_cast<void>(link::reader(path_, {.limit = 1ms})); }, path_), 0);
  EXPECT_EQ(in.receive(), element(0));
}

TEST_F(SpecNamed, StrangersWriteNonsense) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  const unique_fd holds(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  const std::string nonsense(300, '\xee');
  process p(fn<send_and_end>, path_, 20, 3);
  auto in = link::reader(path_);
  EXPECT_EQ(in.receive(), element(0));
  ASSERT_EQ(::write(holds.get(), nonsense.data(), nonsense.size()), 300);
  int met = 0, next = 1;
  while (next < 20) {
    try {
      EXPECT_EQ(in.receive(), element(next));
      ++next;
    } catch (const decode_error&) {
      ASSERT_LT(++met, 100);
    }
  }
  // All of ours arrived; the nonsense may come behind it.
  p.join();
  try {
    while (in.try_receive()) {
    }
  } catch (const decode_error&) {
    ++met;
  }
  EXPECT_GE(met, 1);
}

TEST_F(SpecNamed, LargeElements) {
  process p(fn<receive_some>, path_, 2);
  auto out = link::writer(path_);
  out.send(std::vector<int>(1'000'000, 1));
  out.send(std::vector<int>(1'000'000, 2));
  EXPECT_TRUE(p.join().success());
}

TEST_F(SpecNamed, TriesDoNotDeliverHalves) {
  const shared_value<int> go(0);
  process p({.err = stdio::null()}, fn<receive_and_die>, path_, 1);
  auto out = link::writer(path_);
  out.send(element(1));
  int refused = 0;
  try {
    for (;;) refused += out.send_for(1ms, element(2999)) ? 0 : 1;
  } catch (const closed&) {
  }
  EXPECT_GE(refused, 0);
}

}  // namespace
}  // namespace tutti
