// Semaphores under load: permits are neither lost nor made, no wake-up is missed, and items arrive in order.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <optional>
#include <random>
#include <stop_token>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/sync/semaphore.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::permit;
using tutti::semaphore;
using tutti::task;
using tutti_test::until;
using tutti_test::watchdog;

unsigned seed() {
  const auto chosen = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 29U;
  std::printf("seed %u\n", chosen);
  return chosen;
}

TEST(SemaphoreStress, DestroyedByWhoPassed) {
  const watchdog dog;
  constexpr int rounds = tutti_test::sanitized ? 2'000 : 20'000;
  std::atomic<semaphore*> current{nullptr};
  std::jthread giver([&] {
    for (int i = 0; i < rounds; ++i) {
      semaphore* mine = nullptr;
      until([&] { return (mine = current.exchange(nullptr)) != nullptr; });
      mine->release();
    }
  });
  for (int i = 0; i < rounds; ++i) {
    std::optional<semaphore> done(std::in_place, 0);
    current = &*done;
    if (i % 2 == 0) {
      done->acquire();
    } else {
      until([&] { return done->try_acquire(); });
    }
    done.reset();
  }
}

// The book's producer and consumer over semaphore(0), a slot for each item, and one for the other way round.
TEST(SemaphoreStress, NoItemIsLost) {
  const watchdog dog;
  constexpr int items = tutti_test::sanitized ? 3'000 : 50'000, slots = 4;
  for (const bool in_coroutine : {false, true}) {
    semaphore filled(0), empty(slots);
    std::array<int, slots> ring{};
    std::jthread producer([&] {
      for (int i = 0; i < items; ++i) {
        empty.acquire();
        ring[static_cast<std::size_t>(i) % slots] = i;
        filled.release();
      }
    });
    int wrong = 0;
    if (in_coroutine) {
      tutti::thread_pool pool(1);
      pool.submit([&]() -> task<> {
            for (int i = 0; i < items; ++i) {
              co_await filled.acquire_async();
              wrong += ring[static_cast<std::size_t>(i) % slots] == i ? 0 : 1;
              empty.release();
            }
          })
          .get();
    } else {
      for (int i = 0; i < items; ++i) {
        filled.acquire();
        wrong += ring[static_cast<std::size_t>(i) % slots] == i ? 0 : 1;
        empty.release();
      }
    }
    EXPECT_EQ(wrong, 0);
  }
}

// Threads and coroutines take one or more permits in every form there is, some give up. At the end all are back.
TEST(SemaphoreStress, PermitsAreNeitherLostNorMade) {
  const watchdog dog;
  const unsigned with = seed();
  constexpr int threads = 4, coroutines = 4, rounds = tutti_test::sanitized ? 400 : 3'000;
  for (const int total : {1, 3}) {
    semaphore some(total, {.maximum = total});
    std::atomic<int> out{0}, too_many{0};
    const auto use = [&](int n) {
      if (out.fetch_add(n) + n > total) ++too_many;
      out.fetch_sub(n);
    };
    {
      tutti::thread_pool pool(2);
      std::vector<tutti::future<void>> tasks;
      for (unsigned c = 0; c < coroutines; ++c) {
        tasks.push_back(pool.submit([&, c]() -> task<> {
          std::mt19937 random(with + c);
          for (int i = 0; i < rounds; ++i) {
            const int n = 1 + static_cast<int>(random() % static_cast<unsigned>(total));
            const auto limit = std::chrono::microseconds(random() % 100);
            switch (random() % 4) {
              case 0: {
                const permit p = co_await some.acquire_permit_async(n);
                use(n);
                break;
              }
              case 1: {
                const permit p = co_await some.acquire_permit_for_async(limit, n);
                if (p) use(n);
                break;
              }
              case 2: {
                auto child = tutti::spawn([&some, &use, n]() -> task<> {
                  const permit p = co_await some.acquire_permit_async(n);
                  use(n);
                });
                if (random() % 2 == 0) co_await tutti::yield_now();
                child.cancel();
                try {
                  co_await std::move(child);
                } catch (const tutti::cancelled&) {
                }
                break;
              }
              default: {
                co_await some.acquire_async(n);
                use(n);
                if (random() % 2 == 0) co_await tutti::yield_now();
                some.release(n);
              }
            }
          }
        }));
      }
      std::vector<std::jthread> all;
      for (unsigned t = 0; t < threads; ++t) {
        all.emplace_back([&, t] {
          std::mt19937 random(with + 100 + t);
          for (int i = 0; i < rounds; ++i) {
            const int n = 1 + static_cast<int>(random() % static_cast<unsigned>(total));
            const auto limit = std::chrono::microseconds(random() % 100);
            switch (random() % 5) {
              case 0: {
                const permit p = some.acquire_permit(n);
                use(n);
                break;
              }
              case 1: {
                const permit p = some.acquire_permit_for(limit, n);
                if (p) use(n);
                break;
              }
              case 2: {
                if (!some.try_acquire(n)) break;
                use(n);
                some.release(n);
                break;
              }
              case 3: {
                std::stop_source stop;
                const auto late = tutti::call_later(limit, [stop]() mutable { stop.request_stop(); });
                try {
                  some.acquire(stop.get_token(), n);
                  use(n);
                  some.release(n);
                } catch (const tutti::cancelled&) {
                }
                late.cancel();
                break;
              }
              default: {
                some.acquire(n);
                use(n);
                if (random() % 4 == 0) std::this_thread::yield();
                some.release(n);
              }
            }
          }
        });
      }
      all.clear();
      for (auto& one : tasks) one.get();
    }
    EXPECT_EQ(too_many, 0) << "seed " << with;
    EXPECT_TRUE(some.try_acquire(total)) << "seed " << with;
  }
}

}  // namespace
