#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <tutti/base/error.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <array>
#include <set>

namespace {

using namespace std::chrono;
using namespace tutti::cluster;
using testing::HasSubstr;
using testing::MatchesRegex;

wall_time at(year y, unsigned m, unsigned d, nanoseconds time) { return sys_days(y / month(m) / day(d)) + time; }

TEST(wire_text, base64_as_the_rfc_has_it) {
  for (const auto& [bytes, text] : std::initializer_list<std::pair<std::string, std::string>>{{"", ""},
                                                                                              {"f", "Zg=="},
                                                                                              {"fo", "Zm8="},
                                                                                              {"foo", "Zm9v"},
                                                                                              {"foob", "Zm9vYg=="},
                                                                                              {"fooba", "Zm9vYmE="},
                                                                                              {"foobar", "Zm9vYmFy"},
                                                                                              {"\xff\xfe\xfd", "//79"},
                                                                                              {"\xfb\xf0", "+/A="}}) {
    EXPECT_EQ(base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes);
  }
  std::string all;
  for (int i = 0; i < 1000; ++i) all += static_cast<char>(i * 7);
  EXPECT_EQ(from_base64(base64(all)), all);
}

TEST(wire_text, what_is_no_base64_is_refused) {
  for (const std::string_view text :
       {"Zg=", "Zg", "Z", "Z===", "====", "Zg==Zg==", "Zm9\n", "Zm9-", "Zm9v\xff===", "=Zm9"}) {
    EXPECT_THROW((void)from_base64(text), tutti::decode_error) << text;
  }
  try {
    (void)from_base64("Zm9vZm9-");
    FAIL();
  } catch (const tutti::decode_error& e) {
    EXPECT_EQ(e.offset(), 7U);
    EXPECT_THAT(e.what(), HasSubstr("byte 45 at 7 of 8"));
  }
}

TEST(wire_text, moments) {
  const auto noon = at(2026y, 1, 31, 12h);
  EXPECT_EQ(iso_time(noon + 250ms), "2026-01-31T12:00:00.250000+00:00");
  EXPECT_EQ(iso_time(noon - 1ns), "2026-01-31T11:59:59.999999+00:00");
  EXPECT_EQ(iso_time(at(1969y, 12, 31, 23h + 59min + 59s)), "1969-12-31T23:59:59.000000+00:00");
  for (const std::string_view text :
       {"2026-01-31T12:00:00", "2026-01-31T12:00:00Z", "2026-01-31 12:00:00+00:00", "2026-01-31T12:00",
        "2026-01-31T14:00:00+02:00", "2026-01-31T14:00:00.000+0200", "2026-01-31T06:30:00-05:30",
        "2026-01-31T14:00:00+02", "2026-01-31T12:00:00.0000000000"}) {
    EXPECT_EQ(from_iso_time(text), noon) << text;
  }
  EXPECT_EQ(from_iso_time("2026-01-31"), noon - 12h);
  EXPECT_EQ(from_iso_time("2026-01-31T12:00:00.25"), noon + 250ms);
  EXPECT_EQ(from_iso_time("2026-01-31T12:00:00.123456789123Z"), noon + 123456789ns);
  EXPECT_EQ(from_iso_time("2026-01-31T00:30:00+01:00"), noon - 12h - 30min);
  EXPECT_EQ(from_iso_time(iso_time(noon + 123456us)), noon + 123456us);
}

TEST(wire_text, moments_beyond_our_clock_are_the_last_it_has) {
  EXPECT_EQ(from_iso_time("9999-12-31T23:59:59.999999"), sys_days(2261y / December / 31));
  EXPECT_EQ(from_iso_time("0001-01-01T00:00:00"), sys_days(1678y / January / 1));
  EXPECT_EQ(iso_time(from_iso_time("9999-12-31T23:59:59.999999")), "2261-12-31T00:00:00.000000+00:00");
}

TEST(wire_text, what_is_no_moment_is_refused) {
  for (const std::string_view text :
       {"", "soon", "2026", "2026-13-01", "2026-02-29", "2026-01-31T", "2026-01-31T24:00:00", "2026-01-31T12:60:00",
        "2026-01-31T12:00:00.", "2026-01-31T12:00:00X", "2026-01-31T12:00:00+", "2026-01-31T12:00:00+2", "2026-01-31x",
        "2026-01-31T12:00:00Zx", "-026-01-31", "2026-1-31", "1769860800"}) {
    EXPECT_THROW((void)from_iso_time(text), tutti::decode_error) << text;
  }
}

TEST(wire_text, uuids_differ_in_a_child_too) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(new_uuid());
  EXPECT_EQ(seen.size(), 1000U);
  EXPECT_THAT(*seen.begin(), MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string text = new_uuid();
    ::_exit(::write(ends[1], text.data(), text.size()) == 36 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  std::string text(36, '\0');
  EXPECT_EQ(::read(ends[0], text.data(), text.size()), 36);
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_NE(text, new_uuid());
}

TEST(wire_text, a_process_has_a_name) {
  EXPECT_EQ(process_name().find(std::to_string(::getpid()) + "@"), 0U);
  EXPECT_GT(process_name().size(), std::to_string(::getpid()).size() + 1);
}

}  // namespace
