// From a program that records itself to what `tutti trace` and other readers make of its file.
#include <apps/tutti/command_line.hpp>
#include <apps/tutti/run_command_testing.hpp>

#include <tutti/channel/channels.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/trace/trace.hpp>

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

outcome shell(const std::string& line) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen((line + " 2>&1").c_str(), "r"), &::pclose);
  outcome result;
  char piece[512];
  for (std::size_t n = 0; (n = std::fread(piece, 1, sizeof piece, pipe.get())) > 0;) result.out.append(piece, n);
  return result;
}

int code_of(const std::string& line) {
  const int status = std::system((line + " >/dev/null 2>&1").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

class TraceCommand : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "tutti_trace_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  std::string write(const char* name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  static std::string read(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path folder_;
};

bool somebody_waits_in(const trace_recorder& recorder, std::string_view what) {
  const timeline now = recorder.collect();
  for (const timeline::slice& s : now.slices) {
    if (s.kind == slice_kind::wait && s.unfinished && now[s.name] == what) return true;
  }
  return false;
}

// Submits, a steal or more, a wait for a lock, one for a channel, each for certain.
void run_program(const trace_recorder& recorder) {
  thread_pool pool({.threads = 3, .name = "shown"});
  const trace_span phase("all of it");

  mutex lock("index");
  future<void> locks;
  {
    const std::lock_guard held(lock);
    locks = pool.with({.name = "locks"}).submit([&] { const std::lock_guard also(lock); });
    while (!somebody_waits_in(recorder, "mutex::lock")) std::this_thread::yield();
  }
  locks.get();

  channel<int> numbers(1);
  auto receives = pool.with({.name = "receives"}).submit([&] { return numbers.receive(); });
  while (!somebody_waits_in(recorder, "channel::receive")) std::this_thread::yield();
  numbers.send(7);
  EXPECT_EQ(receives.get(), 7);

  pool.with({.name = "forks"})
      .submit([] {
        std::atomic<bool> stolen{false};
        fork_join(
            [&] {
              while (!stolen) {
                fork_join([] {}, [] {});
                std::this_thread::yield();
              }
            },
            [&] { stolen = true; });
      })
      .get();
}

TEST_F(TraceCommand, SaysWhatAProgramDid) {
  const std::string file = path("t.json");
  {
    trace_recorder recorder;
    recorder.start();
    run_program(recorder);
    recorder.stop();
    recorder.write(file);
  }
  const outcome said = run({"trace", file.c_str()});
  EXPECT_EQ(said.code, 0) << said.err;
  for (const char* part : {"locks", "receives", "forks", "mutex::lock, mutex \"index\"", "channel::receive, channel",
                           "shown/0", "shown/1", "shown/2", "main", "stolen branches", "parallelism", "all of it"}) {
    EXPECT_TRUE(contains(said.out, part)) << part << '\n' << said.out;
  }
  EXPECT_FALSE(contains(said.out, "WARNING"));
}

// What Perfetto needs, seen by another reader of JSON: times in order, flows in pairs that begin and end within slices
// or threads, slices that nest.
constexpr const char* check = R"(
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    timeline = json.load(file)
events = timeline["traceEvents"]
names = {e["tid"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
timed = [e for e in events if e["ph"] != "M"]
assert timed, "no events"
assert all(a["ts"] <= b["ts"] for a, b in zip(timed, timed[1:])), "not in order of time"
assert all(e["ts"] >= 0 for e in timed)
assert {e["ph"] for e in timed} <= set("XsfiC")
assert all(e["tid"] in names for e in timed if e["ph"] != "C")
assert len({e["pid"] for e in events}) == 1
def ns(us): return round(us * 1000)
open_slices = {}
for e in timed:
    if e["ph"] != "X": continue
    begin, end = ns(e["ts"]), ns(e["ts"]) + ns(e["dur"])
    assert end >= begin, e
    stack = open_slices.setdefault(e["tid"], [])
    while stack and stack[-1] <= begin: stack.pop()
    assert not stack or end <= stack[-1], ("slices overlap", e)
    stack.append(end)
starts = {e["id"]: e for e in timed if e["ph"] == "s"}
ends = {e["id"]: e for e in timed if e["ph"] == "f"}
assert len(starts) == sum(e["ph"] == "s" for e in timed) and starts.keys() == ends.keys(), "flows do not pair"
for key, start in starts.items():
    end = ends[key]
    assert start["ts"] <= end["ts"] and start["name"] == end["name"] and start["cat"] == end["cat"] and end["bp"] == "e"
assert {"submit", "fork", "join", "wake"} <= {e["name"] for e in starts.values()}, "kinds of flows"
print("fine", len(timed))
)";

TEST_F(TraceCommand, AnotherReaderFindsWhatPerfettoNeeds) {
  trace_recorder recorder;
  recorder.start();
  run_program(recorder);
  recorder.stop();
  recorder.write(path("t.json"));
  const outcome said = shell("python3 " + write("check.py", check) + " " + path("t.json"));
  EXPECT_TRUE(said.out.starts_with("fine ")) << said.out;
}

TEST_F(TraceCommand, RefusesWhatIsNoTimeline) {
  EXPECT_EQ(run({"trace"}).code, 2);
  EXPECT_EQ(run({"trace", "x", "--lines", "0"}).code, 2);
  const outcome missing = run({"trace", "/no/such/file"});
  EXPECT_EQ(missing.code, 3);
  EXPECT_TRUE(contains(missing.err, "\"/no/such/file\" cannot be read: No such file")) << missing.err;
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"", "at byte 0: it is empty"},
           {"no", "at byte "},
           {R"({"otherData":{"tutti":"timeline 1"},"traceEvents":[{"ph)", "it ends too early"},
           {R"({"traceEvents":[]})", "no timeline of tutti"},
           {R"({"otherData":{"tutti":"timeline 1"},"traceEvents":[{"ph":"X","cat":"task","ts":1e99}]})",
            "\"ts\" is 1e+99"}}) {
    const outcome said = run({"trace", write("bad.json", text).c_str()});
    EXPECT_EQ(said.code, 3) << text;
    EXPECT_TRUE(contains(said.err, "bad.json: no timeline")) << said.err;
    EXPECT_TRUE(contains(said.err, part)) << said.err;
    EXPECT_EQ(said.out, "");
  }
}

TEST_F(TraceCommand, EveryProgramRecordsItselfWhenAsked) {
  write("words.txt", "one two two\n");
  const std::string demo = TUTTI_COMMAND " demo " + path("words.txt") + " --on threads:2";
  for (const std::string& line : {demo + " --tutti-trace " + path("t.json"), demo + " --tutti-trace=" + path("t.json"),
                                  "TUTTI_TRACE=" + path("t.json") + " " + demo}) {
    fs::remove(path("t.json"));
    EXPECT_EQ(code_of(line), 0) << line;
    const outcome said = run({"trace", path("t.json").c_str()});
    EXPECT_EQ(said.code, 0) << line << said.err;
    EXPECT_TRUE(contains(said.out, "of tutti (process ")) << said.out;
    EXPECT_TRUE(contains(said.out, "submit_bulk")) << said.out;
  }
  EXPECT_EQ(code_of("TUTTI_TRACE=" + path("%p.json") + " " + demo), 0);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) files += entry.path().extension() == ".json" ? 1 : 0;
  EXPECT_EQ(files, 2);
}

TEST_F(TraceCommand, AFileThatCannotBeWrittenIsAnErrorBeforeTheWork) {
  for (const char* line : {TUTTI_COMMAND " executors --tutti-trace /no/such/folder/t.json",
                           "TUTTI_TRACE=/no/such/folder/t.json " TUTTI_COMMAND " executors"}) {
    EXPECT_EQ(code_of(line), 2);
    EXPECT_EQ(shell(line).out,
              "tutti: the timeline cannot be written to \"/no/such/folder/t.json\": No such file or directory\n");
  }
  EXPECT_EQ(code_of(TUTTI_COMMAND " executors --tutti-trace"), 2);
}

TEST_F(TraceCommand, OneFileIsWritten) {
  const std::string first = path("a.json"), second = path("b.json"),
                    command = TUTTI_COMMAND " --version --tutti-trace ";
  EXPECT_EQ(code_of(command + first + " --tutti-trace " + second), 2);
  EXPECT_EQ(shell(command + first + " --tutti-trace " + second).out,
            "tutti: only one of these can be obeyed: --tutti-trace=" + first + " and --tutti-trace=" + second + "\n");
  EXPECT_FALSE(fs::exists(first));
  EXPECT_FALSE(fs::exists(second));
  EXPECT_EQ(code_of("TUTTI_TRACE=" + first + " " + command + second), 0);
  EXPECT_FALSE(fs::exists(first));
  EXPECT_EQ(run({"trace", second.c_str()}).code, 0);
}

TEST_F(TraceCommand, AFullDiskIsSaidAtTheEnd) {
  const std::string line = TUTTI_COMMAND " --version --tutti-trace /dev/full";
  EXPECT_EQ(code_of(line), 0);
  EXPECT_TRUE(
      contains(shell(line).out, "tutti: the timeline cannot be written to \"/dev/full\": No space left on device"));
}

}  // namespace
}  // namespace tutti::app
