// Who can never go on, from what was told: every rule of what can end a wait, alone and mixed.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <string>
#include <tutti/core/wait_list.hpp>
#include <tutti/sync/deadlock_graph.hpp>
#include <vector>

namespace {

using tutti::place;
using tutti::wait_observer;
using tutti::wait_party;
using tutti::wait_rule;
using tutti::wait_target;
using tutti::wait_ticket;
using tutti::detail::deadlock_graph;

constexpr std::array<const char*, 8> names{"ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"};

class deadlock_graph_test : public ::testing::Test {
 protected:
  static wait_party party(std::size_t i) { return {&names[i], names[i]}; }
  static wait_target lock(const char& at, std::string_view name = "m") {
    return {&at, wait_rule::all_release, "mutex", name};
  }
  static wait_target permits(const char& at) { return {&at, wait_rule::one_acts, "semaphore", "s"}; }
  static wait_target ends(std::size_t i) { return {&names[i], wait_rule::it_ends, "task", names[i]}; }

  // A wait that is told, and stays.
  wait_observer::wait& waits(std::size_t who, std::vector<wait_target> targets) {
    auto& kept = *kept_.emplace_back(std::make_unique<kept_wait>());
    kept.targets = std::move(targets);
    kept.wait = {.who = party(who),
                 .targets = kept.targets,
                 .ticket = &kept.ticket,
                 .what = "mutex::lock",
                 .here = place{"dining.cpp", 42, "eat"}};
    graph.add_wait(kept.wait, deadlock_graph::time_point());
    return kept.wait;
  }
  wait_ticket& ticket_of(const wait_observer::wait& wait) {
    for (auto& kept : kept_) {
      if (&kept->wait == &wait) return kept->ticket;
    }
    throw std::logic_error("no such wait");
  }
  void holds(std::size_t who, const wait_target& what) { graph.add_hold(party(who), what, {"dining.cpp", 7, "take"}); }
  std::string verdict(std::size_t who) const { return graph.explain_deadlock(&names[who]); }

  deadlock_graph graph;
  std::array<char, 8> at{};

 private:
  struct kept_wait {
    std::vector<wait_target> targets;
    wait_ticket ticket{[](void*) {}, nullptr};
    wait_observer::wait wait;
  };
  std::vector<std::unique_ptr<kept_wait>> kept_;
};

TEST_F(deadlock_graph_test, one_who_waits_for_one_who_runs) {
  holds(1, lock(at[0]));
  waits(0, {lock(at[0])});
  EXPECT_EQ(verdict(0), "");
}

TEST_F(deadlock_graph_test, two_of_one_name_are_told_apart) {
  const wait_party one{&names[0], "eat"}, other{&names[1], "eat"};
  graph.add_hold(one, lock(at[0], "fork 1"), {});
  graph.add_hold(other, lock(at[1], "fork 2"), {});
  const wait_target second = lock(at[1], "fork 2"), first = lock(at[0], "fork 1");
  wait_ticket open([](void*) {}, nullptr), open_too([](void*) {}, nullptr);
  const wait_observer::wait of_one{.who = one, .targets = {&second, 1}, .ticket = &open, .what = "mutex::lock"};
  const wait_observer::wait of_other{.who = other, .targets = {&first, 1}, .ticket = &open_too, .what = "mutex::lock"};
  graph.add_wait(of_one, {});
  graph.add_wait(of_other, {});
  const std::string text = verdict(1);
  const std::size_t name = text.find("task \"eat\" #");
  ASSERT_NE(name, std::string::npos) << text;
  const std::string number = text.substr(name, text.find(' ', name + 12) - name);
  EXPECT_NE(text.find("  " + number + " waits in"), std::string::npos) << text;
  EXPECT_NE(text.find("held by task \"eat\" #"), std::string::npos) << text;
  EXPECT_EQ(text.find("held by " + number + "\n      at"), text.rfind("held by " + number + "\n      at")) << text;
  EXPECT_NE(text.find("The wait of " + number + " was refused"), std::string::npos) << text;
}

TEST_F(deadlock_graph_test, two_locks_in_two_orders) {
  holds(0, lock(at[0], "fork 1"));
  holds(1, lock(at[1], "fork 2"));
  waits(0, {lock(at[1], "fork 2")});
  EXPECT_EQ(verdict(0), "") << "the other one runs";
  waits(1, {lock(at[0], "fork 1")});
  const std::string text = verdict(1);
  EXPECT_NE(text.find("deadlock: 2 wait for one another"), std::string::npos) << text;
  EXPECT_NE(text.find("task \"ann\" waits in mutex::lock for mutex \"fork 2\", held by task \"bob\""),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("at dining.cpp:42 (eat)"), std::string::npos) << text;
  EXPECT_NE(text.find("holds mutex \"fork 1\", taken at dining.cpp:7 (take)"), std::string::npos) << text;
  EXPECT_NE(text.find("The wait of task \"bob\" was refused"), std::string::npos) << text;
}

TEST_F(deadlock_graph_test, one_lock_twice) {
  holds(0, lock(at[0]));
  waits(0, {lock(at[0])});
  EXPECT_NE(verdict(0).find("waits for itself"), std::string::npos);
}

TEST_F(deadlock_graph_test, who_waits_for_a_deadlock_is_lost_as_well) {
  holds(0, lock(at[0]));
  holds(1, lock(at[1]));
  waits(0, {lock(at[1])});
  waits(1, {lock(at[0])});
  holds(2, lock(at[2]));
  waits(2, {lock(at[0])});
  waits(3, {lock(at[2])});
  EXPECT_NE(verdict(3), "");
}

TEST_F(deadlock_graph_test, a_wait_that_was_ended_is_none) {
  holds(0, lock(at[0]));
  holds(1, lock(at[1]));
  const auto& first = waits(0, {lock(at[1])});
  waits(1, {lock(at[0])});
  EXPECT_NE(verdict(1), "");
  ticket_of(first).claim(0);
  EXPECT_EQ(verdict(1), "");
}

TEST_F(deadlock_graph_test, a_wait_with_a_limit_ends) {
  holds(0, lock(at[0]));
  holds(1, lock(at[1]));
  waits(0, {lock(at[1])}).limited = true;
  waits(1, {lock(at[0])});
  EXPECT_EQ(verdict(1), "");
}

TEST_F(deadlock_graph_test, a_lock_given_up_is_nobodys) {
  holds(0, lock(at[0]));
  holds(1, lock(at[1]));
  waits(0, {lock(at[1])});
  graph.remove_hold(&names[0], &at[0]);
  waits(1, {lock(at[0])});
  EXPECT_EQ(verdict(1), "") << "ann gave it up before she waited";
}

TEST_F(deadlock_graph_test, one_of_many_readers_is_enough) {
  holds(0, lock(at[0]));
  holds(1, lock(at[0]));
  holds(2, lock(at[1]));
  waits(0, {lock(at[1])});
  waits(2, {lock(at[0])});
  EXPECT_NE(verdict(2), "") << "bob reads on, but ann never ends";
}

TEST_F(deadlock_graph_test, readers_are_not_in_the_way_of_readers) {
  const auto read = [&] {
    wait_target target = lock(at[0]);
    target.shared = true;
    return target;
  };
  holds(0, read());
  waits(0, {ends(1)});
  waits(1, {read()});  // queued behind somebody who may give up
  EXPECT_EQ(verdict(1), "");
  holds(2, lock(at[0]));
  waits(2, {ends(0)});
  EXPECT_NE(verdict(1), "") << "but a writer is";
}

TEST_F(deadlock_graph_test, what_the_dead_have_left_is_in_unknown_hands) {
  holds(0, lock(at[0]));
  graph.end_party(&names[0]);
  EXPECT_EQ(graph.find(&names[0]), nullptr);
  waits(0, {ends(1)});  // another one at that address
  waits(1, {lock(at[0])});
  EXPECT_EQ(verdict(1), "");
  graph.remove_hold(&names[0], &at[0]);
  EXPECT_EQ(verdict(1), "");
}

TEST_F(deadlock_graph_test, any_of_the_permits_is_enough) {
  graph.add_resource(permits(at[0]), 2);
  holds(0, permits(at[0]));
  holds(1, permits(at[0]));
  holds(2, lock(at[1]));
  waits(0, {lock(at[1])});
  waits(2, {permits(at[0])});
  EXPECT_EQ(verdict(2), "") << "bob may give his back";
  waits(1, {lock(at[1])});
  EXPECT_NE(verdict(1), "");
}

TEST_F(deadlock_graph_test, permits_that_nobody_is_known_to_hold) {
  graph.add_resource(permits(at[0]), 2);
  holds(0, permits(at[0]));
  waits(0, {permits(at[0])});
  EXPECT_EQ(verdict(0), "") << "the second is in unknown hands";
  graph.add_hold({}, permits(at[0]), {});
  EXPECT_EQ(verdict(0), "");
}

TEST_F(deadlock_graph_test, a_resource_not_known_from_its_birth) {
  holds(0, permits(at[0]));
  waits(0, {permits(at[0])});
  EXPECT_EQ(verdict(0), "");
}

TEST_F(deadlock_graph_test, tasks_that_wait_for_the_end_of_one_another) {
  waits(0, {ends(1)});
  EXPECT_EQ(verdict(0), "");
  waits(1, {ends(2)});
  waits(2, {ends(0)});
  const std::string text = verdict(2);
  EXPECT_NE(text.find("deadlock: 3 wait"), std::string::npos) << text;
  EXPECT_NE(text.find("for task \"ann\""), std::string::npos) << text;
}

TEST_F(deadlock_graph_test, one_way_out_of_several) {
  holds(1, lock(at[0]));
  holds(2, lock(at[1]));
  holds(0, lock(at[2]));
  waits(0, {lock(at[0]), lock(at[1])});
  waits(1, {lock(at[2])});
  EXPECT_EQ(verdict(1), "") << "cid may still end ann's wait: a cycle, but no knot";
  waits(2, {lock(at[2])});
  EXPECT_NE(verdict(2), "");
}

TEST_F(deadlock_graph_test, all_of_several_are_needed) {
  holds(0, lock(at[0]));
  waits(0, {ends(1), ends(2)}).all = true;
  waits(1, {lock(at[0])});
  EXPECT_NE(verdict(1), "") << "cid runs, and that does not help";
}

TEST_F(deadlock_graph_test, a_way_out_that_is_not_known) {
  holds(0, lock(at[0]));
  holds(1, lock(at[1]));
  waits(0, {lock(at[1]), {&at[5], wait_rule::unknown, "event", ""}});
  waits(1, {lock(at[0])});
  EXPECT_EQ(verdict(1), "");
}

TEST_F(deadlock_graph_test, only_the_innermost_wait_counts) {
  holds(0, lock(at[0]));
  waits(0, {ends(1)});
  auto& inner = waits(0, {ends(2)});
  waits(1, {lock(at[0])});
  EXPECT_EQ(verdict(1), "") << "ann is busy with cid, who runs";
  graph.remove_wait(inner);
  EXPECT_NE(verdict(1), "");
}

TEST_F(deadlock_graph_test, what_is_gone_is_forgotten) {
  holds(0, lock(at[0]));
  graph.remove_resource(&at[0]);
  EXPECT_EQ(graph.find(&names[0]), nullptr);
  waits(0, {ends(1)});
  waits(1, {lock(at[0])});
  EXPECT_EQ(verdict(1), "");
}

TEST_F(deadlock_graph_test, a_lock_held_twice_is_held_until_the_second_end) {
  holds(0, lock(at[0]));
  holds(0, lock(at[0]));
  graph.remove_hold(&names[0], &at[0]);
  waits(0, {ends(1)});
  waits(1, {lock(at[0])});
  EXPECT_NE(verdict(1), "");
}

// Random graphs of single-owner locks: exactly those are lost who reach a cycle.
TEST_F(deadlock_graph_test, agrees_with_a_walk_along_the_owners) {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    deadlock_graph g;
    std::array<char, 8> locks{};
    std::array<int, 8> waits_for{};
    struct one {
      wait_target target;
      wait_ticket ticket{[](void*) {}, nullptr};
      wait_observer::wait wait;
    };
    std::vector<std::unique_ptr<one>> all;
    for (std::size_t i = 0; i < 8; ++i) g.add_hold(party(i), lock(locks[i]), {});
    for (std::size_t i = 0; i < 8; ++i) {
      waits_for[i] = static_cast<int>(random() % 10) - 2;  // -2, -1: runs
      if (waits_for[i] < 0) continue;
      auto& w = *all.emplace_back(std::make_unique<one>());
      w.target = lock(locks[static_cast<std::size_t>(waits_for[i])]);
      w.wait = {.who = party(i), .targets = {&w.target, 1}, .ticket = &w.ticket, .what = "lock"};
      g.add_wait(w.wait, {});
    }
    for (std::size_t i = 0; i < 8; ++i) {
      int walker = static_cast<int>(i);
      for (int steps = 0; steps < 20 && walker >= 0; ++steps) walker = waits_for[static_cast<std::size_t>(walker)];
      EXPECT_EQ(!g.explain_deadlock(&names[i]).empty(), walker >= 0) << "seed " << seed << ", " << names[i];
    }
  }
}

TEST_F(deadlock_graph_test, long_waits_are_told_once) {
  const auto start = deadlock_graph::time_point();
  holds(1, lock(at[0], "accounts"));
  waits(0, {lock(at[0], "accounts")});
  EXPECT_TRUE(graph.starving(start - std::chrono::seconds(1), start).empty());
  const auto told = graph.starving(start + std::chrono::seconds(2), start + std::chrono::seconds(5));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find("task \"ann\""), std::string::npos) << told[0];
  EXPECT_NE(told[0].find("mutex \"accounts\", held by task \"bob\""), std::string::npos) << told[0];
  EXPECT_NE(told[0].find("for 5 s"), std::string::npos) << told[0];
  EXPECT_TRUE(graph.starving(start + std::chrono::seconds(3), start + std::chrono::seconds(6)).empty());
}

}  // namespace
