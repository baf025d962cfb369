// Several threads of a rank at once, with thread_level::multiple.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <tests/support/ranks.hpp>
#include <thread>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::before_of;
using tutti_test::many;
using tutti_test::next_of;

constexpr int threads = 4;

// Runs body(0) to body(threads - 1), each on a thread of its own, and joins.
template <class Body>
void on_threads(Body body) {
  std::vector<std::jthread> running;
  for (int i = 0; i < threads; ++i) running.emplace_back([&body, i] { body(i); });
}

TEST(SpecThreads, EachWithTagsOfItsOwn) {
  const communicator all = mpi::world().dup("threads tags");
  on_threads([&](int mine) {
    for (int i = 0; i < 200; ++i) {
      const std::vector<int> out(i % 10 == 0 ? 20'000U : 3U, 1000 * mine + i);
      mpi::request sent = all.isend(out, next_of(all), mine);
      EXPECT_EQ(all.recv<std::vector<int>>(before_of(all), mine), out);
      sent.wait();
      mpi::request object = all.issend(std::map<int, std::string>{{i, std::to_string(mine)}}, next_of(all), mine);
      EXPECT_EQ((all.recv<std::map<int, std::string>>(before_of(all), mine).at(i)), std::to_string(mine));
      object.wait();
    }
  });
}

TEST(SpecThreads, EachWithACommunicatorOfItsOwn) {
  std::vector<communicator> own;
  for (int i = 0; i < threads; ++i) own.push_back(mpi::world().dup(std::to_string(i)));
  on_threads([&](int mine) {
    const communicator& all = own[many(mine)];
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(all.allreduce(1, mpi::sum), all.size());
      EXPECT_EQ(all.bcast(all.rank() == 0 ? std::to_string(i) : ""), std::to_string(i));
      EXPECT_EQ(all.allgather(std::vector<int>(many(all.rank()), mine)).back(),
                std::vector<int>(many(all.size() - 1), mine));
      EXPECT_EQ(all.allreduce(std::string("x"), mpi::sum).size(), many(all.size()));
      all.barrier();
    }
  });
}

// All take from the same source with any tag: what `recv` has found is its own.
TEST(SpecThreads, ReceivesOfManyThreadsGetEachMessageOnce) {
  const communicator all = mpi::world().dup("threads any");
  constexpr int each = 250;
  std::mutex mutex;
  std::set<int> came;
  std::atomic<int> wrong = 0;
  std::jthread sender([&] {
    for (int i = 0; i < threads * each; ++i) {
      // The length tells the value, so that a message in the wrong memory is seen.
      all.send(std::vector<int>(many(i + 1), i), next_of(all), i % 100);
    }
  });
  on_threads([&](int) {
    for (int i = 0; i < each; ++i) {
      mpi::status about;
      const auto list = all.recv<std::vector<int>>(mpi::any_source, mpi::any_tag, &about);
      if (list.empty() || list.size() != many(list[0] + 1) || list.back() != list[0] || about.tag != list[0] % 100) {
        ++wrong;
        continue;
      }
      const std::lock_guard lock(mutex);
      came.insert(list[0]);
    }
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(came.size(), many(threads * each));
}

TEST(SpecThreads, ARequestIsWaitedForByAnotherThreadThanBeganIt) {
  const communicator all = mpi::world().dup("threads handed over");
  int into = -1;
  mpi::request received = all.irecv_into(into, before_of(all), 1);
  std::jthread other([&] {
    received.wait();
    EXPECT_EQ(into, 3);
  });
  all.send(3, next_of(all), 1);
  other.join();
  EXPECT_FALSE(received.active());
}

TEST(SpecThreads, HandlesAreCopiedAndDroppedAnywhere) {
  const communicator all = mpi::world().dup("threads handles");
  on_threads([&](int mine) {
    for (int i = 0; i < 1000; ++i) {
      const communicator copy = all;
      const communicator other = mpi::world();
      EXPECT_EQ(copy.size(), other.size());
      EXPECT_EQ(mpi::self().sendrecv(mine, 0, 0, mine, mine), mine);
    }
  });
}

// The first use of an operation, by all threads at once.
TEST(SpecThreads, CallablesAreMadeKnownOnce) {
  std::vector<communicator> own;
  for (int i = 0; i < threads; ++i) own.push_back(mpi::world().dup());
  on_threads([&](int mine) {
    const auto only_here = [](int a, int b) { return a * b + 0 * (a - b); };
    EXPECT_EQ(own[many(mine)].allreduce(2, only_here), 1 << own[many(mine)].size());
  });
}

}  // namespace
