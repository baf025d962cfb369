// handed_over: what one process gives to another who sleeps for it, and is killed at every point of that.
#pragma once
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/killed_at.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>

namespace tutti_test {

/// For all points of `give`, or for as many as seconds allow: an owner who did `take` of a thing from `make` is killed
/// there, while somebody sleeps in `take`, and after a third one had it by `barge`, if that says true. All who sleep
/// must get it; those who sleep until they look again do so side by side. How often somebody barged.
template <class Make, class Take, class Give, class Barge>
int hand_over_at_every_point(Make make, Take take, Give give, Barge barge, std::uint64_t salt) {
  constexpr std::size_t at_once = 64;
  std::deque<decltype(make())> things;
  std::deque<child> sleepers;
  int bargers = 0;
  const auto kill_at = [&](int point) {
    auto& thing = things.emplace_back(make());
    stepped owner([&] { take(thing); }, [&] { give(thing); });
    const child& sleeper = sleepers.emplace_back([&](const talk& parent) {
      parent.say();
      take(thing);
      give(thing);
      return 0;
    });
    sleeper.hear();
    sleeper.until_asleep();
    const int made = owner.steps(point);
    const bool barged = barge(thing);
    owner.kill();
    if (barged) {
      ++bargers;
      give(thing);
    }
    return made;
  };
  const auto join_all = [&] {
    for (child& each : sleepers) EXPECT_EQ(each.join(), 0);
    sleepers.clear();
    things.clear();
  };
  const int all = kill_at(most_steps);
  for (const int point : points_of(all, salt)) {
    kill_at(point);
    if (sleepers.size() < at_once) continue;
    join_all();
    if (!testing::Test::HasFailure()) continue;
    ADD_FAILURE() << "an owner was killed after some of " << all << " steps, up to " << point;
    break;
  }
  join_all();
  return bargers;
}

}  // namespace tutti_test
