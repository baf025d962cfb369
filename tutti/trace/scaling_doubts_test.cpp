// Doubts: each appears where there is reason for it, and not elsewhere.
#include <tutti/trace/scaling_doubts.hpp>

#include <gtest/gtest.h>

#include <algorithm>
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

std::vector<scaling_doubt> doubts_of(const std::vector<scaling_count>& counts, int usable = processors) {
  std::vector<scaling_run> runs;
  for (const scaling_count& count : counts) {
    for (const double seconds : count.seconds) runs.push_back({.workers = count.workers, .seconds = seconds});
  }
  return doubts_about(counts, usable, "in OMP_NUM_THREADS", fit_scaling(scaling_law::amdahl, runs),
                      fit_scaling(scaling_law::usl, runs));
}

std::vector<std::string> codes_of(const std::vector<scaling_count>& counts, int usable = processors) {
  std::vector<std::string> codes;
  for (const scaling_doubt& doubt : doubts_of(counts, usable)) {
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
  const std::vector<scaling_count> counts = {measured(1, 1.0, 1, 0.5), measured(2, 0.8, 1.3, 0.5),
                                             measured(4, 0.75, 1.4, 0.5), measured(8, 0.72, 1.5, 0.5)};
  const codes found = codes_of(counts);
  EXPECT_EQ(std::ranges::count(found, "noise"), 1);
  EXPECT_EQ(std::ranges::count(found, "unsure"), 1);
}

TEST(ScalingDoubts, NoiseIsNotHeldAgainstTheProgram) {
  const codes found = codes_of({measured(1, 1.0, 1, 0.5), measured(2, 0.7, 1, 0.5)});
  EXPECT_EQ(std::ranges::count(found, "ignored"), 0);
  EXPECT_EQ(std::ranges::count(found, "noise"), 1);
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
  const std::vector<scaling_doubt> doubts = doubts_of(counts);
  const auto found = std::ranges::find(doubts, "other_law", &scaling_doubt::code);
  ASSERT_NE(found, doubts.end());
  EXPECT_NE(found->text.find("Gunther"), std::string::npos);
}

}  // namespace
}  // namespace tutti
