// Channels and queues between processes, of which some are killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/choices.hpp>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_channel {

using channel = tutti::process_channel<int>;
using texts = tutti::process_channel<std::string>;

void square(channel link) {
  for (int n : link) link.send(n * n);
}
void send_and_end(tutti::process_writer<int> out, int count, int way) {
  for (int i = 0; i < count; ++i) out.send(i);
  if (way == 0) ::raise(SIGKILL);
  if (way == 1) ::_exit(3);
  if (way == 2) std::exit(0);
  if (way == 3) std::abort();
}
void receive_and_end(tutti::process_reader<int> in, int count, int way) {
  for (int i = 0; i < count; ++i) static_cast<void>(in.receive());
  if (way == 0) ::raise(SIGKILL);
  if (way == 1) ::_exit(3);
  if (way == 2) std::exit(0);
}
void send_much(tutti::process_writer<std::string> out, std::size_t bytes) { out.send(std::string(bytes, 'x')); }
void send_for_ever(tutti::process_writer<std::vector<int>> out, tutti::shared_value<int> sent) {
  for (int i = 0;; ++i) {
    out.send(std::vector<int>(static_cast<std::size_t>(i % 500) + 1, i));
    sent.fetch_add(1);
  }
}
void never_reads(tutti::process_reader<std::string>) {
  for (;;) ::pause();
}
void takes_it_not(int) {}
int total(tutti::process_reader<tutti::shared_array<int>> in) {
  int sum = 0;
  for (const auto& numbers : in) sum = std::accumulate(numbers.begin(), numbers.end(), sum);
  return sum;
}
void pass_on(tutti::process_reader<channel> in) {
  auto link = in.receive();
  square(std::move(link));
}

void consume(tutti::process_queue<int> from, tutti::shared_value<long> sum) {
  for (int n : from) {
    sum.fetch_add(n);
    from.task_done();
  }
}
void produce(tutti::process_queue<int> to, int from, int until) {
  for (int i = from; i < until; ++i) to.send(i);
}
void produce_for_ever(tutti::process_queue<std::vector<int>> to) {
  for (int i = 0;; ++i) to.send(std::vector<int>(static_cast<std::size_t>(i % 200) + 1, i));
}
void consume_for_ever(tutti::process_queue<int> from) {
  for (;;) static_cast<void>(from.receive());
}
void take_and_die(tutti::process_queue<int> from, int taken, int done) {
  for (int i = 0; i < taken; ++i) static_cast<void>(from.receive());
  for (int i = 0; i < done; ++i) from.task_done();
  ::raise(SIGKILL);
}
void block_in_send(tutti::process_queue<int> to) { to.send(1); }
int receive_one(tutti::process_queue<int> from) { return from.receive(); }

}  // namespace spec_channel

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_channel;
using testing::HasSubstr;

class SpecChannel : public tutti_test::tidy_test {
 protected:
  static void SetUpTestSuite() { process(fn<takes_it_not>, 1).join(); }
};

TEST_F(SpecChannel, SquaresToTheEnd) {
  for (start_method start : {start_method::fork, start_method::exec}) {
    auto [here, there] = channel::pair();
    process p({.start = start}, fn<square>, std::move(there));
    EXPECT_FALSE(there);
    EXPECT_THROW(there.send(1), std::logic_error);
    for (int n = 0; n < 1000; ++n) {
      here.send(n);
      EXPECT_EQ(here.receive(), n * n);
    }
    EXPECT_EQ(here.try_receive(), std::nullopt);
    EXPECT_EQ(here.receive_for(1ms), std::nullopt);
    here.close();
    EXPECT_TRUE(p.join().success());
  }
}

TEST_F(SpecChannel, AllThatWasSentArrivesAndThenTheEnd) {
  for (int way = 0; way < 5; ++way) {
    auto [in, out] = channel::simplex();
    process p(fn<send_and_end>, std::move(out), 1000, way);
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(in.receive(), i) << way;
    EXPECT_THROW(in.receive(), closed) << way;
    EXPECT_EQ(in.next(), std::nullopt);
    EXPECT_THROW(static_cast<void>(in.try_receive()), closed);
  }
}

TEST_F(SpecChannel, SenderLearnsOfTheEnd) {
  for (int way = 0; way < 4; ++way) {
    auto [in, out] = channel::simplex();
    process p(fn<receive_and_end>, std::move(in), 10, way);
    auto& to = out;
    EXPECT_THROW(
        {
          for (;;) to.send(1);
        },
        closed)
        << way;
  }
  // Also one that sleeps because the channel is full.
  auto [in, out] = texts::simplex();
  process p(fn<never_reads>, std::move(in));
  std::jthread killer([&p] { p.kill(); });
  auto& to = out;
  EXPECT_THROW(
      {
        for (;;) to.send(std::string(10'000, 'x'));
      },
      closed);
}

TEST_F(SpecChannel, HalfAnElementIsNeverDelivered) {
  auto [in, out] = texts::simplex();
  process p(fn<send_much>, std::move(out), std::size_t{8} << 20);
  tutti_test::until_asleep(p.pid());  // it has filled the channel
  p.kill();
  p.join();
  EXPECT_THROW(in.receive(), closed);
  auto [in_2, out_2] = texts::simplex();
  process q(fn<send_much>, std::move(out_2), std::size_t{8} << 20);
  EXPECT_EQ(in_2.receive().size(), std::size_t{8} << 20);
  EXPECT_THROW(in_2.receive(), closed);
}

TEST_F(SpecChannel, SenderIsKilledAtRandom) {
  tutti_test::choices choose(99);
  for (int round = 0; round < 20; ++round) {
    auto [in, out] = process_channel<std::vector<int>>::simplex();
    const shared_value<int> sent(0);
    process p({.daemon = true}, fn<send_for_ever>, std::move(out), sent);
    const int some = static_cast<int>(choose.below(300));
    int expected = 0;
    const auto check = [&expected](const std::vector<int>& got) {
      ASSERT_EQ(got, std::vector<int>(static_cast<std::size_t>(expected % 500) + 1, expected));
      ++expected;
    };
    while (expected < some) check(in.receive());
    p.kill();
    try {
      while (auto got = in.next()) check(*got);
    } catch (const closed&) {  // it was in the middle of one
    }
    p.join();
    EXPECT_GE(expected, sent.load());
  }
}

TEST_F(SpecChannel, EndThatNobodyTookIsClosed) {
  process_pool pool(1);
  auto [in, out] = channel::simplex();
  {
    auto link = channel::pair();
    auto late = pool.submit<square>(std::move(link.second));
    link.first.close();
    late.get();
  }
  // Given to a process that never ran, in the hands of one that is dead.
  auto carriers = process_channel<channel>::simplex();
  auto link = channel::pair();
  carriers.second.send(std::move(link.second));
  carriers.first.close();
  carriers.second.close();
  EXPECT_THROW(link.first.receive(), closed);
}

TEST_F(SpecChannel, EndsAndArraysTravelThroughChannels) {
  auto carriers = process_channel<channel>::simplex();
  process p(fn<pass_on>, std::move(carriers.first));
  auto link = channel::pair();
  carriers.second.send(std::move(link.second));
  link.first.send(9);
  EXPECT_EQ(link.first.receive(), 81);
  link.first.close();
  EXPECT_TRUE(p.join().success());
  process_pool pool(1);
  auto [in, out] = process_channel<shared_array<int>>::simplex();
  auto sum = pool.submit<total>(std::move(in));
  for (int i = 0; i < 20; ++i) out.send(shared_array<int>::copy_of(std::vector{i, i}));
  out.close();
  EXPECT_EQ(sum.get(), 380);
}

class SpecQueue : public SpecChannel {};

TEST_F(SpecQueue, ManyToMany) {
  const process_queue<int> queue(16);
  const shared_value<long> sum(0);
  std::vector<process> consumers, producers;
  for (int i = 0; i < 3; ++i) consumers.emplace_back(fn<consume>, queue, sum);
  for (int i = 0; i < 3; ++i) producers.emplace_back(fn<produce>, queue, i * 1000, (i + 1) * 1000);
  for (process& p : producers) EXPECT_TRUE(p.join().success());
  auto same = queue;
  same.join();
  EXPECT_EQ(sum.load(), 4'498'500);
  same.close();
  for (process& p : consumers) EXPECT_TRUE(p.join().success());
  EXPECT_TRUE(queue.is_closed());
  EXPECT_THROW(same.send(1), closed);
  EXPECT_THROW(same.receive(), closed);
}

TEST_F(SpecQueue, IsBounded) {
  process_queue<int> queue(3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.try_send(i));
  EXPECT_FALSE(queue.try_send(3));
  EXPECT_FALSE(queue.send_for(1ms, 3));
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.capacity(), 3u);
  EXPECT_EQ(queue.receive(), 0);
  EXPECT_TRUE(queue.try_send(3));
  queue.close();
  for (int i = 1; i < 4; ++i) EXPECT_EQ(queue.receive(), i);  // what is left
  EXPECT_EQ(queue.next(), std::nullopt);
}

TEST_F(SpecQueue, JoinTellsOnceWhatDiedWithWhom) {
  process_queue<int> queue(10);
  for (int i = 0; i < 5; ++i) queue.send(i);
  EXPECT_FALSE(process(fn<take_and_die>, queue, 4, 1).join().success());
  static_cast<void>(queue.receive());
  queue.task_done();
  try {
    queue.join();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const owner_lost& e) {
    EXPECT_THAT(e.what(), HasSubstr("3"));
  }
  queue.join();
  EXPECT_TRUE(queue.try_join());
  EXPECT_TRUE(queue.join_for(1ms));
}

// In the middle of anything: what arrives is whole and in order, and the queue goes on.
TEST_F(SpecQueue, SenderIsKilledAtRandom) {
  tutti_test::choices choose(17);
  process_queue<std::vector<int>> queue(50, 20'000);
  for (int round = 0; round < 20; ++round) {
    process p({.daemon = true}, fn<produce_for_ever>, queue);
    const int some = static_cast<int>(choose.below(300));
    int expected = 0;
    const auto check = [&expected](const std::vector<int>& got) {
      ASSERT_EQ(got, std::vector<int>(static_cast<std::size_t>(expected % 200) + 1, expected));
      ++expected;
    };
    while (expected < some) check(queue.receive());
    p.kill();
    p.join();
    try {
      while (auto got = queue.try_receive()) check(*got);
    } catch (const owner_lost& e) {
      ADD_FAILURE() << e.what();  // it was none that receives
    }
    EXPECT_TRUE(queue.empty());
  }
}

TEST_F(SpecQueue, ReceiversAreKilledAtRandom) {
  tutti_test::choices choose(18);
  process_queue<int> queue(50);
  int told = 0;
  for (int round = 0; round < 20; ++round) {
    process p({.daemon = true}, fn<consume_for_ever>, queue);
    const auto insist = [&](auto f) {
      for (;;) {
        try {
          return f();
        } catch (const owner_lost&) {
          ++told;
        }
      }
    };
    for (unsigned i = choose.below(2000); i > 0; --i) insist([&] { queue.send(1); });
    p.kill();
    p.join();
    while (insist([&] { return queue.try_receive(); })) {
    }
    insist([&] { queue.send(round); });
    EXPECT_EQ(insist([&] { return queue.receive(); }), round);
  }
  EXPECT_LE(told, 20);  // once for each, at most
}

TEST_F(SpecQueue, WhoSleepsMayBeKilled) {
  process_queue<int> queue(1);
  queue.send(5);
  process sends(fn<block_in_send>, queue);
  tutti_test::until_asleep(sends.pid());
  sends.kill();
  sends.join();
  EXPECT_EQ(queue.receive(), 5);
  process receives(fn<receive_one>, queue), other(fn<receive_one>, queue);
  tutti_test::until_asleep(receives.pid());
  tutti_test::until_asleep(other.pid());
  receives.kill();
  receives.join();
  queue.send(6);
  EXPECT_TRUE(other.join(tutti_test::hang).has_value());
}

}  // namespace
}  // namespace tutti
