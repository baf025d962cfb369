// Doubts: each appears where there is reason for it, and not elsewhere.
#include <tutti/trace/scaling_doubts.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace tutti {
namespace {

constexpr int processors = 8;

// Three runs that differ by `noise`, which keep `busy` processors busy.
scaling_count measured(int workers, double seconds, double busy, double noise = 0.002) {
  scaling_count count{.workers = workers};
  for (const double factor : {1 - noise, 1.0, 1 + noise}) {
    count.seconds.push_back(seconds * factor);
    count.cpu_seconds.push_back(seconds * factor * busy);
  }
  return count;
}

std::vector<measuring_doubt> doubts_of(const std::vector<scaling_count>& counts, int usable = processors,
                                       int others = 0) {
  std::vector<scaling_run> runs;
  for (const scaling_count& count : counts) {
    if (!count.fitted) continue;
    for (const double seconds : count.seconds) runs.push_back({.workers = count.workers, .seconds = seconds});
  }
  return doubts_about(counts, {.processors = usable, .other_threads = others}, "in OMP_NUM_THREADS",
                      fit_scaling(scaling_law::amdahl, runs), fit_scaling(scaling_law::usl, runs));
}

std::vector<std::string> codes_of(const std::vector<scaling_count>& counts, int usable = processors, int others = 0) {
  std::vector<std::string> codes;
  for (const measuring_doubt& doubt : doubts_of(counts, usable, others)) {
    EXPECT_FALSE(doubt.text.empty());
    codes.push_back(doubt.code);
  }
  return codes;
}

using codes = std::vector<std::string>;

double amdahl(double s, int n) { return s + (1 - s) / n; }

std::vector<scaling_count> computing(double s = 0.1) {
  std::vector<scaling_count> counts;
  for (const int n : {1, 2, 4, 8}) counts.push_back(measured(n, amdahl(s, n), 1 / amdahl(s, n)));
  return counts;
}

TEST(ScalingDoubts, NoneAboutACleanMeasurement) { EXPECT_EQ(codes_of(computing()), codes{}); }

TEST(ScalingDoubts, AProgramThatIgnoresItsWorkers) {
  std::vector<scaling_count> sleeping, single;
  for (const int n : {1, 2, 4, 8}) sleeping.push_back(measured(n, 0.05, 0.02));
  for (const int n : {1, 2, 4, 8}) single.push_back(measured(n, 0.5, 1));
  EXPECT_EQ(codes_of(sleeping), codes{"ignored"});
  EXPECT_EQ(codes_of(single), codes{"ignored"});
  EXPECT_NE(doubts_of(single).front().text.find("OMP_NUM_THREADS"), std::string::npos);
}

TEST(ScalingDoubts, SpinningWorkersAreNotIgnoredOnes) {
  std::vector<scaling_count> counts;
  for (const int n : {1, 2, 4, 8}) counts.push_back(measured(n, 0.5, n));
  EXPECT_EQ(codes_of(counts), codes{"spinning"});
}

TEST(ScalingDoubts, BeyondTheProcessorsNothingIsHeldAgainstTheProgram) {
  // Two processors are busy from 2 workers on: that they gain nothing beyond does not mean that they ignore it.
  const std::vector<scaling_count> counts = {measured(1, 1, 1), measured(2, 0.5, 2), measured(4, 0.5, 2)};
  const codes found = codes_of(counts, 2);
  EXPECT_EQ(std::ranges::count(found, "ignored"), 0);
  EXPECT_EQ(std::ranges::count(found, "oversubscribed"), 1);
  // On one processor it cannot be told at all.
  EXPECT_EQ(std::ranges::count(codes_of({measured(1, 1, 1), measured(2, 1, 1), measured(4, 1, 1)}, 1), "ignored"), 0);
}

TEST(ScalingDoubts, NoiseLargerThanTheEffect) {
  const std::vector<scaling_count> counts = {measured(1, 1.0, 1, 0.8), measured(2, 0.8, 1.3, 0.8),
                                             measured(4, 0.75, 1.4, 0.8), measured(8, 0.72, 1.5, 0.8)};
  const codes found = codes_of(counts);
  EXPECT_EQ(std::ranges::count(found, "noise"), 1);
  EXPECT_EQ(std::ranges::count(found, "unsure"), 0);  // of laws that are not shown
  EXPECT_FALSE(fits_mean_something(doubts_of(counts)));
  EXPECT_NE(doubts_of(counts).front().text.find("The fits mean nothing"), std::string::npos);
}

TEST(ScalingDoubts, NoiseIsNotHeldAgainstTheProgram) {
  // Also where the medians happen to lie as close as those of a program that ignores its workers.
  for (const double second : {0.7, 0.85, 1.0}) {
    for (const double noise : {0.2, 0.5}) {
      const codes found = codes_of({measured(1, 1.0, 1, noise), measured(2, second, 1, noise)});
      EXPECT_EQ(std::ranges::count(found, "ignored"), 0) << second << ' ' << noise;
      const double error = 1.5 * noise / std::sqrt(3.0);  // the quartiles of three lie that far apart
      EXPECT_EQ(std::ranges::count(found, "noise"), error > std::max(1 - second, 0.05)) << second << ' ' << noise;
    }
  }
  // Less noise than the worker counts would have to make is no excuse, and what it hides is explained already.
  std::vector<scaling_count> same;
  for (const int n : {1, 2, 4, 8}) same.push_back(measured(n, 1, 1, 0.06));
  EXPECT_EQ(std::ranges::count(codes_of(same), "ignored"), 1);
  EXPECT_EQ(std::ranges::count(codes_of(same), "noise"), 0);
}

TEST(ScalingDoubts, OthersOnTheMachineComeFirstAndExplainWhatIsNotGained) {
  std::vector<scaling_count> counts;
  for (const int n : {1, 2, 4, 8}) counts.push_back(measured(n, 0.5, 1));
  EXPECT_EQ(codes_of(counts, processors, processors), codes{"busy"});
  EXPECT_EQ(codes_of(counts, processors, processors / 2), codes{"ignored"});
  EXPECT_TRUE(fits_mean_something(doubts_of(counts, processors, processors)));
  EXPECT_FALSE(fits_mean_something(doubts_of(counts)));
  for (scaling_count& count : counts) count = measured(count.workers, 0.005, 1);
  EXPECT_EQ(codes_of(counts, processors, processors), (codes{"busy", "short"}));
}

TEST(TimesDoubts, OfAnyKind) {
  using seconds = std::vector<double>;
  const auto found = [](const std::vector<seconds>& all, int others = 0) {
    std::vector<sample_summary> samples;
    for (const seconds& one : all) samples.push_back(summarise(one));
    codes result;
    for (const measuring_doubt& doubt :
         doubts_about_times(samples, {.processors = 2, .other_threads = others}, "command"))
      result.push_back(doubt.code);
    return result;
  };
  EXPECT_EQ(found({}), codes{});
  EXPECT_EQ(found({{1, 1.01, 1.02}, {2, 2.01, 2.02}}), codes{});
  EXPECT_EQ(found({{1, 1.01, 1.02}, {2, 3, 4}}), codes{});
  EXPECT_EQ(found({{1, 1.01, 1.02}, {0.9, 1, 1.1}}), codes{"noise"});
  EXPECT_EQ(found({{1, 1.01, 1.02}}), codes{});
  EXPECT_EQ(found({{1, 2, 3}}), codes{"noise"});
  EXPECT_EQ(found({{1, 1.01, 1.02}, {0.005, 0.00501}}, 2), (codes{"busy", "short"}));
  EXPECT_EQ(found({{1}, {1, 5}}), codes{"one_run"});
}

TEST(ScalingDoubts, OneRunSaysNothingAboutNoise) {
  std::vector<scaling_count> counts = computing();
  counts[2].seconds.resize(1);
  counts[2].cpu_seconds.resize(1);
  EXPECT_EQ(codes_of(counts), codes{"one_run"});
}

TEST(ScalingDoubts, TooShort) {
  std::vector<scaling_count> counts;
  for (const int n : {1, 2, 4, 8}) counts.push_back(measured(n, 0.02 * amdahl(0.1, n), 1 / amdahl(0.1, n)));
  EXPECT_EQ(codes_of(counts), codes{"short"});
}

TEST(ScalingDoubts, FewCounts) {
  std::vector<scaling_count> counts = computing();
  counts.resize(3);
  EXPECT_EQ(codes_of(counts), codes{"few_counts"});
  EXPECT_NE(doubts_of(counts).front().text.find("Three worker counts"), std::string::npos);
  counts.resize(2);
  EXPECT_EQ(codes_of(counts), codes{"few_counts"});
  EXPECT_NE(doubts_of(counts).front().text.find("Two worker counts"), std::string::npos);
  counts.resize(1);
  EXPECT_EQ(codes_of(counts), codes{"few_counts"});
  EXPECT_EQ(codes_of({}), codes{});
}

// The way to more counts, as "few_counts" names it.
std::string way_to_more(std::vector<scaling_count> counts, int usable, bool oversubscribe = false) {
  for (scaling_count& count : counts) count.fitted = oversubscribe || count.workers <= usable;
  const std::vector<measuring_doubt> doubts = doubts_of(counts, usable);
  const auto few = std::ranges::find(doubts, "few_counts", &measuring_doubt::code);
  return few == doubts.end() ? "" : few->text;
}

TEST(ScalingDoubts, TheWayToMoreCountsCanBeGone) {
  std::vector<scaling_count> counts = computing();
  EXPECT_EQ(way_to_more(counts, 8), "");
  for (const int usable : {1, 2}) {
    const std::string text = way_to_more(counts, usable);
    EXPECT_NE(text.find("allow no more"), std::string::npos) << usable << text;
    EXPECT_NE(text.find("--oversubscribe"), std::string::npos) << usable << text;
  }
  EXPECT_EQ(way_to_more(counts, 2, true), "");
  EXPECT_NE(way_to_more(counts, 4).find("4 or more with -w, none above the 4 usable"), std::string::npos);
  counts.resize(2);
  EXPECT_NE(way_to_more(counts, 4).find("3 or more with -w, none above the 4 usable"), std::string::npos);
  EXPECT_NE(way_to_more(counts, 1, true).find("Name 3 or more with -w."), std::string::npos);
}

TEST(ScalingDoubts, NoRunWithOneWorker) {
  std::vector<scaling_count> counts = computing();
  counts.push_back(measured(16, amdahl(0.1, 16), 1 / amdahl(0.1, 16)));
  counts.erase(counts.begin());
  EXPECT_EQ(codes_of(counts, 16), codes{"no_single"});
}

TEST(ScalingDoubts, Superlinear) {
  const std::vector<scaling_count> counts = {measured(1, 1, 1), measured(2, 0.4, 2), measured(4, 0.16, 4),
                                             measured(8, 0.07, 8)};
  const codes found = codes_of(counts);
  EXPECT_EQ(std::ranges::count(found, "superlinear"), 1);
  EXPECT_EQ(std::ranges::count(found, "ignored"), 0);
}

TEST(ScalingDoubts, AnotherLaw) {
  std::vector<scaling_count> counts;
  for (const int n : {1, 2, 4, 8}) {
    const double t = (1 + 0.05 * (n - 1) + 0.05 * n * (n - 1)) / n;
    counts.push_back(measured(n, t, 1 / t));
  }
  const std::vector<measuring_doubt> doubts = doubts_of(counts);
  const auto found = std::ranges::find(doubts, "other_law", &measuring_doubt::code);
  ASSERT_NE(found, doubts.end());
  EXPECT_NE(found->text.find("Gunther"), std::string::npos);
}

}  // namespace
}  // namespace tutti
