// Queues whose participants are killed, at known points and at any moment.
#include <gtest/gtest.h>
#include <tutti/process/process_queue.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/handle_transfer.hpp>
#include <tutti/process/process_channel.hpp>
#include <tutti/process/queue_memory.hpp>
#include <tutti/process/shared_memory.hpp>
#include <tutti/process/shared_value.hpp>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <iterator>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/few_descriptors.hpp>
#include <tests/support/killed_at.hpp>
#include <tests/support/round_trip.hpp>
#include <vector>

namespace {

using tutti::process_channel;
using tutti::process_queue;
using tutti_test::child;
using tutti_test::text_of;

class ProcessQueueFaults : public tutti_test::clean_test {};

// ---- killed at known points

TEST_F(ProcessQueueFaults, KilledAsItCopiesInNothingHasHappened) {
  tutti::detail::process_queue_core core(10, 10'000);
  const auto how = tutti::detail::message_wait::never("a test", {});
  ASSERT_TRUE(core.put("before", {}, how));
  child killed([&] {  // the element is in memory that is not there: it dies with the lock in its hand
    ::signal(SIGSEGV, SIG_DFL);
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    auto* const at =
        static_cast<char*>(::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ::mprotect(at + page, page, PROT_NONE);
    core.put({at, page + 100}, {}, how);
    return 0;
  });
  EXPECT_EQ(killed.join(), 1000 + SIGSEGV);
  EXPECT_EQ(core.size(), 1u);
  ASSERT_TRUE(core.put("after", {}, how));
  tutti::detail::arrived_message message;
  ASSERT_EQ(core.take(message, how), tutti::detail::arrival::message);
  EXPECT_EQ(message.bytes, "before");
  ASSERT_EQ(core.take(message, how), tutti::detail::arrival::message);
  EXPECT_EQ(message.bytes, "after");
}

// ---- from inside

// What another process gets of a queue.
struct inside {
  explicit inside(const tutti::detail::process_queue_core& core) {
    const tutti::detail::outgoing_handles out;
    static_cast<void>(core.attach());
    memory = tutti::detail::shared_memory(tutti::unique_fd(::dup(out.all()[0].get())), "a test");
    socket_in.reset(::dup(out.all()[1].get()));
    socket_out.reset(::dup(out.all()[2].get()));
  }
  tutti::detail::queue_memory& content() const {
    return *std::launder(reinterpret_cast<tutti::detail::queue_memory*>(memory.data()));
  }
  std::uint64_t largest() const { return content().states[content().current.load() & 1].largest; }
  std::uint32_t sleepers() const { return content().room.sleepers; }
  // As senders do that are killed before their element is there.
  void hand_in_for_nothing(std::uint64_t id) const {
    const int any[] = {socket_in.get()};
    while (tutti::detail::send_with_handles(socket_in.get(), &id, sizeof id, any, MSG_DONTWAIT) >= 0) {
    }
  }
  tutti::detail::shared_memory memory;
  tutti::unique_fd socket_in, socket_out;
};

const auto never = tutti::detail::message_wait::never("a test", {});
tutti::detail::message_wait a_moment() {
  return tutti::detail::message_wait::within(std::chrono::microseconds(1), "a test", {});
}
std::vector<tutti::unique_fd> one_handle() {
  std::vector<tutti::unique_fd> result;
  result.emplace_back(::dup(0));
  return result;
}

TEST_F(ProcessQueueFaults, WhileSomebodyWaitsForTheSocketAllLook) {
  tutti::detail::process_queue_core core(5000, 1'000'000);
  const inside queue(core);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(core.put("first", {}, never));
  while (core.put("", one_handle(), never)) {
  }
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(core.put("", one_handle(), a_moment()));
  EXPECT_GE(queue.sleepers(), 3u);
  tutti::detail::arrived_message message;
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(queue.sleepers(), 0u) << "who waits for something else could go on now";
  EXPECT_EQ(queue.largest(), 0u);
}

TEST_F(ProcessQueueFaults, OneLargeSenderDoesNotWakeAllForEver) {
  tutti::detail::process_queue_core core(10, 10'000);
  const inside queue(core);
  ASSERT_TRUE(core.put(std::string(5000, 'x'), {}, never));
  for (int i = 1; i < 10; ++i) ASSERT_TRUE(core.put("", {}, never));
  EXPECT_FALSE(core.put(std::string(9900, 'x'), {}, a_moment()));
  EXPECT_GT(queue.largest(), 9900u);
  tutti::detail::arrived_message message;
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(queue.sleepers(), 0u);
  ASSERT_TRUE(core.put("", {}, never));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(core.put("", {}, a_moment()));
  const std::uint32_t before = queue.sleepers();
  ASSERT_GE(before, 3u);
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(queue.sleepers(), before - 1) << "one is enough";
}

TEST_F(ProcessQueueFaults, WhatTheDeadHandedInMakesRoomForTheLiving) {
  tutti::detail::process_queue_core core(10, 10'000);
  const inside queue(core);
  queue.hand_in_for_nothing(0);
  EXPECT_TRUE(core.put("one", {}, never));
  EXPECT_TRUE(core.put("two", one_handle(), never));
  tutti::detail::arrived_message message;
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(message.handles.size(), 1u);
  EXPECT_TRUE(core.put("three", {}, never));
  EXPECT_TRUE(core.put("four", {}, never));
  queue.hand_in_for_nothing(3);
  EXPECT_FALSE(core.put("five", one_handle(), never)) << "they might belong to the first";
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_TRUE(core.put("five", one_handle(), never));
}

TEST_F(ProcessQueueFaults, AnElementWithoutItsDescriptorsIsDroppedAndTold) {
  process_queue<std::optional<process_queue<int>>> q(10);
  for (int i = 0; i < 2; ++i) q.send(process_queue<int>(1));
  q.send(std::nullopt);
  const tutti::unique_fd socket = [&] {
    const tutti::detail::outgoing_handles out;
    static_cast<void>(tutti::encode(q));
    return tutti::unique_fd(::dup(out.all()[2].get()));
  }();
  std::uint64_t id = 0;
  while (::recv(socket.get(), &id, sizeof id, MSG_DONTWAIT) > 0) {
  }
  EXPECT_THROW(q.receive(), tutti::decode_error);
  EXPECT_EQ(q.size(), 2u);
  EXPECT_THROW(q.receive(), tutti::decode_error);
  EXPECT_FALSE(q.receive());
  EXPECT_FALSE(q.try_join());
  q.task_done();
  EXPECT_TRUE(q.try_join()) << "what could not be received needs no task_done";
}

TEST_F(ProcessQueueFaults, WhatCannotBeDecodedNeedsNoTaskDone) {
  process_queue<std::uint8_t> q(10);
  q.send(200);
  auto texts = tutti_test::sent_as<process_queue<std::string>>(q);
  EXPECT_THROW(texts.receive(), tutti::decode_error);
  EXPECT_TRUE(q.try_join());
  EXPECT_THROW(q.task_done(), std::logic_error);
}

// ---- killed by system calls

// This process is killed when it makes the system call of that number.
void die_at(unsigned call) {
  ::sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),  // the number of the call
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const ::sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    ::_exit(77);
}

TEST_F(ProcessQueueFaults, KilledAsItTakesIsToldOnce) {
  process_queue<std::optional<tutti::process_writer<int>>> q(10);
  auto [in, out] = process_channel<int>::simplex();
  auto [in2, out2] = process_channel<int>::simplex();
  q.send(std::move(out));
  q.send(std::nullopt);
  q.send(std::move(out2));
  child killed([&] {
    die_at(SYS_recvfrom);  // takes the descriptors away when the element has left the queue
    q.receive();
    return 0;
  });
  EXPECT_EQ(killed.join(), 1000 + SIGSYS);
  EXPECT_EQ(q.size(), 2u) << "looking is no reason to tell";
  const std::string text = text_of([&] { q.send(std::nullopt); });
  EXPECT_NE(text.find("1 element is lost"), std::string::npos) << text;
  EXPECT_FALSE(q.receive());
  auto writer = q.receive();
  ASSERT_TRUE(writer);
  writer->send(5);
  EXPECT_EQ(in2.receive(), 5) << "descriptors and elements have not got out of step";
  EXPECT_FALSE(in.next()) << "its writer is nobody's";
  q.task_done();
  q.task_done();
  EXPECT_THROW(q.join(), tutti::owner_lost);
  q.join();
}

TEST_F(ProcessQueueFaults, KilledAsItRepairsTheNextTellsNevertheless) {
  using element = std::optional<tutti::process_writer<int>>;
  std::optional<process_queue<element>> q;
  const process_queue<element> other(1);
  int calls = 0;  // of each repairer: it is a forked child
  tutti_test::at_every_point(
      [&] {
        q.emplace(3);
        auto [in, out] = process_channel<int>::simplex();
        q->send(std::move(out));
        q->send(std::nullopt);
        child killed([&] {
          die_at(SYS_recvfrom);
          q->receive();
          return 0;
        });
        ASSERT_EQ(killed.join(), 1000 + SIGSYS);
      },
      [&] { static_cast<void>((++calls == 1 ? other : *q).size()); },
      [&] {
        EXPECT_THROW(static_cast<void>(q->try_send(std::nullopt)), tutti::owner_lost);
        EXPECT_TRUE(q->try_send(std::nullopt));
        EXPECT_EQ(q->size(), 2u);
        EXPECT_FALSE(q->receive());
        q->task_done();
        EXPECT_THROW(static_cast<void>(q->try_join()), tutti::owner_lost);
        EXPECT_FALSE(q->receive());
        q->task_done();
        EXPECT_TRUE(q->try_join());
      },
      14);
}

TEST_F(ProcessQueueFaults, KilledAsItWakesCostsASecondAtMost) {
  process_queue<int> q(10);
  const ::pid_t receiver = ::getpid();
  child killed([&, receiver] {
    tutti_test::until_asleep(receiver);
    die_at(SYS_futex);
    q.send(5);
    return 0;
  });
  EXPECT_EQ(q.receive(), 5);
  EXPECT_EQ(killed.join(), 1000 + SIGSYS);
}

TEST_F(ProcessQueueFaults, MoreDescriptorsOnTheirWayThanAreAllowedWait) {
  child somebody([] {
    if (!tutti_test::allow_descriptors(256)) return 1;
    process_queue<std::vector<tutti::shared_value<int>>> q(100);
    const std::vector<tutti::shared_value<int>> some(100, tutti::shared_value<int>(5));
    int sent = 0;
    while (q.try_send(some)) ++sent;
    if (sent < 1 || sent > 5) return 2;  // the limit of their number was met, not that of the socket
    child sender([&] {
      q.send(some);
      return 0;
    });
    sender.until_asleep();
    for (++sent; sent != 0; --sent) {
      if (q.receive().at(99).load() != 5) return 3;
    }
    return sender.join();
  });
  EXPECT_EQ(somebody.join(), 0);
}

// ---- killed at any moment

TEST_F(ProcessQueueFaults, SendersKilledAtAnyMoment) {
  tutti_test::choices choices(11);
  for (int round = 0; round < 40; ++round) {
    process_queue<std::pair<std::uint32_t, std::string>> q(1 + choices.below(50), 20'000);
    std::vector<child> senders;
    std::vector<unsigned> until(3);
    for (std::uint32_t i = 0; i < 3; ++i) {
      until[i] = 1 + choices.below(300);
      senders.emplace_back([&, i] {
        for (std::uint32_t n = 0;; ++n) q.send({i, std::string(n % 977, static_cast<char>('a' + n % 26))});
        return 0;
      });
    }
    std::vector<std::uint32_t> next(3);
    std::size_t alive = 3;
    while (alive != 0) {
      const auto [i, text] = q.receive();
      const std::uint32_t n = next[i]++;
      ASSERT_EQ(text, std::string(n % 977, static_cast<char>('a' + n % 26)));
      if (n == until[i]) {
        senders[i].kill();
        --alive;
      }
    }
    while (const auto left = q.try_receive()) {
      const std::uint32_t n = next[left->first]++;
      ASSERT_EQ(left->second.size(), n % 977);
    }
    q.send({7, "still works"});
    EXPECT_EQ(q.receive().first, 7u);
  }
}

// Tries again when told that a process was killed in there.
template <class F>
auto in_spite_of_deaths(F f) {
  for (;;) {
    try {
      return f();
    } catch (const tutti::owner_lost&) {
    }
  }
}

TEST_F(ProcessQueueFaults, ReceiversKilledAtAnyMomentLoseWhatTheyHadInHandAlone) {
  tutti_test::choices choices(12);
  for (int round = 0; round < 40; ++round) {
    process_queue<std::uint32_t> q(100);
    process_queue<std::uint32_t> seen(10'000);
    constexpr std::uint32_t count = 2000;
    std::vector<child> receivers;
    for (int i = 0; i < 3; ++i) {
      receivers.emplace_back([&] {
        while (const auto x = in_spite_of_deaths([&] { return q.next(); }))
          in_spite_of_deaths([&] { return seen.try_send(*x); });
        return 0;
      });
    }
    const std::uint32_t when[2] = {choices.below(count), choices.below(count)};
    for (std::uint32_t x = 0; x < count; ++x) {
      for (std::size_t k = 0; k < 2; ++k) {
        if (x == when[k]) receivers[k].kill();
      }
      in_spite_of_deaths([&] { return q.send(x); });
    }
    q.close();
    EXPECT_EQ(receivers[2].join(), 0);
    seen.close();
    std::set<std::uint32_t> all;
    while (const auto x = in_spite_of_deaths([&] { return seen.next(); }))
      EXPECT_TRUE(all.insert(*x).second) << "twice: " << *x;
    EXPECT_GE(all.size() + 2, count);
  }
}

TEST_F(ProcessQueueFaults, NonsenseInTheArenaIsAnError) {
  tutti_test::choices choices(13);
  int errors = 0;
  for (int round = 0; round < 200; ++round) {
    process_queue<std::string> q(100, 4096);
    tutti::detail::outgoing_handles out;
    static_cast<void>(tutti::encode(q));
    const tutti::detail::shared_memory memory(tutti::unique_fd(::dup(out.all()[0].get())), "a test");
    for (int i = 0; i < 5; ++i) q.send("some text or other");
    for (int i = 0; i < 10; ++i)
      memory.data()[memory.size() - 4096 + choices.below(250)] = static_cast<std::byte>(choices.below(256));
    const auto drain = [&] {
      while (const auto text = q.try_receive()) EXPECT_LE(text->size(), 4096u);
    };
    for (int tries = 0; tries < 6 && q.size() != 0; ++tries) {
      try {
        drain();
      } catch (const tutti::decode_error&) {
        ++errors;
      }
    }
    // What has no beginning any more stays an error; else it goes on.
    if (q.size() != 0) {
      EXPECT_THROW(drain(), tutti::decode_error);
    } else {
      q.send("some text or other");
      EXPECT_EQ(q.try_receive(), "some text or other");
    }
  }
  EXPECT_GT(errors, 20);
}

}  // namespace
