// What is written is read again; what is no timeline is refused with its place.
#include <gtest/gtest.h>
#include <tutti/trace/timeline_reader.hpp>
#include <tutti/trace/timeline_writer.hpp>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <system_error>

namespace {

using tutti::read_timeline;
using tutti::slice_kind;
using tutti::timeline;

std::string written(const timeline& t) {
  std::ostringstream out;
  write_timeline(t, out);
  return out.str();
}

timeline small() {
  timeline t;
  t.process = "demo";
  t.pid = 42;
  t.duration = 1'234'567'891;
  t.dropped = 2;
  t.threads.push_back(
      {.name = "main", .is_worker = false, .begin = 1, .end = 1'000'000'001, .dropped = 0, .kernel_id = 42});
  t.threads.push_back(
      {.name = "default/0", .is_worker = true, .begin = 0, .end = t.duration, .dropped = 3, .kernel_id = 43});
  timeline::slice task;
  task.thread = 1;
  task.name = t.add("load");
  task.detail = t.add("sleep_for");
  task.begin = 1'000'001;
  task.end = 2'000'002;
  task.resumed = true;
  t.slices.push_back(task);
  timeline::slice wait;
  wait.kind = slice_kind::wait;
  wait.name = t.add("mutex::lock");
  wait.detail = t.add("mutex \"index\"");
  wait.where = t.add("a.cpp:7");
  wait.begin = 3;
  wait.end = 1'234'567'891;
  wait.unfinished = true;
  t.slices.push_back(wait);
  t.marks.push_back({1, tutti::mark_kind::steal, 0, 0, 17});
  t.marks.push_back({0, tutti::mark_kind::user, t.add("frame"), 9, 18});
  t.counters.push_back({t.add("queue"), -5, 19});
  t.flows.push_back({tutti::flow_kind::submit, 0, 1, 10, 1'000'001});
  t.sort();
  return t;
}

TEST(timeline_reader, reads_what_was_written) {
  const timeline before = small();
  const timeline t = read_timeline(written(before));
  EXPECT_EQ(t.process, "demo");
  EXPECT_EQ(t.pid, 42);
  EXPECT_EQ(t.duration, before.duration);
  EXPECT_EQ(t.all_dropped(), 5U);
  ASSERT_EQ(t.threads.size(), 2U);
  EXPECT_EQ(t.threads[1].name, "default/0");
  EXPECT_TRUE(t.threads[1].is_worker);
  EXPECT_EQ(t.threads[1].dropped, 3U);
  EXPECT_EQ(t.threads[0].begin, 1);
  EXPECT_EQ(t.threads[0].end, 1'000'000'001);
  EXPECT_EQ(t.threads[1].kernel_id, 43);
  ASSERT_EQ(t.slices.size(), 2U);
  EXPECT_EQ(t.slices[0].kind, slice_kind::wait);
  EXPECT_EQ(t[t.slices[0].detail], "mutex \"index\"");
  EXPECT_EQ(t[t.slices[0].where], "a.cpp:7");
  EXPECT_EQ(t.slices[0].end, 1'234'567'891);
  EXPECT_TRUE(t.slices[0].unfinished);
  EXPECT_EQ(t[t.slices[1].name], "load");
  EXPECT_EQ(t[t.slices[1].detail], "sleep_for");
  EXPECT_TRUE(t.slices[1].resumed);
  EXPECT_EQ(t.slices[1].begin, 1'000'001);
  ASSERT_EQ(t.marks.size(), 2U);
  EXPECT_EQ(t[t.marks[1].name], "frame");
  EXPECT_EQ(t.marks[1].number, 9U);
  ASSERT_EQ(t.counters.size(), 1U);
  EXPECT_EQ(t.counters[0].value, -5);
  ASSERT_EQ(t.flows.size(), 1U);
  EXPECT_EQ(t.flows[0].from, 10);
  EXPECT_EQ(t.flows[0].to, 1'000'001);
  EXPECT_EQ(written(t), written(before));
}

TEST(timeline_reader, integers_beyond_those_of_a_double) {
  timeline before;
  before.marks.push_back({0, tutti::mark_kind::user, before.add("mark"), ~std::uint64_t{0}, 1});
  before.counters.push_back({before.add("count"), (std::int64_t{1} << 60) + 1, 2});
  before.counters.push_back({before.add("count"), std::numeric_limits<std::int64_t>::min(), 3});
  before.threads.push_back({.name = "main"});
  const timeline t = read_timeline(written(before));
  ASSERT_EQ(t.marks.size(), 1U);
  EXPECT_EQ(t.marks[0].number, ~std::uint64_t{0});
  ASSERT_EQ(t.counters.size(), 2U);
  EXPECT_EQ(t.counters[0].value, (std::int64_t{1} << 60) + 1);
  EXPECT_EQ(t.counters[1].value, std::numeric_limits<std::int64_t>::min());
}

TEST(timeline_reader, control_bytes_do_not_reach_messages) {
  const std::string odd = R"({"otherData":{"tutti":"\u001b[2J\u009b)" + std::string(100'000, 'x') + R"("}})";
  try {
    static_cast<void>(read_timeline(odd));
    FAIL();
  } catch (const tutti::decode_error& why) {
    const std::string said = why.what();
    EXPECT_NE(said.find("\"?[2J?xxx"), std::string::npos) << said;
    EXPECT_EQ(said.find('\x1B'), std::string::npos);
    EXPECT_EQ(said.find("\xC2\x9B"), std::string::npos);
    EXPECT_LT(said.size(), 300U);
  }
}

TEST(timeline_reader, reads_in_pieces_of_any_size) {
  timeline t = small();
  for (int i = 0; i < 3000; ++i) {
    timeline::slice task;
    task.name = t.add(std::string(static_cast<std::size_t>(i % 97), 'x'));
    task.begin = 10 * i;
    task.end = 10 * i + 5;
    t.slices.push_back(task);
  }
  t.sort();
  std::istringstream in(written(t));  // larger than a piece
  EXPECT_EQ(written(read_timeline(in)), written(t));
}

TEST(timeline_writer, any_bytes_in_names) {
  timeline t = small();
  const std::string odd = "q\" b\\ n\n z\x01 \x7F \xC3\xA9 bad\xFF\xC3 \xF0\x9F\x98\x80";
  t.slices[0].name = t.add(odd + std::string(1, '\0'));
  const std::string text = written(t);
  const timeline again = read_timeline(text);
  EXPECT_EQ(again[again.slices[0].name],
            "q\" b\\ n\n z\x01 \x7F \xC3\xA9 bad\xEF\xBF\xBD\xEF\xBF\xBD \xF0\x9F\x98\x80" + std::string(1, '\0'));
  EXPECT_EQ(text.find('\x01'), std::string::npos);
}

TEST(timeline_writer, stops_where_the_stream_fails) {
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  write_timeline(small(), out);
  EXPECT_TRUE(out.str().empty());
}

// What is said about a text, and at which byte.
std::pair<std::string, std::size_t> refusal(std::string_view text, const tutti::timeline_limits& limits = {}) {
  try {
    static_cast<void>(read_timeline(text, limits));
  } catch (const tutti::decode_error& refused) {
    return {refused.what(), refused.offset()};
  }
  return {"", 0};
}

std::string with_events(const std::string& events) {
  return R"({"otherData":{"tutti":"timeline 1"},"traceEvents":[)" + events + "]}";
}

TEST(timeline_reader, refuses_what_is_no_timeline) {
  EXPECT_EQ(refusal("").first, "no timeline: at byte 0: it is empty");
  EXPECT_NE(refusal("{}").first.find("it is JSON, but no timeline of tutti"), std::string::npos);
  EXPECT_NE(refusal("17").first.find("it is no object"), std::string::npos);
  EXPECT_NE(refusal("[]").first.find("no timeline of tutti"), std::string::npos);
  EXPECT_EQ(refusal("hello").second, 0U);
  EXPECT_NE(refusal(R"({"otherData":{"tutti":"timeline 9"}})").first.find("\"timeline 9\"; known"), std::string::npos);
  EXPECT_NE(refusal(std::string(100, '[')).first.find("too deep"), std::string::npos);
  EXPECT_EQ(refusal(with_events("")).first, "");
}

TEST(timeline_reader, refuses_values_of_the_wrong_kind_or_size) {
  const auto says = [](const std::string& event, std::string_view part) {
    const std::string text = with_events(event);
    const auto [what, offset] = refusal(text);
    EXPECT_NE(what.find(part), std::string::npos) << event << ": " << what;
    EXPECT_GT(offset, text.find('['));
    EXPECT_LE(offset, text.size());
  };
  says(R"({"ph":"X","cat":"task","ts":"soon","dur":1,"tid":1})", "\"ts\" is no number");
  says(R"({"ph":"X","cat":"task","ts":1,"dur":-1,"tid":1})", "\"dur\" is -1, not from 0");
  says(R"({"ph":"X","cat":"task","ts":1e300,"dur":1,"tid":1})", "\"ts\" is 1e+300");
  says(R"({"ph":"X","cat":"task","ts":1,"tid":1})", "has no \"dur\"");
  says(R"({"ph":"X","cat":"task","ts":1,"dur":1})", "has no \"tid\"");
  says(R"({"ph":"X","cat":"task","ts":1,"dur":1,"tid":99999999999999999999})", "\"tid\" is 1e+20");
  says(R"({"ph":7})", "\"ph\" is no string");
  says("12", "something else");
  says(
      R"({"ph":"s","cat":"flow","name":"join","ts":5,"tid":1,"id":1},{"ph":"f","cat":"flow","name":"join","ts":4,"tid":1,"id":1})",
      "ends before it begins");
  says(
      R"({"ph":"s","cat":"flow","name":"join","ts":5,"tid":1,"id":1},{"ph":"s","cat":"flow","name":"join","ts":4,"tid":1,"id":1})",
      "two of its ends");
}

TEST(timeline_reader, passes_over_what_others_have_added) {
  const timeline t = read_timeline(with_events(
      R"({"ph":"X","cat":"gpu","ts":1,"dur":1,"tid":1},{"ph":"b","id":"0x1"},{"ph":"X","cat":"task","name":"a","ts":1,)"
      R"("dur":2,"tid":5,"args":{"for":[1,{"x":2}],"resumed":"yes","more":{"at":"b"}},"extra":[[1]]},)"
      R"({"ph":"s","cat":"flow","name":"join","ts":5,"tid":1,"id":1})"));
  ASSERT_EQ(t.slices.size(), 1U);
  EXPECT_EQ(t[t.slices[0].name], "a");
  EXPECT_EQ(t.slices[0].detail, 0U);
  EXPECT_EQ(t.threads[0].name, "thread 5");
  EXPECT_TRUE(t.flows.empty());  // half of one
}

TEST(timeline_reader, has_limits) {
  const std::string two = with_events(R"({"ph":"M"},{"ph":"X","cat":"task","ts":1,"dur":1,"tid":1})");
  EXPECT_EQ(refusal(two, {.events = 2, .threads = 1}).first, "");
  EXPECT_NE(refusal(two, {.events = 1, .threads = 1}).first.find("more than 1 events"), std::string::npos);
  EXPECT_NE(refusal(two, {.events = 2, .threads = 0}).first.find("more than 0 threads"), std::string::npos);
}

// However a file was cut off: an error at its end, never a crash.
TEST(timeline_reader, refuses_every_beginning_of_a_file) {
  const std::string whole = written(small());
  for (std::size_t size = 1; size + 2 < whole.size(); ++size) {
    const auto [what, offset] = refusal(whole.substr(0, size));
    ASSERT_NE(what, "") << size;
    ASSERT_EQ(offset, size) << what;
  }
}

TEST(timeline_reader, files_that_cannot_be_read) {
  EXPECT_THROW(static_cast<void>(tutti::read_timeline_file("/no/such/file")), std::system_error);
  try {
    static_cast<void>(tutti::read_timeline_file(std::filesystem::temp_directory_path()));
    FAIL();
  } catch (const std::system_error& why) {
    EXPECT_EQ(why.code().value(), EISDIR);
  }
}

}  // namespace
