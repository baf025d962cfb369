// contract_test: what recordings, timeline files and fits promise, as properties: of a program that was recorded, of
// random timelines, of times that were made by a law.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <tutti/base/error.hpp>
#include <tutti/core/core.hpp>
#include <tutti/trace/trace.hpp>
#include <utility>
#include <vector>

namespace contract_trace {

using namespace std::string_literals;
using tutti::slice_kind;
using tutti::timeline;

// Everything in a timeline, with texts in place of their numbers.
auto plain(const timeline& t) {
  using row = std::tuple<std::string, std::string, std::string, std::vector<std::int64_t>>;
  std::vector<row> rows{{t.process, "", "", {t.pid, t.duration, static_cast<std::int64_t>(t.dropped)}}};
  const auto n = [](auto value) { return static_cast<std::int64_t>(value); };
  for (const auto& h : t.threads) rows.push_back({h.name, "", "", {h.is_worker, h.begin, h.end, n(h.dropped)}});
  for (const auto& s : t.slices) {
    rows.push_back(
        {t[s.name], t[s.detail], t[s.where], {n(s.thread), n(s.kind), s.resumed, s.unfinished, s.begin, s.end}});
  }
  for (const auto& m : t.marks) rows.push_back({t[m.name], "", "", {n(m.thread), n(m.kind), n(m.number), m.at}});
  for (const auto& c : t.counters) rows.push_back({t[c.name], "", "", {c.value, c.at}});
  for (const auto& f : t.flows)
    rows.push_back({"", "", "", {n(f.kind), n(f.from_thread), n(f.to_thread), f.from, f.to}});
  return rows;
}
std::string written(const timeline& t) {
  std::ostringstream out;
  tutti::write_timeline(t, out);
  return out.str();
}

// What must hold of each timeline.
void check(const timeline& t) {
  ASSERT_TRUE(std::ranges::is_sorted(t.slices, {}, &timeline::slice::begin));
  ASSERT_TRUE(std::ranges::is_sorted(t.marks, {}, &timeline::mark::at));
  ASSERT_TRUE(std::ranges::is_sorted(t.flows, {}, &timeline::flow::to));
  std::vector<std::vector<std::int64_t>> open(t.threads.size());
  for (const auto& s : t.slices) {
    ASSERT_LT(s.thread, t.threads.size());
    const auto& thread = t.threads[s.thread];
    EXPECT_TRUE(0 <= s.begin && s.begin <= s.end && s.end <= t.duration) << t[s.name];
    EXPECT_TRUE(thread.begin <= s.begin && s.end <= thread.end) << t[s.name];
    auto& ends = open[s.thread];
    while (!ends.empty() && ends.back() <= s.begin) ends.pop_back();
    EXPECT_TRUE(ends.empty() || s.end <= ends.back()) << t[s.name] << " does not nest";
    ends.push_back(s.end);
  }
  for (const auto& f : t.flows) {
    ASSERT_TRUE(f.from_thread < t.threads.size() && f.to_thread < t.threads.size());
    EXPECT_TRUE(0 <= f.from && f.from <= f.to && f.to <= t.duration) << to_string(f.kind);
  }
}
void check(const tutti::trace_summary& s) {
  EXPECT_LE(s.span, s.work);
  EXPECT_LE(s.work, s.duration * static_cast<std::int64_t>(s.threads.size()));
  for (const auto& t : s.threads) {
    EXPECT_LE(t.alive, s.duration);
    EXPECT_EQ(t.busy + t.waiting + t.idle + t.overhead, t.alive) << t.name;
    EXPECT_TRUE(t.busy >= 0 && t.waiting >= 0 && t.idle >= 0 && t.overhead >= 0) << t.name;
  }
  for (const auto& name : s.names) EXPECT_LE(name.longest, name.total);
}

TEST(contract, a_recorded_program_is_all_there) {
  for (const int workers : {1, 3}) {
    tutti::thread_pool pool(workers);
    tutti::trace_recorder recorder;
    recorder.start();
    constexpr int outer = 40, inner = 5;
    std::atomic<int> ran{0};
    std::vector<tutti::future<void>> tasks;
    for (int i = 0; i < outer; ++i) {
      tasks.push_back(pool.with({.name = "outer"}).submit([&, i] {
        const tutti::trace_span span("phase");
        std::vector<tutti::future<void>> more;
        for (int j = 0; j < inner; ++j) more.push_back(pool.with({.name = "inner"}).submit([&] { ++ran; }));
        for (auto& m : more) m.get();
        tutti::trace_mark("done", static_cast<std::uint64_t>(i));
      }));
    }
    for (auto& task : tasks) task.get();
    for (int i = 0; i < 10; ++i) tutti::trace_count("ran", i - ran);
    recorder.stop();
    tutti::trace_mark("too late");
    const timeline t = recorder.collect();
    check(t);
    EXPECT_EQ(t.all_dropped(), 0U);

    std::map<std::string, int> slices;
    std::vector<std::tuple<std::uint32_t, std::int64_t>> begins, arrows;
    for (const auto& s : t.slices) {
      ++slices[t[s.name]];
      if (s.kind == slice_kind::task) begins.emplace_back(s.thread, s.begin);
    }
    EXPECT_EQ(slices["outer"], outer);
    EXPECT_EQ(slices["inner"], outer * inner);
    EXPECT_EQ(slices["phase"], outer);
    for (const auto& f : t.flows) {
      if (f.kind == tutti::flow_kind::submit) arrows.emplace_back(f.to_thread, f.to);
    }
    std::ranges::sort(begins);
    std::ranges::sort(arrows);
    EXPECT_EQ(begins, arrows);
    std::vector<std::uint64_t> done;
    for (const auto& m : t.marks) {
      if (m.kind == tutti::mark_kind::user) {
        EXPECT_EQ(t[m.name], "done");
        done.push_back(m.number);
      }
    }
    std::ranges::sort(done);
    ASSERT_EQ(done.size(), std::size_t{outer});
    for (std::size_t i = 0; i < done.size(); ++i) EXPECT_EQ(done[i], i);
    std::vector<std::int64_t> values;
    for (const auto& c : t.counters) {
      if (t[c.name] == "ran") values.push_back(c.value);  // there are curves of tutti's own too
    }
    ASSERT_EQ(values.size(), 10U);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i - outer * inner);

    const timeline back = tutti::read_timeline(written(t));
    EXPECT_EQ(plain(back), plain(t));
    const tutti::trace_summary summary = tutti::summarise(t), again = tutti::summarise(back);
    check(summary);
    std::uint64_t counted = 0;
    for (const auto& thread : summary.threads) counted += thread.tasks;
    EXPECT_EQ(counted, begins.size());
    EXPECT_EQ(std::tuple(summary.work, summary.span, summary.duration),
              std::tuple(again.work, again.span, again.duration));
    std::ostringstream first, second;
    tutti::write_summary(summary, first);
    tutti::write_summary(again, second);
    EXPECT_EQ(first.str(), second.str());
  }
}

TEST(contract, rings_keep_the_last_events_and_count_the_others) {
  for (const std::size_t events : {16U, 64U, 1'024U}) {
    for (const std::uint64_t marks : {events / 2, events, events + 1, 7 * events + 3}) {
      tutti::trace_recorder recorder({.bytes_per_thread = 24 * events, .max_threads = 3});
      recorder.start();
      std::thread([&] {
        for (std::uint64_t i = 0; i < marks; ++i) tutti::trace_mark("tick", i);
      }).join();
      recorder.stop();
      const timeline t = recorder.collect();
      check(t);
      EXPECT_LE(t.marks.size(), events);
      EXPECT_EQ(t.marks.size() + t.all_dropped(), marks);
      EXPECT_GE(t.marks.size(), std::min<std::size_t>(marks, events / 2));
      for (std::size_t i = 0; i < t.marks.size(); ++i) EXPECT_EQ(t.marks[i].number, marks - t.marks.size() + i);
    }
  }
}

// A random timeline: slices nest, arrows lead forward; names are anything.
timeline some_timeline(std::mt19937_64& random) {
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
  timeline t;
  t.process = "a \"program\"\n";
  t.pid = below(1U << 22U);
  t.duration = 1'000 + below(random() % 2 == 0 ? 1'000'000 : 900'000'000'000'000);  // up to ten days
  t.dropped = static_cast<std::uint64_t>(below(3));
  const auto name = [&] {
    std::string s;
    for (auto length = below(8); length > 0; --length) {
      static const std::vector<std::string> parts{"a",   "\"", "\\", "/",  "\n", "\x01", "\x7f",
                                                  "\0"s, "ä",  "€",  "😀", "{",  "]",    ","};
      s += parts[static_cast<std::size_t>(below(parts.size()))];
    }
    return t.add(s);
  };
  const auto threads = 1 + static_cast<std::uint32_t>(below(4));
  for (std::uint32_t h = 0; h < threads; ++h) {
    t.threads.push_back(
        {"thread \\" + std::to_string(h), below(2) == 0, 0, t.duration, static_cast<std::uint64_t>(below(5)), 1 + h});
    const auto fill = [&](auto&& self, std::int64_t begin, std::int64_t end, int depth) -> void {
      for (auto parts = below(4); parts > 0 && depth < 5 && end - begin > 4; --parts) {
        const std::int64_t from = begin + below(static_cast<std::uint64_t>(end - begin) / 2);
        const std::int64_t to = from + 1 + below(static_cast<std::uint64_t>(end - from));
        const auto kind = static_cast<slice_kind>(below(5));
        const bool resumes = kind == slice_kind::task && below(2) == 0, waits = kind == slice_kind::wait;
        t.slices.push_back({h, kind, resumes, false, kind == slice_kind::park ? 0 : name(), waits ? name() : 0,
                            waits ? name() : 0, from, to});
        self(self, from, to, depth + 1);
        begin = to;
      }
    };
    fill(fill, 0, t.duration, 0);
  }
  const auto thread = [&] { return static_cast<std::uint32_t>(below(threads)); };
  for (auto i = below(20); i > 0; --i) {
    const std::int64_t from = below(static_cast<std::uint64_t>(t.duration)),
                       to = from + below(static_cast<std::uint64_t>(t.duration - from));
    t.flows.push_back({static_cast<tutti::flow_kind>(below(6)), thread(), thread(), from, to});
    t.marks.push_back(
        {thread(), tutti::mark_kind::user, name(), static_cast<std::uint64_t>(below(std::uint64_t{1} << 60U)), from});
    t.counters.push_back({name(), static_cast<std::int64_t>(random()), to});
  }
  t.sort();
  return t;
}

TEST(contract, files_are_read_back_as_they_were_written) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const timeline t = some_timeline(random);
    check(t);
    const std::string text = written(t);
    EXPECT_EQ(plain(tutti::read_timeline(text)), plain(t));
    std::istringstream in(text);
    EXPECT_EQ(plain(tutti::read_timeline(in)), plain(t));
    const auto s = tutti::summarise(t);
    EXPECT_LE(s.span, s.work);
    // Whatever is cut off is missed, and whatever is changed breaks nothing.
    const std::size_t whole = text.find_last_not_of(" \n") + 1;
    for (int i = 0; i < 20; ++i) {
      const std::size_t cut = i == 0 ? whole - 1 : random() % whole;
      EXPECT_THROW(tutti::read_timeline(text.substr(0, cut)), tutti::decode_error) << cut << " of " << whole;
      std::string damaged = text;
      for (int k = 0; k < 3; ++k) damaged[random() % whole] = "0123456789-\",:{}[]et\x00\xff"[random() % 22];
      try {
        tutti::summarise(tutti::read_timeline(damaged));
      } catch (const tutti::decode_error& e) {
        EXPECT_LE(e.offset(), damaged.size());
      }
    }
  }
}

TEST(contract, recorders_and_files_refuse_what_cannot_be) {
  tutti::trace_recorder one, two;
  EXPECT_THROW(static_cast<void>(one.collect()), std::logic_error);
  one.start();
  EXPECT_THROW(one.start(), std::logic_error);
  EXPECT_THROW(two.start(), std::logic_error);
  one.stop();
  two.start();
  EXPECT_THROW(static_cast<void>(one.collect()), std::logic_error);
  two.stop();
  for (const std::filesystem::path file : {"/nowhere/at/all.json", "/", "/dev/full"}) {
    try {
      two.write(file);
      ADD_FAILURE() << file;
    } catch (const std::system_error& e) {
      EXPECT_NE(std::string(e.what()).find(file.string()), std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(tutti::read_timeline_file("/nowhere/at/all.json"), std::system_error);
  EXPECT_THROW(tutti::read_timeline_file("/dev/null"), tutti::decode_error);
}

using tutti::scaling_law;
double law_seconds(scaling_law law, double n, double serial, double kappa) {
  if (law == scaling_law::amdahl) return serial + (1 - serial) / n;
  if (law == scaling_law::gustafson) return 1 / (n - serial * (n - 1));
  return (1 + serial * (n - 1) + kappa * n * (n - 1)) / n;
}

TEST(contract, fits_find_the_law_that_made_the_times) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto share = [&] { return static_cast<double>(random() % 1'000 + 1) / 1'100; };
    const double single = std::exp(20 * share() - 10), serial = share(), kappa = share() / 20;
    for (const auto law : {scaling_law::amdahl, scaling_law::gustafson, scaling_law::usl}) {
      std::vector<tutti::scaling_run> runs;
      for (const int n : {1, 2, 3, 4, 6, 8, 16}) {
        if (n == 1 && seed % 2 == 0) continue;  // no run with one worker
        for (int r = 0; r < 3; ++r) {
          const double slowed = r == 1 ? 1 + share() : 1;  // one in three is late: the median does not care
          runs.push_back({n, single * law_seconds(law, n, serial, kappa) * slowed});
        }
      }
      std::ranges::shuffle(runs, random);
      const auto fit = tutti::fit_scaling(law, runs);
      ASSERT_TRUE(fit.has_value());
      EXPECT_NEAR(fit->single_seconds / single, 1, 1e-8);
      EXPECT_NEAR(fit->serial.value, serial, 1e-8);
      EXPECT_NEAR(fit->coherence.value, law == scaling_law::usl ? kappa : 0, 1e-8);
      for (const double n : {1., 8., 64., 1024.}) {
        const auto predicted = fit->speedup_of(n);
        ASSERT_TRUE(predicted.has_value());
        EXPECT_NEAR(predicted->value * law_seconds(law, n, serial, kappa), 1, 1e-5);
        const tutti::interval range = predicted->range.value_or(tutti::interval{0, n});
        EXPECT_TRUE(range.low <= predicted->value && predicted->value <= range.high);
        EXPECT_LE(predicted->value, n);
      }
      EXPECT_EQ(fit->limit().has_value(), law == scaling_law::amdahl);
      EXPECT_NEAR(fit->limit().value_or(tutti::estimate{1 / serial}).value * serial, 1, 1e-5);
      EXPECT_EQ(fit->peak().has_value(), law == scaling_law::usl);
      const double top = std::sqrt((1 - serial) / kappa);
      EXPECT_NEAR(fit->peak().value_or(tutti::estimate{top}).value / top, 1, 1e-5);
      const auto compared = tutti::compare(single, single * law_seconds(scaling_law::amdahl, 7, serial, 0), 7);
      EXPECT_NEAR(compared.serial_fraction, serial, 1e-9);  // Karp and Flatt's is Amdahl's
      EXPECT_NEAR(compared.efficiency * 7, compared.factor, 1e-9);
    }
  }
}

TEST(contract, intervals_hold_the_truth_as_often_as_they_say) {
  std::mt19937 random(11);
  std::normal_distribution<double> noise(0, 0.02);
  for (const auto law : {scaling_law::amdahl, scaling_law::gustafson, scaling_law::usl}) {
    int held = 0;
    constexpr int experiments = 600;
    for (int e = 0; e < experiments; ++e) {
      std::vector<tutti::scaling_run> runs;
      for (const int n : {1, 2, 4, 6, 8, 12, 16}) {
        for (int r = 0; r < 5; ++r) runs.push_back({n, 10 * law_seconds(law, n, 0.1, 0.002) * (1 + noise(random))});
      }
      const auto fit = tutti::fit_scaling(law, runs);
      ASSERT_TRUE(fit && fit->serial.range);
      held += fit->serial.range->low <= 0.1 && 0.1 <= fit->serial.range->high ? 1 : 0;
    }
    EXPECT_GT(held, experiments * 90 / 100);  // 95 of 100, and five standard deviations below that
    EXPECT_LT(held, experiments * 995 / 1000);
  }
}

TEST(contract, measurements_that_cannot_be_are_refused) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
  for (const tutti::scaling_run bad : {tutti::scaling_run{0, 1}, {-1, 1}, {2, 0}, {2, -1}, {2, nan}, {2, infinite}}) {
    const std::vector<tutti::scaling_run> runs{{1, 1}, bad, {4, 0.3}, {8, 0.2}};
    EXPECT_THROW(tutti::fit_scaling(scaling_law::amdahl, runs), std::invalid_argument)
        << bad.workers << ' ' << bad.seconds;
  }
  for (const auto law : {scaling_law::amdahl, scaling_law::gustafson, scaling_law::usl}) {
    EXPECT_FALSE(tutti::fit_scaling(law, {}).has_value());
    EXPECT_FALSE(tutti::fit_scaling(law, std::vector<tutti::scaling_run>{{4, 1}, {4, 2}}).has_value());
  }
  const std::vector<double> fine{1, 2}, none, zero{1, 0}, odd{1, nan};
  EXPECT_THROW(tutti::summarise(none), std::invalid_argument);
  for (const auto& bad : {none, zero, odd}) EXPECT_THROW(tutti::compare_samples(fine, bad), std::invalid_argument);
  EXPECT_DOUBLE_EQ(tutti::compare_samples(fine, fine).p_value, 1);
}

}  // namespace contract_trace
