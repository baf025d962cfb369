// Ends of process channels in one process and in forked children: everything arrives, and an end that is gone is seen.
#include <gtest/gtest.h>
#include <tutti/process/process_channel.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/process/shared_memory.hpp>

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::process_channel;
using tutti::process_reader;
using tutti::process_writer;
using tutti_test::child;
using tutti_test::text_of;

class ProcessChannel : public tutti_test::clean_test {};

std::vector<std::uint64_t> numbers(std::size_t n) {
  std::vector<std::uint64_t> all(n);
  std::iota(all.begin(), all.end(), 7u);
  return all;
}

TEST_F(ProcessChannel, CarriesBothWays) {
  auto [here, there] = process_channel<std::string, int>::pair();
  here.send(1);
  here.send(2);
  there.send("one");
  EXPECT_EQ(there.receive(), 1);
  EXPECT_EQ(there.receive(), 2);
  EXPECT_FALSE(there.try_receive());
  EXPECT_FALSE(there.receive_for(1ms));
  EXPECT_EQ(here.receive(), "one");
}

TEST_F(ProcessChannel, DrainsAndThenIsClosed) {
  auto [in, out] = process_channel<std::string>::simplex();
  for (const char* word : {"to", "be", ""}) out.send(word);
  out.close();
  std::vector<std::string> words;
  for (std::string& word : in) words.push_back(word);
  EXPECT_EQ(words, (std::vector<std::string>{"to", "be", ""}));
  EXPECT_FALSE(in.next());
  EXPECT_THROW(in.receive(), tutti::closed);
  EXPECT_THROW(static_cast<void>(in.try_receive()), tutti::closed);
  EXPECT_THROW(static_cast<void>(in.receive_for(1s)), tutti::closed);
  EXPECT_THROW(out.send("more"), std::logic_error);
}

TEST_F(ProcessChannel, SendersSeeThatNobodyReceives) {
  auto [in, out] = process_channel<std::string>::simplex();
  in.close();
  EXPECT_THROW(
      {
        for (;;) out.send(std::string(10'000, 'x'));
      },
      tutti::closed);
}

TEST_F(ProcessChannel, FullIsFullUntilSomethingIsReceived) {
  auto [in, out] = process_channel<std::string>::simplex();
  const std::string some(50'000, 'x');
  int sent = 0;
  while (out.try_send(some)) ++sent;
  EXPECT_EQ(sent, 5);
  EXPECT_FALSE(out.send_for(1ms, some));
  EXPECT_EQ(in.receive(), some);
  EXPECT_TRUE(out.send_for(1s, some));
  for (int i = 0; i < sent; ++i) EXPECT_EQ(in.receive(), some);
  EXPECT_FALSE(in.try_receive());
}

TEST_F(ProcessChannel, WhatIsLargerThanTheRingGoesAtOnceOrNotAtAll) {
  auto [in, out] = process_channel<std::vector<std::uint64_t>>::simplex();
  const auto large = numbers(500'000);
  EXPECT_TRUE(out.try_send(large));
  EXPECT_TRUE(out.send_for(1s, large));
  EXPECT_TRUE(out.try_send(numbers(3)));
  EXPECT_EQ(in.receive(), large);
  EXPECT_EQ(in.try_receive(), large);
  EXPECT_EQ(in.receive(), numbers(3));
}

TEST_F(ProcessChannel, LargeElementsStreamThroughTheRing) {
  auto [in, out] = process_channel<std::vector<std::uint64_t>>::simplex();
  const auto large = numbers(10 * 1024 * 1024 / 8);
  child sender([&, &from = in, &to = out] {
    from.close();
    for (int i = 0; i < 3; ++i) to.send(large);
    to.send(numbers(1));
    return 0;
  });
  out.close();
  EXPECT_EQ(in.receive(), large);
  std::optional<std::vector<std::uint64_t>> next;
  while (!(next = in.try_receive())) {  // piece by piece
  }
  EXPECT_EQ(*next, large);
  while (!(next = in.receive_for(1us))) {
  }
  EXPECT_EQ(*next, large);
  EXPECT_EQ(in.receive(), numbers(1));
  EXPECT_FALSE(in.next());
  EXPECT_EQ(sender.join(), 0);
}

TEST_F(ProcessChannel, AllSizesInARowAcrossTheEndOfTheRing) {
  auto [in, out] = tutti::detail::make_ring(64);
  child sender([&, &from = in, &to = out] {
    from.close();
    const auto how = tutti::detail::message_wait::endless("a test", {});
    for (std::size_t n = 0; n < 300; ++n) to.put(std::string(n, static_cast<char>('a' + n % 26)), {}, how);
    return 0;
  });
  out.close();
  const auto how = tutti::detail::message_wait::endless("a test", {});
  tutti::detail::arrived_message message;
  for (std::size_t n = 0; n < 300; ++n) {
    ASSERT_EQ(in.take(message, how), tutti::detail::arrival::message);
    ASSERT_EQ(message.bytes, std::string(n, static_cast<char>('a' + n % 26)));
  }
  EXPECT_EQ(in.take(message, how), tutti::detail::arrival::closed);
  EXPECT_EQ(sender.join(), 0);
}

TEST_F(ProcessChannel, PingPongBetweenProcesses) {
  auto [here, there] = process_channel<int>::pair();
  child echo([&, &mine = there, &other = here] {
    other.close();
    for (int x : mine) mine.send(x + 1);
    return 0;
  });
  there.close();
  for (int i = 0; i < 500; ++i) {
    here.send(i);
    ASSERT_EQ(here.receive(), i + 1);
  }
  here.close();
  EXPECT_EQ(echo.join(), 0);
}

TEST_F(ProcessChannel, ManyInARowKeepTheirOrder) {
  auto [in, out] = process_channel<std::uint32_t>::simplex();
  constexpr std::uint32_t count = 300'000;
  child sender([&, &from = in, &to = out] {
    from.close();
    for (std::uint32_t i = 0; i < count; ++i) to.send(i);
    return 0;
  });
  out.close();
  std::uint32_t expected = 0;
  for (std::uint32_t x : in) ASSERT_EQ(x, expected++);
  EXPECT_EQ(expected, count);
  EXPECT_EQ(sender.join(), 0);
}

// What is sent by descriptor: stands for shared arrays.
struct holder {
  tutti::detail::shared_memory memory;
  template <class Archive>
  void save(Archive& archive) const {
    archive(tutti::detail::attach_duplicate(memory.fd(), "a holder"));
  }
  template <class Archive>
  void load(Archive& archive) {
    std::uint32_t number = 0;
    archive(number);
    memory = tutti::detail::shared_memory(tutti::detail::take_handle(number, "a holder"), "a holder");
  }
};

TEST_F(ProcessChannel, ElementsWithDescriptors) {
  auto [in, out] = process_channel<std::vector<holder>>::simplex();
  child sender([&, &from = in, &to = out] {
    from.close();
    for (int round = 0; round < 300; ++round) {
      std::vector<holder> some(static_cast<std::size_t>(round % 3));
      for (holder& one : some) {
        one.memory = tutti::detail::shared_memory(8, "a holder");
        *one.memory.data() = static_cast<std::byte>(round);
      }
      to.send(std::move(some));
    }
    return 0;
  });
  out.close();
  int round = 0;
  for (const std::vector<holder>& some : in) {
    ASSERT_EQ(some.size(), static_cast<std::size_t>(round % 3));
    for (const holder& one : some) ASSERT_EQ(*one.memory.data(), static_cast<std::byte>(round));
    ++round;
  }
  EXPECT_EQ(round, 300);
  EXPECT_EQ(sender.join(), 0);
}

TEST_F(ProcessChannel, TooManyDescriptorsAreRefusedAndMoreThanFitWait) {
  auto [in, out] = process_channel<std::vector<holder>>::simplex();
  const auto some = [](std::size_t n) {
    std::vector<holder> all(n);
    for (holder& one : all) one.memory = tutti::detail::shared_memory(1, "a holder");
    return all;
  };
  EXPECT_THROW(out.send(some(250)), tutti::encode_error);
  int sent = 0;
  while (out.try_send(some(1))) ++sent;
  EXPECT_GT(sent, 10);
  for (int i = 0; i < sent; ++i) EXPECT_EQ(in.receive().size(), 1u);
  EXPECT_TRUE(out.try_send(some(1)));
  EXPECT_EQ(in.receive().size(), 1u);
}

TEST_F(ProcessChannel, AnEndIsGivenAwayByBeingSent) {
  auto [requests, client] = process_channel<process_writer<int>>::simplex();
  child server([&, &from = requests, &to = client] {
    to.close();
    int i = 0;
    for (process_writer<int>& answer : from) answer.send(++i);
    return 0;
  });
  requests.close();
  for (int i = 1; i < 50; ++i) {
    auto [in, out] = process_channel<int>::simplex();
    client.send(std::move(out));
    EXPECT_FALSE(out);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_NE(text_of([&, &gone = out] { gone.send(1); }).find("given away"), std::string::npos);
    EXPECT_EQ(in.receive(), i);
    EXPECT_FALSE(in.next()) << "nobody else has it";
  }
  client.close();
  EXPECT_EQ(server.join(), 0);
}

TEST_F(ProcessChannel, AnEndThatCouldNotBeSentIsStillOurs) {
  auto [in, out] = process_channel<std::pair<std::optional<process_writer<int>>, std::string>>::simplex();
  auto [numbers_in, numbers_out] = process_channel<int>::simplex();
  while (out.try_send({std::nullopt, std::string(60'000, 'x')})) {
  }
  std::pair<std::optional<process_writer<int>>, std::string> value(std::move(numbers_out), std::string(60'000, 'x'));
  EXPECT_FALSE(out.try_send(std::move(value)));
  EXPECT_FALSE(out.send_for(1ms, std::move(value)));
  in.close();
  EXPECT_THROW(
      {
        for (;;) static_cast<void>(out.send_for(1ms, std::move(value)));
      },
      tutti::closed);
  value.first->send(5);
  EXPECT_EQ(numbers_in.receive(), 5);
}

TEST_F(ProcessChannel, ThroughTheCodecWithWhatIsInIt) {
  auto [here, there] = process_channel<std::string, int>::pair();
  here.send(1);
  there.send("waiting");
  std::string bytes;
  std::vector<tutti::unique_fd> handles;
  {
    tutti::detail::outgoing_handles out;
    bytes = tutti::encode(here);
    handles = out.take();
  }
  EXPECT_FALSE(here);
  process_channel<std::string, int> moved;
  {
    const tutti::detail::incoming_handles in(std::move(handles));
    moved = tutti::decode<process_channel<std::string, int>>(bytes);
  }
  moved.send(2);
  EXPECT_EQ(there.receive(), 1);
  EXPECT_EQ(there.receive(), 2);
  EXPECT_EQ(moved.receive(), "waiting");
  moved.close();
  EXPECT_THROW(there.receive(), tutti::closed);
}

TEST_F(ProcessChannel, HalvesOfAnEndAreForAThreadEach) {
  auto [here, there] = process_channel<int>::pair();
  auto [in, out] = std::move(here).split();
  {
    std::jthread doubles([&, &mine = there] {
      for (int x : mine) mine.send(2 * x);
      mine.close();
    });
    std::jthread feeds([&, &to = out] {
      for (int i = 0; i < 50'000; ++i) to.send(i);
      to.close();
    });
    int expected = 0;
    for (int x : in) {
      ASSERT_EQ(x, expected);
      expected += 2;
    }
    EXPECT_EQ(expected, 100'000);
  }
}

TEST_F(ProcessChannel, AWorkerThatWaitsIsReplaced) {
  auto [here, there] = process_channel<int>::pair();
  tutti::thread_pool pool(1);
  auto first = pool.submit([&, &mine = there] {
    const int x = mine.receive();  // sent by a task that starts after this one
    mine.send(x + 1);
  });
  auto second = pool.submit([&, &mine = here] {
    mine.send(1);
    return mine.receive();
  });
  EXPECT_EQ(second.get(), 2);
  first.get();
}

TEST_F(ProcessChannel, OnALoopItWouldBlock) {
  auto [here, there] = process_channel<int>::pair();
  tutti::run_loop loop;
  loop.post([&, &mine = here, &other = there] {
    EXPECT_FALSE(mine.try_receive());
    EXPECT_FALSE(mine.receive_for(0s));
    EXPECT_NE(text_of([&] { mine.receive(); }).find("submit() of it"), std::string::npos);
    EXPECT_THROW(mine.receive(), tutti::would_block);
    other.send(1);
    EXPECT_EQ(mine.receive(), 1) << "it need not wait";
    loop.shutdown();
  });
  loop.run();
}

TEST_F(ProcessChannel, OnALoopALargeElementGoesWholeOrNotAtAll) {
  using element = std::pair<std::optional<process_writer<int>>, std::string>;
  auto [in, out] = process_channel<element>::simplex();
  tutti::run_loop loop;
  loop.post([&, &to = out, &from = in] {
    const std::string large(300'000, 'x');
    to.send(element(std::nullopt, large));  // it need not wait
    int sent = 1;
    for (const std::string some(50'000, 'y'); to.try_send(element(std::nullopt, some)); ++sent) {
    }
    while (to.try_send(element(std::nullopt, ""))) ++sent;
    auto [numbers, number] = process_channel<int>::simplex();
    element value(std::move(number), large);
    EXPECT_THROW(to.send(std::move(value)), tutti::would_block);
    EXPECT_EQ(from.receive().second, large);
    for (; sent != 1; --sent) from.receive();
    EXPECT_FALSE(from.try_receive()) << "nothing of it went";
    to.send(std::move(value));
    element got = from.receive();
    EXPECT_EQ(got.second, large);
    got.first->send(7);
    EXPECT_EQ(numbers.receive(), 7);
    loop.shutdown();
  });
  loop.run();
}

TEST_F(ProcessChannel, MisuseIsNamed) {
  process_writer<int> none;
  EXPECT_NE(text_of([&] { none.send(1); }).find("empty or was moved away"), std::string::npos);
  auto [in, out] = process_channel<int>::simplex();
  EXPECT_THROW(static_cast<void>(tutti::encode(out)), tutti::encode_error);
  out.send(1);
  EXPECT_EQ(in.receive(), 1) << "what could not be encoded is still ours";
  auto moved = std::move(in);
  EXPECT_THROW(in.receive(), std::logic_error);  // NOLINT(bugprone-use-after-move)
  out.close();
  EXPECT_NE(text_of([&, &to = out] { to.send(1); }).find("closed"), std::string::npos);
}

}  // namespace
