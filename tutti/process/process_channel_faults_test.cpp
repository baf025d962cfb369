// Process channels whose other end is killed, at known points and at any moment, or goes mad.
#include <gtest/gtest.h>
#include <tutti/process/process_channel.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/process/shared_memory.hpp>
#include <tutti/process/shared_value.hpp>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/few_descriptors.hpp>
#include <vector>

namespace {

using tutti::process_channel;
using tutti::process_reader;
using tutti::process_writer;
using tutti_test::child;
using tutti_test::text_of;

class ProcessChannelFaults : public tutti_test::clean_test {};

TEST_F(ProcessChannelFaults, ASleeperSeesTheOtherSideKilled) {
  auto [here, there] = process_channel<int>::pair();
  child killed([&, &mine = there, &other = here] {
    other.close();
    mine.send(1);
    ::pause();
    return 0;
  });
  there.close();
  EXPECT_EQ(here.receive(), 1);
  EXPECT_EQ(killed.kill(), 1000 + SIGKILL);
  EXPECT_THROW(here.receive(), tutti::closed);
  EXPECT_THROW(
      {
        for (;;) here.send(2);
      },
      tutti::closed);
}

TEST_F(ProcessChannelFaults, HalfAnElementIsNeverDelivered) {
  auto [in, out] = process_channel<std::string>::simplex();
  auto [go, told] = process_channel<int>::simplex();
  child killed([&, &from = in, &to = out, &tell = told] {
    from.close();
    to.send("whole");
    tell.send(1);
    to.send(std::string(1'000'000, 'x'));
    return 0;
  });
  out.close();
  told.close();
  EXPECT_EQ(go.receive(), 1);
  tutti_test::until_asleep(killed.pid());  // nobody takes it: it is stuck in there
  killed.kill();
  EXPECT_EQ(in.receive(), "whole");
  const std::string text = text_of([&, &from = in] { from.receive(); });
  EXPECT_NE(text.find("in the middle of a message"), std::string::npos) << text;
  EXPECT_NE(text.find(" of 100000"), std::string::npos) << text;
  EXPECT_FALSE(in.next());
}

TEST_F(ProcessChannelFaults, ASenderInTheMiddleSeesTheReceiverGoAndStaysClosed) {
  auto [in, out] = process_channel<std::string>::simplex();
  const ::pid_t sender = ::getpid();
  child receiver([&, sender, &to = out] {
    to.close();
    tutti_test::until_asleep(sender);
    return 0;
  });
  in.close();
  EXPECT_THROW(out.send(std::string(10'000'000, 'x')), tutti::closed);
  EXPECT_EQ(receiver.join(), 0);
  EXPECT_FALSE(out);
  EXPECT_THROW(out.send("more"), tutti::closed) << "that is no misuse";
  EXPECT_THROW(static_cast<void>(out.try_send("more")), tutti::closed);
}

TEST_F(ProcessChannelFaults, KilledAtAnyMomentWhatArrivesIsWhole) {
  tutti_test::choices choices(1);
  for (int round = 0; round < 40; ++round) {
    auto [in, out] = process_channel<std::vector<std::uint32_t>>::simplex();
    const unsigned sizes = 1 + choices.below(200'000);
    child killed([&, &from = in, &to = out] {
      from.close();
      for (std::uint32_t i = 0;; ++i) to.send(std::vector<std::uint32_t>(i * 7919 % sizes, i));
      return 0;
    });
    out.close();
    const unsigned until = choices.below(60);
    std::uint32_t expected = 0;
    bool dead = false;
    try {
      for (const std::vector<std::uint32_t>& all : in) {
        ASSERT_EQ(all.size(), expected * 7919 % sizes);
        ASSERT_EQ(std::count(all.begin(), all.end(), expected), static_cast<std::ptrdiff_t>(all.size()));
        if (++expected > until && !dead) {
          dead = true;
          killed.kill();
        }
      }
    } catch (const tutti::closed& half) {
      EXPECT_NE(std::string(half.what()).find("in the middle of a message"), std::string::npos);
    }
    EXPECT_TRUE(dead);
    EXPECT_FALSE(in.next());
  }
}

TEST_F(ProcessChannelFaults, ASenderSeesTheReceiverKilledAtAnyMoment) {
  tutti_test::choices choices(2);
  for (int round = 0; round < 40; ++round) {
    auto [in, out] = process_channel<std::string>::simplex();
    const unsigned until = choices.below(100);
    child killed([&, &from = in, &to = out] {
      to.close();
      for (unsigned i = 0; i < until; ++i) from.receive();
      ::kill(::getpid(), SIGKILL);
      return 0;
    });
    in.close();
    EXPECT_THROW(
        {
          for (;;) out.send(std::string(choices.below(3000), 'x'));
        },
        tutti::closed);
    EXPECT_EQ(killed.join(), 1000 + SIGKILL);
  }
}

TEST_F(ProcessChannelFaults, MoreDescriptorsOnTheirWayThanAreAllowedWait) {
  child somebody([] {
    if (!tutti_test::allow_descriptors(256)) return 1;
    auto [in, out] = process_channel<std::vector<tutti::shared_value<int>>>::simplex();
    const std::vector<tutti::shared_value<int>> some(100, tutti::shared_value<int>(5));
    int sent = 0;
    while (out.try_send(some)) ++sent;
    if (sent < 1 || sent > 5) return 2;  // the limit of their number was met, not that of the socket
    if (out.send_for(std::chrono::milliseconds(2), some)) return 3;
    child sender([&, &from = in, &to = out] {
      from.close();
      to.send(some);
      return 0;
    });
    out.close();
    sender.until_asleep();
    for (++sent; sent != 0; --sent) {
      if (in.receive().at(99).load() != 5) return 4;
    }
    return in.next() ? 5 : sender.join();
  });
  EXPECT_EQ(somebody.join(), 0);
}

// The socket of an end; the end is as before.
template <class End>
tutti::unique_fd socket_of(End& end) {
  tutti::detail::outgoing_handles handles;
  const std::string bytes = tutti::encode(end);
  std::vector<tutti::unique_fd> given = handles.take();
  tutti::unique_fd socket(::dup(given[1].get()));
  const tutti::detail::incoming_handles back(std::move(given));
  end = tutti::decode<End>(bytes);
  return socket;
}

TEST_F(ProcessChannelFaults, WhoEndsWithAnUnreadBellHasSentAll) {
  using element = std::pair<std::string, std::optional<process_writer<int>>>;
  auto [in, out] = process_channel<element>::simplex();
  ASSERT_EQ(::send(socket_of(in).get(), "b", 1, 0), 1);
  auto [numbers, number] = process_channel<int>::simplex();
  out.send(element("with a handle", std::move(number)));
  out.send(element("and one more", std::nullopt));
  out.close();
  element got = in.receive();
  EXPECT_EQ(got.first, "with a handle");
  got.second->send(7);
  EXPECT_EQ(numbers.receive(), 7);
  EXPECT_EQ(in.receive().first, "and one more");
  EXPECT_FALSE(in.next());
}

TEST_F(ProcessChannelFaults, ASleeperSeesTheEndOfWhoLeftABellUnread) {
  auto [in, out] = process_channel<int>::simplex();
  ASSERT_EQ(::send(socket_of(in).get(), "b", 1, 0), 1);
  child sender([&, &from = in, &to = out](const tutti_test::talk& parent) {
    from.close();
    parent.hear();
    to.send(1);
    return 0;
  });
  out.close();
  const ::pid_t receiver = ::getpid();
  child waker([&, receiver] {
    tutti_test::until_asleep(receiver);
    sender.say();
    return 0;
  });
  EXPECT_EQ(in.receive(), 1);
  EXPECT_FALSE(in.next());
  EXPECT_EQ(sender.join(), 0);
  EXPECT_EQ(waker.join(), 0);
}

TEST_F(ProcessChannelFaults, WhoWouldBlockIsNotRung) {
  auto [in, out] = process_channel<std::string>::simplex();
  const std::string some(50'000, 'x');
  int sent = 0;
  while (out.try_send(some)) ++sent;
  tutti::run_loop loop;
  loop.post([&, &from = in, &to = out] {
    EXPECT_THROW(to.send(some), tutti::would_block);
    for (; sent > 0; --sent) EXPECT_EQ(from.receive(), some);
    EXPECT_THROW(from.receive(), tutti::would_block);
    to.send(some);
    EXPECT_EQ(from.receive(), some);
    loop.shutdown();
  });
  loop.run();
  for (const tutti::unique_fd& socket : {socket_of(in), socket_of(out)}) {
    char bell = 0;
    EXPECT_LT(::recv(socket.get(), &bell, 1, MSG_DONTWAIT), 0) << "a bell that nobody waited for";
  }
}

// A process gone mad writes what it likes into the shared memory: errors, never a wrong access.
TEST_F(ProcessChannelFaults, NonsenseInTheSharedMemoryIsAnError) {
  tutti_test::choices choices(3);
  int errors = 0;
  for (int round = 0; round < 300; ++round) {
    auto [in, out] = process_channel<std::string>::simplex();
    tutti::detail::outgoing_handles handles;
    const std::string bytes = tutti::encode(out);
    tutti::detail::shared_memory memory(tutti::unique_fd(::dup(handles.all()[0].get())), "a test");
    auto given = handles.take();
    {
      const tutti::detail::incoming_handles back(std::move(given));
      out = tutti::decode<process_writer<std::string>>(bytes);
    }
    out.send("one");
    out.send("two");
    const unsigned places = round % 3 == 0 ? 4096 + 64 : 4096;
    const unsigned from = round % 3 == 0 ? 4096 : 128;
    for (unsigned i = 0; i < 30; ++i)
      memory.data()[from + choices.below(places - from)] = static_cast<std::byte>(choices.below(256));
    bool mad = false;
    for (int i = 0; i < 10 && !mad; ++i) {
      try {
        static_cast<void>(out.try_send("three"));
        const auto text = in.try_receive();
        EXPECT_TRUE(!text || text->size() <= tutti::detail::usual_ring_bytes);
        if (!text) break;
      } catch (const tutti::decode_error&) {
        mad = true;
      } catch (const tutti::os_error& lost) {  // descriptors that its header promised
        EXPECT_EQ(lost.code(), EMFILE);
      }
    }
    errors += mad ? 1 : 0;
    if (!in) {
      EXPECT_FALSE(in.next());
      EXPECT_THROW(in.receive(), tutti::closed);
    }
    if (!out) {
      EXPECT_THROW(out.send("four"), tutti::closed);
    }
  }
  EXPECT_GT(errors, 0);
  tutti::detail::shared_memory other(5000, "a test");
  tutti::detail::outgoing_handles handles;
  process_reader<int> none;
  const std::string bytes = [&] {
    auto [in, out] = process_channel<int>::simplex();
    std::string text = tutti::encode(in);
    static_cast<void>(handles.take());
    return text;
  }();
  std::vector<tutti::unique_fd> wrong;
  wrong.emplace_back(::dup(other.fd()));
  wrong.emplace_back(::dup(0));
  const tutti::detail::incoming_handles in(std::move(wrong));
  EXPECT_THROW(none = tutti::decode<process_reader<int>>(bytes), tutti::decode_error);
}

}  // namespace
