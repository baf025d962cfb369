// Queues whose participants are killed, at known points and at any moment.
#include <gtest/gtest.h>
#include <tutti/process/process_queue.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/process_channel.hpp>
#include <tutti/process/shared_value.hpp>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/few_descriptors.hpp>
#include <tests/support/killed_at.hpp>
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

}  // namespace
