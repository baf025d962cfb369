// Programs that meet at a path: what they send arrives whole, whoever is killed, and strangers do no harm.
#include <gtest/gtest.h>
#include <tutti/process/named_channel.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/process_queue.hpp>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/meeting_place.hpp>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::named_channel;
using tutti::named_writer;
using tutti_test::child;
using tutti_test::text_of;

class NamedChannel : public tutti_test::meeting_place {};

::mode_t mode_of(const std::filesystem::path& path) {
  struct ::stat about{};
  EXPECT_EQ(::lstat(path.c_str(), &about), 0) << path;
  return about.st_mode & 07777;
}

TEST_F(NamedChannel, ProgramsMeetWhoeverComesFirst) {
  for (const bool writer_first : {false, true}) {
    const ::pid_t reader = ::getpid();
    child sender([&, reader] {
      if (!writer_first) tutti_test::until_asleep(reader);
      auto out = named_channel<std::vector<int>>::writer(path_);
      for (int i = 0; i < 1000; ++i) out.send({i, i + 1});
      return 0;
    });
    if (writer_first) {
      while (!std::filesystem::exists(path_)) ::sched_yield();
      tutti_test::until_asleep(sender.pid());
    }
    auto in = named_channel<std::vector<int>>::reader(path_);
    int expected = 0;
    for (const auto& one : in) {
      ASSERT_EQ(one, (std::vector<int>{expected, expected + 1}));
      ++expected;
    }
    EXPECT_EQ(expected, 1000);
    EXPECT_THROW(in.receive(), tutti::closed);
    EXPECT_EQ(sender.join(), 0);
    in.close();
    EXPECT_FALSE(std::filesystem::exists(path_)) << "who made it has removed it";
  }
}

TEST_F(NamedChannel, ASilentWriterIsSeenToo) {
  auto [in, out] = both<std::string>();
  EXPECT_EQ(in.path(), path_);
  EXPECT_FALSE(in.try_receive());
  EXPECT_FALSE(in.receive_for(1ms));
  EXPECT_TRUE(out.try_send("one"));
  EXPECT_TRUE(out.send_for(1s, "two"));
  EXPECT_EQ(in.receive(), "one");
  EXPECT_EQ(in.next(), "two");
  out.close();
  EXPECT_FALSE(in.next());
  EXPECT_THROW(static_cast<void>(in.try_receive()), tutti::closed);
}

TEST_F(NamedChannel, AllSizes) {
  auto [in, out] = both<std::string>();
  std::jthread sender([&, &to = out] {
    for (std::size_t n = 1; n < 3'000'000; n = n * 5 / 4 + 1) to.send(std::string(n, static_cast<char>('a' + n % 26)));
    to.close();
  });
  for (std::size_t n = 1; n < 3'000'000; n = n * 5 / 4 + 1)
    ASSERT_EQ(in.receive(), std::string(n, static_cast<char>('a' + n % 26)));
  EXPECT_FALSE(in.next());
}

TEST_F(NamedChannel, LargeOnesOfManyWritersStayApart) {
  using element = std::pair<int, std::vector<std::uint32_t>>;
  constexpr int writers = 4;
  tutti::process_queue<int> go(writers);
  std::vector<child> senders;
  for (int i = 0; i < writers; ++i) {
    senders.emplace_back([&, i] {
      auto out = named_channel<element>::writer(path_);
      out.send({i, {}});
      go.receive();  // all are there: it is not at its end before the last
      for (std::uint32_t n = 0; n < 60; ++n)
        out.send({i, std::vector<std::uint32_t>(n * 1000 % 40'000, n * 4 + static_cast<std::uint32_t>(i))});
      return 0;
    });
  }
  auto in = named_channel<element>::reader(path_);
  for (int i = 0; i < writers; ++i) EXPECT_TRUE(in.receive().second.empty());
  for (int i = 0; i < writers; ++i) go.send(i);
  std::uint32_t next[writers] = {};
  for (const auto& [i, all] : in) {
    const std::uint32_t n = next[i]++;
    ASSERT_EQ(all.size(), n * 1000 % 40'000);
    ASSERT_EQ(std::count(all.begin(), all.end(), n * 4 + static_cast<std::uint32_t>(i)),
              static_cast<std::ptrdiff_t>(all.size()));
  }
  for (const std::uint32_t n : next) EXPECT_EQ(n, 60u);
  for (child& one : senders) EXPECT_EQ(one.join(), 0);
}

TEST_F(NamedChannel, SendersSeeThatNobodyReceivesAndNoSignalIsRaised) {
  auto [in, out] = both<std::string>();
  out.send("lost");
  in.close();
  EXPECT_THROW(out.send("one"), tutti::closed);
  EXPECT_THROW(out.send(std::string(100'000, 'x')), tutti::closed);
  EXPECT_THROW(static_cast<void>(out.try_send("three")), tutti::closed);
  ::sigset_t waiting;
  ::sigpending(&waiting);
  EXPECT_EQ(::sigismember(&waiting, SIGPIPE), 0);
  ::sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_EQ(::sigismember(&blocked, SIGPIPE), 0);
}

TEST_F(NamedChannel, WhatWasGivenUpIsNotDelivered) {
  auto [in, out] = both<std::string>();
  const std::string large(10'000'000, 'x');
  EXPECT_FALSE(out.send_for(1ms, large));
  EXPECT_FALSE(out.try_send(large));
  std::jthread sender([&, &to = out] { to.send("small"); });
  EXPECT_EQ(in.receive(), "small");
  sender.join();
  EXPECT_FALSE(out.try_send(large));
  EXPECT_FALSE(in.try_receive()) << "makes room";
  out.close();
  EXPECT_FALSE(in.next()) << "given up, not killed";
}

TEST_F(NamedChannel, AnElementOfAnotherTypeIsADecodeError) {
  auto [in, out] = both<std::string>();
  auto other = named_channel<std::uint8_t>::writer(path_);
  other.send(200);
  out.send("next");
  EXPECT_THROW(in.receive(), tutti::decode_error);
  EXPECT_EQ(in.receive(), "next");
}

TEST_F(NamedChannel, PermissionsAreThoseAskedFor) {
  const ::mode_t before = ::umask(077);
  {
    auto [in, out] = both<int>();
    EXPECT_EQ(mode_of(path_) & 0777, 0600u);
  }
  child waits([&] {
    static_cast<void>(named_channel<int>::reader(directory_ / "wide", {.permissions = 0622}));
    return 0;
  });
  while (!std::filesystem::exists(directory_ / "wide")) ::sched_yield();
  EXPECT_EQ(mode_of(directory_ / "wide") & 0777, 0622u) << "it was never there with others";
  ::umask(before);
}

TEST_F(NamedChannel, WhatAKilledProgramLeftIsUsedAndRemoved) {
  child killed([&] {
    static_cast<void>(named_channel<int>::reader(path_));
    return 0;
  });
  while (!std::filesystem::exists(path_)) ::sched_yield();
  tutti_test::until_asleep(killed.pid());
  killed.kill();
  ASSERT_TRUE(std::filesystem::exists(path_));
  {
    auto [in, out] = both<int>();
    out.send(1);
    EXPECT_EQ(in.receive(), 1);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(NamedChannel, WhatSomebodyHasMadeIsUsedAndLeft) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0640), 0);
  for (int round = 0; round < 2; ++round) {
    auto [in, out] = both<int>();
    out.send(1);
    EXPECT_EQ(in.receive(), 1);
    out.close();
    EXPECT_FALSE(in.next());
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_EQ(mode_of(path_) & 0777, mode_of(path_)) << "no mark of ours";
}

TEST_F(NamedChannel, WhoComesAfterTheEndMeetsNobody) {
  for (const bool was_there : {false, true}) {
    if (was_there) {
      ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
    }
    auto [in, out] = both<std::string>();
    out.send("one");
    out.close();
    EXPECT_EQ(in.receive(), "one");
    EXPECT_FALSE(in.next());
    EXPECT_THROW(static_cast<void>(named_channel<std::string>::writer(path_, {.limit = 0s})), tutti::timed_out);
    EXPECT_TRUE(in) << "it is at its end, and not closed by its owner";
    EXPECT_FALSE(in.next());
    EXPECT_THROW(in.receive(), tutti::closed);
    auto [next_in, next_out] = both<std::string>();  // although the first reader is still an object
    next_out.send("two");
    EXPECT_EQ(next_in.receive(), "two");
    EXPECT_FALSE(in.next());
    in.close();
    EXPECT_THROW(static_cast<void>(in.next()), std::logic_error);
    next_in.close();
    EXPECT_EQ(std::filesystem::exists(path_), was_there);
  }
}

TEST_F(NamedChannel, WritersComeAndGoUnderALivingReader) {
  child maker([&](const tutti_test::talk& parent) {
    auto out = named_channel<int>::writer(path_);
    parent.hear();
    out.send(1);
    return 0;
  });
  while (!std::filesystem::exists(path_)) ::sched_yield();
  auto in = named_channel<int>::reader(path_);
  auto second = named_channel<int>::writer(path_);
  maker.say();
  EXPECT_EQ(in.receive(), 1);
  EXPECT_EQ(maker.join(), 0);
  auto third = named_channel<int>::writer(path_, {.limit = 0s});  // the reader is there
  second.send(2);
  third.send(3);
  EXPECT_EQ(in.receive(), 2);
  EXPECT_EQ(in.receive(), 3);
  second.close();
  third.close();
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_FALSE(in.next());
  EXPECT_TRUE(std::filesystem::is_empty(directory_)) << "the reader is at its end";
}

TEST_F(NamedChannel, AForkedCopyRemovesNothing) {
  auto [in, out] = both<int>();
  child copy([&, &from = in, &to = out] {
    from.close();
    to.close();
    return 0;
  });
  EXPECT_EQ(copy.join(), 0);
  EXPECT_TRUE(std::filesystem::exists(path_));
  out.send(1);
  EXPECT_EQ(in.receive(), 1);
}

TEST_F(NamedChannel, WaitingHasALimit) {
  EXPECT_THROW(static_cast<void>(named_channel<int>::reader(path_, {.limit = 0s})), tutti::timed_out);
  EXPECT_FALSE(std::filesystem::exists(path_)) << "it had made it";
  EXPECT_THROW(static_cast<void>(named_channel<int>::writer(path_, {.limit = 1ms})), tutti::timed_out);
  const std::string text =
      text_of([&] { static_cast<void>(named_channel<int>::writer(path_, {.limit = std::chrono::nanoseconds(-1)})); });
  EXPECT_NE(text.find("nobody has opened it to receive"), std::string::npos) << text;
}

TEST_F(NamedChannel, WhatCannotBeOpenedNamesThePathAndTheWayOut) {
  std::ofstream(path_) << "a file";
  std::string text = text_of([&] { static_cast<void>(named_channel<int>::reader(path_)); });
  EXPECT_NE(text.find(path_.native() + "\": there is a regular file"), std::string::npos) << text;
  EXPECT_TRUE(std::filesystem::exists(path_));
  text = text_of([&] { static_cast<void>(named_channel<int>::writer(directory_)); });
  EXPECT_NE(text.find("there is a directory"), std::string::npos) << text;
  text = text_of([&] { static_cast<void>(named_channel<int>::writer(directory_ / "no" / "jobs")); });
  EXPECT_NE(text.find("make its directory first"), std::string::npos) << text;
  ASSERT_EQ(::mkfifo((directory_ / "closed").c_str(), 0), 0);
  child somebody([&] {
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 3;  // root may do anything
    for (const char* name : {"closed", "new"}) {
      const std::string why = text_of([&] { static_cast<void>(named_channel<int>::reader(directory_ / name)); });
      if (why.find("give permission") == std::string::npos || why.find(name) == std::string::npos) {
        std::fprintf(stderr, "%s\n", why.c_str());
        return 4;
      }
      if (::geteuid() != 65534) break;  // the directory is ours
    }
    return 0;
  });
  EXPECT_EQ(somebody.join(), 0);
}

TEST_F(NamedChannel, OneReceivesAtATime) {
  auto [in, out] = both<int>();
  const std::string text = text_of([&] { static_cast<void>(named_channel<int>::reader(path_)); });
  EXPECT_NE(text.find("another program receives from it"), std::string::npos) << text;
  out.send(1);
  EXPECT_EQ(in.receive(), 1);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(NamedChannel, MisuseIsNamed) {
  named_writer<int> none;
  EXPECT_FALSE(none);
  EXPECT_NE(text_of([&] { none.send(1); }).find("open one by its path"), std::string::npos);
  none.close();
  auto queues = both<tutti::process_queue<int>>();
  EXPECT_THROW(queues.second.send(tutti::process_queue<int>(1)), tutti::encode_error);
  queues.first.close();
  queues.second.close();
  auto [in, out] = both<int>();
  out.close();
  EXPECT_FALSE(out);
  EXPECT_THROW(out.send(1), std::logic_error);
  in.close();
  EXPECT_THROW(static_cast<void>(in.try_receive()), std::logic_error);
}

}  // namespace
