// Named channels whose writers are killed or give up, whose reader is killed, and strangers who write to them.
#include <gtest/gtest.h>
#include <tutti/process/named_channel.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/no_sigpipe.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/meeting_place.hpp>
#include <thread>
#include <vector>

namespace {

using tutti::named_channel;
using tutti::named_writer;
using tutti_test::child;
using tutti_test::text_of;

class NamedChannelFaults : public tutti_test::meeting_place {};

TEST_F(NamedChannelFaults, AWriterKilledInTheMiddleDisturbsNobody) {
  child killed([&] {
    auto out = named_channel<std::string>::writer(path_);
    out.send("whole");
    out.send(std::string(10'000'000, 'x'));
    return 0;
  });
  auto in = named_channel<std::string>::reader(path_);
  EXPECT_EQ(in.receive(), "whole");
  tutti_test::until_asleep(killed.pid());  // stuck, as nobody reads
  auto out = named_channel<std::string>::writer(path_);
  killed.kill();
  std::jthread other([&] {
    out.send("other");
    out.send("another");
    out.close();
  });
  EXPECT_EQ(in.receive(), "other");
  EXPECT_EQ(in.receive(), "another");
  const std::string text = text_of([&] { static_cast<void>(in.next()); });
  EXPECT_NE(text.find("1 of them in the middle of a message"), std::string::npos) << text;
  EXPECT_FALSE(in.next());
}

TEST_F(NamedChannelFaults, WritersKilledAtAnyMoment) {
  tutti_test::choices choices(21);
  for (int round = 0; round < 15; ++round) {
    const unsigned most = 1 + choices.below(60'000);
    const unsigned until = 1 + choices.below(100);
    std::vector<child> senders;
    for (int i = 0; i < 2; ++i) {
      senders.emplace_back([&, i] {
        auto out = named_channel<std::pair<int, std::string>>::writer(path_);
        for (unsigned n = 0;; ++n) out.send({i, std::string(n * 7919 % most, static_cast<char>('a' + n % 26))});
        return 0;
      });
    }
    auto in = named_channel<std::pair<int, std::string>>::reader(path_);
    unsigned next[2] = {};
    try {
      for (const auto& [i, text] : in) {
        const unsigned n = next[i]++;
        ASSERT_EQ(text, std::string(n * 7919 % most, static_cast<char>('a' + n % 26)));
        if (n == until) senders[static_cast<std::size_t>(i)].kill();
      }
    } catch (const tutti::closed& half) {
      EXPECT_NE(std::string(half.what()).find("in the middle"), std::string::npos);
    }
    // One may not have opened it before the other was gone.
    EXPECT_TRUE(next[0] > until || next[1] > until);
  }
}

TEST_F(NamedChannelFaults, ASleepingSenderSeesTheReceiverKilled) {
  child killed([&] {
    auto in = named_channel<std::string>::reader(path_);
    in.receive();
    ::pause();
    return 0;
  });
  const ::pid_t sender = ::getpid();
  auto out = named_channel<std::string>::writer(path_);
  out.send("first");
  child killer([&, sender] {
    tutti_test::until_asleep(sender);
    ::kill(killed.pid(), SIGKILL);
    return 0;
  });
  EXPECT_THROW(out.send(std::string(10'000'000, 'x')), tutti::closed);
  EXPECT_EQ(killed.join(), 1000 + SIGKILL);
  EXPECT_EQ(killer.join(), 0);
}

TEST_F(NamedChannelFaults, StrangersBytesAreAnErrorAndTheNextMessagesAreFound) {
  auto [in, out] = both<std::string>();
  out.send("one");
  write_raw("hello there, this is no message\n");
  out.send("two");
  write_raw("x");
  out.send("three");
  EXPECT_EQ(in.receive(), "one");
  const std::string text = text_of([&, &from = in] { from.receive(); });
  EXPECT_NE(text.find("32 bytes that are no message"), std::string::npos) << text;
  EXPECT_EQ(in.receive(), "two");
  EXPECT_THROW(in.receive(), tutti::decode_error);
  EXPECT_EQ(in.receive(), "three");
  write_raw("tut!");
  out.close();
  EXPECT_THROW(in.receive(), tutti::decode_error);
  EXPECT_THROW(in.receive(), tutti::closed);
}

// What a real piece looks like, to be spoilt.
std::string piece(named_writer<std::string>& out, const std::filesystem::path& path) {
  out.send("some text");
  const tutti::unique_fd from(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  std::string bytes(4096, '\0');
  const ::ssize_t n = ::read(from.get(), bytes.data(), bytes.size());
  bytes.resize(static_cast<std::size_t>(std::max<::ssize_t>(n, 0)));
  return bytes;
}

TEST_F(NamedChannelFaults, SpoiltPiecesAreErrors) {
  tutti_test::choices choices(22);
  auto [in, out] = both<std::string>();
  const std::string good = piece(out, path_);
  ASSERT_EQ(good.size(), sizeof(tutti::detail::piece_head) + 10);
  for (int round = 0; round < 2000; ++round) {
    std::string bad = good;
    for (unsigned i = choices.below(4); i != 0; --i)
      bad[choices.below(static_cast<unsigned>(bad.size()))] = static_cast<char>(choices.below(256));
    if (choices.one_in(3)) bad.resize(1 + choices.below(static_cast<unsigned>(bad.size())));
    write_raw(bad);
    for (;;) {
      try {
        if (!in.try_receive()) break;
      } catch (const tutti::decode_error&) {
      }
    }
  }
  write_raw(good + good);
  int received = 0;
  for (;;) {
    try {
      const auto text = in.try_receive();
      if (!text) break;
      received += *text == "some text" ? 1 : 0;
    } catch (const tutti::decode_error&) {
    }
  }
  EXPECT_GE(received, 1) << "a torn piece before it may have eaten the first";
}

// Of so many that began and did not end, those who go on are not forgotten.
TEST_F(NamedChannelFaults, ManyKilledInTheMiddleDoNotTakeTheLivingWithThem) {
  auto [in, out] = both<std::string>();
  const auto write_piece = [&](std::uint64_t sender, std::string_view bytes, std::size_t left, std::uint16_t flags) {
    tutti::detail::piece_head head{.magic = 0x21747574,
                                   .check = 0,
                                   .sender = sender,
                                   .left = left,
                                   .number = 1,
                                   .size = static_cast<std::uint16_t>(bytes.size()),
                                   .flags = flags};
    head.check = tutti::detail::check_of(head);
    write_raw(std::string(reinterpret_cast<const char*>(&head), sizeof head) + std::string(bytes));
  };
  const std::string whole = tutti::encode(std::string("from the living"));
  constexpr std::uint64_t living = 10'000, most = 1000;
  write_piece(1, "x", 2, 1);
  write_piece(living, std::string_view(whole).substr(0, 4), whole.size(), 1);
  for (std::uint64_t sender = 2; sender <= most; ++sender) {  // the last is one more than are kept
    write_piece(sender, "x", 2, 1);
    EXPECT_FALSE(in.try_receive());
  }
  write_piece(living, std::string_view(whole).substr(4), whole.size() - 4, 0);
  EXPECT_EQ(in.try_receive(), "from the living");
  out.close();
  const std::string text = text_of([&, &from = in] { from.receive(); });
  EXPECT_NE(text.find(std::to_string(most) + " of them in the middle"), std::string::npos) << text;
}

std::atomic<int> caught = 0;

TEST_F(NamedChannelFaults, ASignalThatSomebodyElseSendsMeanwhileArrives) {
  struct ::sigaction count{};
  struct ::sigaction before{};
  count.sa_handler = [](int) { ++caught; };
  ASSERT_EQ(::sigaction(SIGPIPE, &count, &before), 0);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  caught = 0;
  {
    tutti::detail::no_sigpipe quiet;
    EXPECT_LT(::write(ends[1], "x", 1), 0);
    quiet.raised();
  }
  EXPECT_EQ(caught, 0) << "its own";
  {
    const tutti::detail::no_sigpipe quiet;
    ::pthread_kill(::pthread_self(), SIGPIPE);
    EXPECT_EQ(caught, 0);
  }
  EXPECT_EQ(caught, 1);
  ::close(ends[1]);
  ::sigaction(SIGPIPE, &before, nullptr);
}

// Who claims much and sends little gets no memory for it.
TEST_F(NamedChannelFaults, HugeClaimsAreNotBelieved) {
  auto [in, out] = both<std::string>();
  const std::string good = piece(out, path_);
  tutti::detail::piece_head head{};
  for (const std::uint64_t claim : {std::uint64_t{1} << 29, std::uint64_t{1} << 31, ~std::uint64_t{0}}) {
    std::memcpy(&head, good.data(), sizeof head);
    head.left = claim;
    ++head.sender;
    head.check = tutti::detail::check_of(head);
    std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
    write_raw(bytes + std::string(head.size, 'x'));
    if (claim < tutti::detail::most_named_message_bytes) {
      EXPECT_FALSE(in.try_receive());
    } else {
      EXPECT_THROW(static_cast<void>(in.try_receive()), tutti::decode_error);
      try {
        while (in.try_receive()) {
        }
      } catch (const tutti::decode_error&) {
      }
    }
  }
}

}  // namespace
