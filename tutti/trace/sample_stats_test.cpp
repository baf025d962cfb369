// Samples: the figures against pytest-benchmark's rules, the test against published tables.
#include <tutti/trace/sample_stats.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

namespace tutti {
namespace {

using values = std::vector<double>;

TEST(SampleSummary, OneValue) {
  const sample_summary s = summarise(values{3});
  EXPECT_EQ(s.count, 1U);
  for (const double v : {s.min, s.max, s.mean, s.median, s.q1, s.q3}) EXPECT_EQ(v, 3);
  EXPECT_EQ(s.stddev, 0);
  EXPECT_EQ(s.beyond_stddev + s.beyond_iqr, 0U);
}

TEST(SampleSummary, FiguresOfKnownSamples) {
  const sample_summary even = summarise(values{4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(even.mean, 2.5);
  EXPECT_DOUBLE_EQ(even.median, 2.5);
  EXPECT_DOUBLE_EQ(even.stddev, std::sqrt(5.0 / 3));
  EXPECT_DOUBLE_EQ(even.q1, 1.5);
  EXPECT_DOUBLE_EQ(even.q3, 3.5);
  EXPECT_EQ(even.beyond_stddev, 2U);

  const sample_summary five = summarise(values{1, 2, 3, 4, 5});  // 4n + 1 values
  EXPECT_DOUBLE_EQ(five.q1, 1.75);
  EXPECT_DOUBLE_EQ(five.q3, 4.25);
  const sample_summary seven = summarise(values{1, 2, 3, 4, 5, 6, 7});  // 4n + 3 values
  EXPECT_DOUBLE_EQ(seven.q1, 2.25);
  EXPECT_DOUBLE_EQ(seven.q3, 5.75);
}

TEST(SampleSummary, Outliers) {
  const sample_summary s = summarise(values{10, 10.1, 10.2, 9.9, 9.8, 10, 10.1, 25});
  EXPECT_EQ(s.beyond_stddev, 1U);
  EXPECT_EQ(s.beyond_iqr, 1U);
  EXPECT_NEAR(s.relative_spread(), 0.02, 0.001);
}

TEST(SampleSummary, NoValues) { EXPECT_THROW((void)summarise({}), std::invalid_argument); }

TEST(CompareSamples, SeparatedSamplesHaveTheExactProbability) {
  // All of one below all of the other: 2 of the 252 orders of five and five are as extreme.
  const sample_ratio r = compare_samples(values{1.0, 1.1, 1.2, 1.3, 1.4}, values{2.0, 2.1, 2.3, 2.5, 2.7});
  EXPECT_NEAR(r.p_value, 2.0 / 252, 1e-12);
  EXPECT_GT(r.ratio, 1.7);
  ASSERT_TRUE(r.range);
  EXPECT_GT(r.range->low, 1.4);
  EXPECT_LT(r.range->high, 2.5);
}

// n = m = 5: 2 is the greatest U significant at 5 % (two-sided) in every table of the test.
TEST(CompareSamples, CriticalValues) {
  EXPECT_NEAR(compare_samples(values{1, 2, 3, 4, 7}, values{5, 6, 8, 9, 10}).p_value, 0.0317, 0.0001);  // U = 2
  EXPECT_NEAR(compare_samples(values{1, 2, 3, 4, 8}, values{5, 6, 7, 9, 10}).p_value, 0.0556, 0.0001);  // U = 3
}

TEST(CompareSamples, TheRangeAndTheTestAgree) {
  std::mt19937 random(3);
  std::lognormal_distribution<double> noise(0, 0.1);
  int significant = 0;
  for (int draw = 0; draw < 200; ++draw) {
    values a, b;
    for (int i = 0; i < 8; ++i) {
      a.push_back(noise(random));
      b.push_back(1.1 * noise(random));
    }
    const sample_ratio r = compare_samples(a, b);
    ASSERT_TRUE(r.range);
    const bool holds_one = r.range->low <= 1 && 1 <= r.range->high;
    EXPECT_EQ(holds_one, r.p_value > 0.05) << r.p_value;
    significant += r.p_value <= 0.05;
  }
  EXPECT_GT(significant, 20);
  EXPECT_LT(significant, 180);
}

TEST(CompareSamples, LuckIsRarelySignificant) {
  std::mt19937 random(11);
  std::lognormal_distribution<double> noise(0, 0.2);
  for (const int size : {6, 80}) {  // exact, approximated
    int significant = 0;
    for (int draw = 0; draw < 400; ++draw) {
      values a, b;
      for (int i = 0; i < size; ++i) {
        a.push_back(noise(random));
        b.push_back(noise(random));
      }
      significant += compare_samples(a, b).p_value < 0.05;
    }
    EXPECT_LE(significant, 32) << size;  // 20 expected
    EXPECT_GE(significant, 6) << size;
  }
}

TEST(CompareSamples, TooFewValuesHaveNoRange) {
  const sample_ratio r = compare_samples(values{1, 1.1, 1.2}, values{2, 2.1, 2.2});
  EXPECT_NEAR(r.p_value, 0.1, 1e-12);
  EXPECT_FALSE(r.range);
}

TEST(CompareSamples, TiesInTinySamplesProveNoMoreThanTheyCan) {
  const sample_ratio r = compare_samples(values{1, 1, 1}, values{2, 2, 2});
  EXPECT_NEAR(r.p_value, 0.1, 1e-12);  // 2 of the 20 choices are as far apart
  EXPECT_FALSE(r.range);
  EXPECT_NEAR(compare_samples(values{2, 2, 2}, values{1, 1, 1}).p_value, 0.1, 1e-12);
  EXPECT_NEAR(compare_samples(values{1, 1, 1, 1}, values{2, 2, 2, 2}).p_value, 2.0 / 70, 1e-12);
  const values many(19, 2.0);  // too many for the exact distribution
  EXPECT_NEAR(compare_samples(values{1, 1}, many).p_value, 2.0 / 210, 1e-12);
  // {1, 2} from {1, 2, 2, 3}: sums of ranks 3.5 (twice), 5 (twice), 6.5 (twice).
  EXPECT_NEAR(compare_samples(values{1, 2}, values{2, 3}).p_value, 2.0 / 3, 1e-12);
}

TEST(CompareSamples, EqualValues) {
  const sample_ratio r = compare_samples(values{1, 1, 1, 1}, values{1, 1, 1, 1});
  EXPECT_EQ(r.ratio, 1);
  EXPECT_EQ(r.p_value, 1);
  EXPECT_GT(compare_samples(values{1, 1, 2, 2}, values{1, 1, 2, 2}).p_value, 0.9);
}

TEST(CompareSamples, ImpossibleValues) {
  EXPECT_THROW((void)compare_samples({}, values{1}), std::invalid_argument);
  EXPECT_THROW((void)compare_samples(values{1}, values{0}), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
