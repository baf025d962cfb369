// Queues of several processes: each element arrives once, and the queue survives whoever is killed.
#include <gtest/gtest.h>
#include <tutti/process/process_queue.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/process_channel.hpp>

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/round_trip.hpp>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::process_channel;
using tutti::process_queue;
using tutti_test::child;
using tutti_test::text_of;

class ProcessQueue : public tutti_test::clean_test {};

TEST_F(ProcessQueue, FirstInFirstOutUntilItIsFull) {
  process_queue<std::string> q(2);
  EXPECT_TRUE(q.empty());
  EXPECT_FALSE(q.try_receive());
  q.send("one");
  EXPECT_TRUE(q.try_send("two"));
  EXPECT_FALSE(q.try_send("three"));
  EXPECT_FALSE(q.send_for(1ms, "three"));
  EXPECT_EQ(q.size(), 2u);
  EXPECT_EQ(q.capacity(), 2u);
  EXPECT_EQ(q.receive(), "one");
  EXPECT_EQ(q.receive_for(1s), "two");
  EXPECT_FALSE(q.receive_for(1ms));
}

TEST_F(ProcessQueue, DrainsAndThenIsClosed) {
  process_queue<int> q(10);
  q.send(1);
  q.send(2);
  EXPECT_FALSE(q.is_closed());
  q.close();
  q.close();
  EXPECT_TRUE(q.is_closed());
  EXPECT_THROW(q.send(3), tutti::closed);
  int sum = 0;
  for (int x : q) sum += x;
  EXPECT_EQ(sum, 3);
  EXPECT_THROW(q.receive(), tutti::closed);
  EXPECT_THROW(static_cast<void>(q.try_receive()), tutti::closed);
}

TEST_F(ProcessQueue, BytesAreLimitedToo) {
  process_queue<std::string> q(1000, 4096);
  EXPECT_NE(text_of([&] { q.send(std::string(5000, 'x')); }).find("process_queue(capacity, bytes)"), std::string::npos);
  for (std::size_t n = 0; n < 3000; n += 7) {  // across the end of the arena, at all places
    const std::string text(n, static_cast<char>('a' + n % 26));
    ASSERT_TRUE(q.try_send(text));
    ASSERT_TRUE(q.try_send(std::string("x")));
    ASSERT_EQ(q.receive(), text);
    ASSERT_EQ(q.receive(), "x");
  }
  int sent = 0;
  while (q.try_send(std::string(1000, 'x'))) ++sent;
  EXPECT_EQ(sent, 3);
}

TEST_F(ProcessQueue, ManyToMany) {
  process_queue<std::pair<int, int>> q(50);
  constexpr int senders = 3, each = 20'000;
  std::vector<child> sending, receiving;
  std::vector<tutti::process_reader<std::pair<std::int64_t, std::int64_t>>> answers;
  for (int i = 0; i < 3; ++i) {
    auto [in, out] = process_channel<std::pair<std::int64_t, std::int64_t>>::simplex();
    receiving.emplace_back([&, &answer = out] {
      std::int64_t count = 0, sum = 0;
      std::vector<int> last(senders, -1);
      for (auto [from, x] : q) {
        if (x <= last[static_cast<std::size_t>(from)]) return 1;  // each sender's come in order
        last[static_cast<std::size_t>(from)] = x;
        ++count;
        sum += x;
      }
      answer.send({count, sum});
      return 0;
    });
    answers.push_back(std::move(in));
  }
  for (int i = 0; i < senders; ++i) {
    sending.emplace_back([&, i] {
      for (int x = 0; x < each; ++x) q.send({i, x});
      return 0;
    });
  }
  for (child& one : sending) EXPECT_EQ(one.join(), 0);
  q.close();
  std::int64_t count = 0, sum = 0;
  for (auto& answer : answers) {
    const auto [n, s] = answer.receive();
    count += n;
    sum += s;
  }
  for (child& one : receiving) EXPECT_EQ(one.join(), 0);
  EXPECT_EQ(count, senders * each);
  EXPECT_EQ(sum, std::int64_t{senders} * each * (each - 1) / 2);
}

TEST_F(ProcessQueue, LargeAndSmallOnesWaitForRoomTogether) {
  process_queue<std::vector<std::uint8_t>> q(1000, 100'000);
  std::vector<child> sending;
  for (std::size_t size : {90'000u, 50'000u, 10u, 200u}) {
    sending.emplace_back([&, size] {
      for (int i = 0; i < 200; ++i) q.send(std::vector<std::uint8_t>(size, static_cast<std::uint8_t>(size)));
      return 0;
    });
  }
  for (int i = 0; i < 800; ++i) {
    const auto all = q.receive();
    ASSERT_EQ(std::count(all.begin(), all.end(), static_cast<std::uint8_t>(all.size())),
              static_cast<std::ptrdiff_t>(all.size()));
  }
  EXPECT_TRUE(q.empty());
  for (child& one : sending) EXPECT_EQ(one.join(), 0);
}

TEST_F(ProcessQueue, ThreadsUseTheSameOne) {
  process_queue<int> q(16);
  constexpr int each = 20'000;
  std::int64_t sums[2] = {};
  {
    std::vector<std::jthread> receivers, senders;
    for (std::int64_t& sum : sums) {
      receivers.emplace_back([&q, &sum] {
        for (int x : q) sum += x;
      });
    }
    for (int i = 0; i < 2; ++i) {
      senders.emplace_back([q]() mutable {
        for (int x = 0; x < each; ++x) q.send(x);
      });
    }
    senders.clear();
    q.close();
  }
  EXPECT_EQ(sums[0] + sums[1], std::int64_t{each} * (each - 1));
}

TEST_F(ProcessQueue, ThroughTheCodec) {
  process_queue<int> q(4);
  q.send(1);
  std::string bytes;
  std::vector<tutti::unique_fd> handles;
  {
    tutti::detail::outgoing_handles out;
    bytes = tutti::encode(q);
    handles = out.take();
  }
  {
    const tutti::detail::incoming_handles in(std::move(handles));
    auto same = tutti::decode<process_queue<int>>(bytes);
    EXPECT_EQ(same.capacity(), 4u);
    EXPECT_EQ(same.receive(), 1);
    same.send(2);
    same.close();
  }
  EXPECT_EQ(q.receive(), 2);
  EXPECT_FALSE(q.next());
  EXPECT_THROW(static_cast<void>(tutti::encode(q)), tutti::encode_error);
}

TEST_F(ProcessQueue, ElementsWithDescriptors) {
  process_queue<tutti::process_writer<int>> requests(100);
  child server([&] {
    int i = 0;
    for (tutti::process_writer<int>& answer : requests) answer.send(++i);
    return 0;
  });
  for (int i = 1; i <= 50; ++i) {
    auto [in, out] = process_channel<int>::simplex();
    requests.send(std::move(out));
    EXPECT_EQ(in.receive(), i);
    EXPECT_FALSE(in.next());
  }
  requests.close();
  EXPECT_EQ(server.join(), 0);
}

TEST_F(ProcessQueue, DescriptorsWaitBesideTheirElements) {
  process_queue<std::optional<tutti::process_writer<int>>> q(20);
  std::vector<tutti::process_reader<int>> readers;
  const auto fill = [&] {
    for (int i = 0; i < 8; ++i) {
      auto [in, out] = process_channel<int>::simplex();
      readers.push_back(std::move(in));
      q.send(std::move(out));
      q.send(std::nullopt);
    }
  };
  fill();
  for (int i = 0; i < 8; ++i) {
    auto writer = q.receive();
    ASSERT_TRUE(writer);
    writer->send(i);
    EXPECT_EQ(readers[static_cast<std::size_t>(i)].receive(), i);
    EXPECT_FALSE(q.receive());
  }
  fill();  // what is left in the queue goes with it
}

TEST_F(ProcessQueue, JoinWaitsForTheWork) {
  process_queue<int> q(100);
  EXPECT_TRUE(q.try_join());
  for (int i = 0; i < 20; ++i) q.send(i);
  EXPECT_FALSE(q.try_join());
  std::vector<child> workers;
  auto [in, out] = process_channel<int>::simplex();
  workers.emplace_back([&, &done = out] {
    for (int x : q) {
      done.send(x);
      q.task_done();
    }
    return 0;
  });
  q.join();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(in.try_receive(), i) << "done before it was reported";
  EXPECT_TRUE(q.join_for(1ns));
  q.close();
  EXPECT_EQ(workers[0].join(), 0);
}

TEST_F(ProcessQueue, JoinTellsWhatTheDeadHadInHand) {
  process_queue<int> q(100);
  for (int i = 0; i < 5; ++i) q.send(i);
  child killed([&] {
    for (int i = 0; i < 4; ++i) q.receive();
    q.task_done();
    ::kill(::getpid(), SIGKILL);
    return 0;
  });
  EXPECT_EQ(killed.join(), 1000 + SIGKILL);
  const std::string text = text_of([&] { q.join(); });
  EXPECT_NE(text.find("3 elements were received by processes that died"), std::string::npos) << text;
  EXPECT_EQ(q.receive(), 4);
  EXPECT_FALSE(q.join_for(1ms));
  q.task_done();
  q.join();
}

TEST_F(ProcessQueue, JoinNoticesADeathWhileItWaits) {
  process_queue<int> q(100);
  q.send(1);
  const ::pid_t joiner = ::getpid();
  child killed([&, joiner] {
    q.receive();
    tutti_test::until_asleep(joiner);
    ::kill(::getpid(), SIGKILL);
    return 0;
  });
  EXPECT_THROW(q.join(), tutti::owner_lost);
  EXPECT_EQ(killed.join(), 1000 + SIGKILL);
  q.join();
}

TEST_F(ProcessQueue, MisuseIsNamed) {
  process_queue<int> none;
  EXPECT_FALSE(none);
  EXPECT_NE(text_of([&] { none.send(1); }).find("make it with a capacity"), std::string::npos);
  EXPECT_THROW(none.close(), std::logic_error);
  EXPECT_FALSE(tutti_test::round_trip(none)) << "as all handles";
  EXPECT_THROW(process_queue<int>(0), std::invalid_argument);
  EXPECT_THROW(process_queue<int>(1, 0), std::invalid_argument);
  process_queue<int> q(2);
  q.send(1);
  EXPECT_THROW(q.task_done(), std::logic_error);
  q.receive();
  q.task_done();
  EXPECT_THROW(q.task_done(), std::logic_error);
}

}  // namespace
