// A process_semaphore whose users die or find no memory while they tell of others, and one that was written to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/handed_over.hpp>
#include <tests/support/killed_at.hpp>
#include <tests/support/no_memory.hpp>
#include <tutti/process/handles.hpp>
#include <tutti/process/process_key.hpp>
#include <tutti/process/process_semaphore.hpp>
#include <tutti/process/shared_memory.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using tutti::process_semaphore;
using tutti_test::child;
using tutti_test::talk;
using namespace std::chrono_literals;

// The dead are not looked for again for a moment.
bool until_told(const process_semaphore& permits) {
  for (int i = 0; i < 10'000; ++i) {
    try {
      if (permits.acquire_for(1ms)) return false;
    } catch (const tutti::owner_lost&) {
      return true;
    }
  }
  return false;
}

// One permit, whose owner is dead.
process_semaphore orphan(std::string_view name = {}) {
  process_semaphore permits(1, name);
  child holder([&](const talk&) {
    permits.acquire();
    return 0;
  });
  EXPECT_EQ(holder.join(), 0);
  return permits;
}

// Killed before it has given the permit back, or while it makes the words.
TEST(ProcessSemaphoreFaults, TellsTheNextWhenWhoLooksForTheDeadDies) {
  constexpr int steps_in_all = 300'000, apart = 25, too_many = 3'000'000;
  tutti_test::choices choose(46);
  const auto find_and_die = [&](const auto& walk) {
    const process_semaphore permits = orphan();
    tutti_test::stepped finder([&] { static_cast<void>(process_semaphore(1).try_acquire()); },
                               [&] { static_cast<void>(permits.try_acquire()); });
    const int point = walk(finder, permits);
    finder.kill();
    EXPECT_TRUE(until_told(permits)) << "killed after " << point << " steps";
    EXPECT_EQ(permits.value(), 1);
    EXPECT_TRUE(permits.try_acquire()) << "told once is enough";
    permits.release();
  };
  int until_back = 0;  // steps until the permit is there again
  find_and_die([&](auto& finder, const auto& permits) {
    while (permits.value() == 0 && until_back < too_many && finder.step()) ++until_back;
    return until_back;
  });
  ASSERT_GT(until_back, 10);
  ASSERT_LT(until_back, too_many);
  const int points = std::clamp(steps_in_all / until_back, 2, 15);
  for (int i = 0; i < points && !HasFailure(); ++i) {
    const int before = static_cast<int>(choose.below(static_cast<unsigned>(until_back)));
    for (const int point : {before, until_back + apart * (i + 1)})
      find_and_die([&](auto& finder, const auto&) { return finder.steps(point); });
  }
}

// Nobody barges in: that could wait for the owner, who stands still.
TEST(ProcessSemaphoreFaults, LosesNoSleeperWhereverAnOwnerDies) {
  tutti_test::hand_over_at_every_point([] { return process_semaphore(1); },
                                       [](const process_semaphore& permits) {
                                         try {
                                           permits.acquire();
                                         } catch (const tutti::owner_lost&) {
                                           permits.acquire();
                                         }
                                       },
                                       [](const process_semaphore& permits) { permits.release(); },
                                       [](const process_semaphore&) { return false; }, 49);
}

TEST(ProcessSemaphoreFaults, TellsTheNextWhenThereIsNoMemoryToTell) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer itself needs memory";
#endif
  const process_semaphore permits = orphan(std::string(63, 'n'));
  child finder([&](const talk&) {
    tutti_test::use_up_memory();
    try {
      static_cast<void>(permits.try_acquire());
    } catch (const std::bad_alloc&) {
      return 0;
    }
    return 1;
  });
  EXPECT_EQ(finder.join(), 0);
  EXPECT_TRUE(until_told(permits));
  EXPECT_TRUE(permits.try_acquire());
  permits.release();
}

// The memory of a semaphore, as another program that has its descriptor could read and write it.
class raw_memory {
 public:
  explicit raw_memory(const process_semaphore& of) : memory_(descriptor_of(of), "a test") {}

  template <class Word>
  std::vector<Word> words() const {
    std::vector<Word> all(memory_.size() / sizeof(Word));
    std::memcpy(all.data(), memory_.data(), all.size() * sizeof(Word));
    return all;
  }
  template <class Word>
  void set(std::size_t index, Word value) const {
    std::memcpy(memory_.data() + index * sizeof(Word), &value, sizeof value);
  }
  /// Of the only word that is like that.
  template <class Word, class Like>
  std::size_t find(Like like) const {
    const std::vector<Word> all = words<Word>();
    const auto at = std::find_if(all.begin(), all.end(), like);
    EXPECT_NE(at, all.end());
    EXPECT_EQ(std::find_if(at + (at != all.end()), all.end(), like), all.end());
    return static_cast<std::size_t>(at - all.begin());
  }

 private:
  static tutti::unique_fd descriptor_of(const process_semaphore& of) {
    tutti::detail::outgoing_handles out;
    static_cast<void>(tutti::encode(of));
    return std::move(out.take().at(0));
  }
  tutti::detail::shared_memory memory_;
};

// A process in such a memory: its key, its permits, its threads that wait.
constexpr std::size_t words_of_user = 4;
std::size_t user_of(const raw_memory& memory, ::pid_t pid) {
  return 2 * memory.find<tutti::detail::process_key>(
                 [&](auto word) { return word > 0xffffffff && tutti::detail::pid_of(word) == pid; });
}

TEST(ProcessSemaphoreFaults, HasRoomForSoManyProcesses) {
  constexpr std::size_t most = 1024;
  const process_semaphore permits(2, "full");
  const raw_memory memory(permits);
  const auto before = memory.words<std::uint32_t>();
  child holder([&](const talk& parent) {
    permits.acquire();
    parent.say();
    parent.wait_for_the_end();
    return 0;
  });
  holder.hear();
  const auto after = memory.words<std::uint32_t>();
  const std::size_t first = user_of(memory, holder.pid());
  // As if there were that many.
  for (std::size_t i = 1; i < most; ++i)
    for (std::size_t w = 0; w < words_of_user; ++w) memory.set(first + i * words_of_user + w, after[first + w]);
  for (std::size_t w = 0; w < first; ++w)
    if (before[w] == 0 && after[w] == 1) memory.set(w, std::uint32_t{most});
  child late([&](const talk&) {
    permits.release(0);  // gives nothing back, so that it needs no place
    try {
      permits.release();
      return 1;
    } catch (const tutti::not_owner&) {
    }
    return 0;
  });
  EXPECT_EQ(late.join(), 0);
  EXPECT_THAT([&] { permits.acquire(); }, testing::ThrowsMessage<tutti::os_error>(testing::HasSubstr(
                                              "process_semaphore \"full\": 1024 processes hold permits or wait")));
  EXPECT_EQ(permits.value(), 1);
}

// Somebody wrote there that the dead were looked for in times to come, or long ago.
TEST(ProcessSemaphoreFaults, LooksForTheDeadWhateverWasWritten) {
  for (const std::int64_t written : {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min(),
                                     std::int64_t{-1}, std::int64_t{1}}) {
    const process_semaphore permits(1);
    const raw_memory memory(permits);
    child holder([&](const talk& parent) {
      permits.acquire();
      parent.say();
      parent.wait_for_the_end();
      return 0;
    });
    holder.hear();
    const auto now = [] {
      return static_cast<std::int64_t>(
          std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
    };
    const std::int64_t from = now();
    EXPECT_FALSE(permits.try_acquire());
    const std::int64_t to = now();
    holder.kill();
    memory.set(memory.find<std::int64_t>([&](std::int64_t word) { return from <= word && word <= to; }), written);
    EXPECT_THROW(static_cast<void>(permits.try_acquire()), tutti::owner_lost) << written;
  }
}

// Somebody wrote there that a process has more permits than there are.
TEST(ProcessSemaphoreFaults, GivesNoMoreThanThereIsWhateverWasWritten) {
  const process_semaphore permits(2);
  const raw_memory memory(permits);
  permits.acquire();
  child holder([&](const talk& parent) {
    permits.acquire();
    parent.say();
    parent.wait_for_the_end();
    return 0;
  });
  holder.hear();
  holder.kill();
  const std::size_t mine = user_of(memory, ::getpid());
  memory.set(mine + 2, std::uint32_t{1000});
  EXPECT_THROW(static_cast<void>(permits.try_acquire()), tutti::owner_lost);
  EXPECT_EQ(permits.value(), 0);
  permits.release(1000);
  EXPECT_EQ(permits.value(), 2);
  memory.set(mine + 2, ~std::uint32_t{0} >> 1);
  permits.release(std::numeric_limits<std::int32_t>::max());
  EXPECT_EQ(permits.value(), 2);
}

// It finds out who it is at its first use; in a child that is after the fork.
TEST(ProcessSemaphoreFaults, TakesBackWhatAProcessTookThatCouldOpenNoFile) {
  const process_semaphore permits(1);
  child forked([&](const talk&) {
    ::rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const ::rlimit none{0, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    permits.acquire();
    ::setrlimit(RLIMIT_NOFILE, &before);
    permits.release();
    return 0;
  });
  EXPECT_EQ(forked.join(), 0);
  EXPECT_EQ(permits.value(), 1);
}

}  // namespace
