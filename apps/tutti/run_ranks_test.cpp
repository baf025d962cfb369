// `tutti run` with the launchers themselves: what arrives of the ranks' output, exit codes, signals, and that nothing
// is left running. Only srun is a stand-in: a script of that name, put first on PATH.
#include <apps/tutti/rank_launcher.hpp>
#include <apps/tutti/rank_output.hpp>
#include <apps/tutti/run_program.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

std::vector<std::string> sorted_lines(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::ranges::sort(lines);
  return lines;
}

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// ---------------------------------------------------------------- records

TEST(RankFrames, AnyBytesSurviveAnyCut) {
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes += static_cast<char>(i * 7 + i / 256);
  std::string sent = "words before\n";
  append_frames(sent, rank_news::output, 3, bytes);
  sent += "between\n";
  append_frames(sent, rank_news::errors, 1 << 20, "x");
  append_frames(sent, rank_news::exited, 0, "");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{511}, std::size_t{513}, sent.size()}) {
    std::map<std::pair<int, rank_news>, std::string> got;
    std::vector<std::string> words;
    rank_frame_reader reader([&](const rank_frame& f) { got[{f.rank, f.news}] += f.bytes; },
                             [&](std::string_view line) { words.emplace_back(line); });
    for (std::size_t at = 0; at < sent.size(); at += piece) reader.feed(std::string_view(sent).substr(at, piece));
    reader.end();
    EXPECT_EQ(got.size(), 3U);
    EXPECT_EQ((got[{3, rank_news::output}]), bytes);
    EXPECT_EQ((got[{1 << 20, rank_news::errors}]), "x");
    EXPECT_TRUE(got.contains({0, rank_news::exited}));
    EXPECT_EQ(words, (std::vector<std::string>{"words before", "between"}));
  }
}

TEST(RankFrames, ADamagedRecordCostsOnlyItself) {
  std::string first, second;
  append_frames(first, rank_news::output, 0, "lost");
  append_frames(second, rank_news::output, 0, "kept");
  std::string got;
  rank_frame_reader reader([&](const rank_frame& f) { got += f.bytes; }, [](std::string_view) {});
  reader.feed(first.substr(0, 100) + second + first.substr(0, 200) + "words\n" + first.substr(200) + second);
  reader.end();
  EXPECT_EQ(got, "keptkept");
}

TEST(RankOutput, ForeignLabelsAreText) {
  std::ostringstream out, err;
  rank_output output(out, err, {});
  std::string records;
  append_frames(records, rank_news::output, 2, "[1,0]<stdout>:a\n[0] b\n<stdout rank=\"1\">c</stdout>\nno end");
  append_frames(records, rank_news::exited, 2, "0 host");
  output.records(records);
  output.end(false);
  EXPECT_EQ(out.str(), "[2] [1,0]<stdout>:a\n[2] [0] b\n[2] <stdout rank=\"1\">c</stdout>\n[2] no end\n");
  EXPECT_EQ(err.str(), "");
}

TEST(RankOutput, TheLaunchersNoiseGivesWayOnlyToAnExplanation) {
  const std::string rule(74, '-');
  const std::string noise =
      rule + "\nPrimary job  terminated normally, but 1 process returned\na non-zero exit code.\n" + rule + "\n";
  const std::string other = rule + "\nThere are not enough slots available\n" + rule + "\n";
  {
    std::ostringstream out, err;
    rank_output output(out, err, {});
    std::string records;
    append_frames(records, rank_news::exited, 1, "7 host");
    output.records(records + noise + other);
    output.end(false);
    EXPECT_EQ(err.str(), "tutti: rank 1 on host failed with exit code 7\n" + other);
    EXPECT_EQ(output.exit_code(), 7);
  }
  std::ostringstream out, err;
  rank_output output(out, err, {});
  output.records(noise);
  output.end(false);
  EXPECT_EQ(err.str(), noise);  // no rank has said why
  EXPECT_EQ(output.exit_code(), std::nullopt);
}

// ---------------------------------------------------------------- command lines

TEST(RankLauncher, Hosts) {
  const auto hosts = parse_hosts("a:4,b.example-1:8,c");
  ASSERT_EQ(hosts.size(), 3U);
  EXPECT_EQ(hosts[0].name, "a");
  EXPECT_EQ(hosts[0].ranks, 4);
  EXPECT_EQ(hosts[1].name, "b.example-1");
  EXPECT_EQ(hosts[1].ranks, 8);
  EXPECT_EQ(hosts[2].ranks, 1);
  for (const char* bad : {"", ",", "a:", "a:0", "a:-1", "a:x", "a:4x", ":4", "a,,b", "a b", "-x", "a:99999999999"}) {
    try {
      parse_hosts(bad);
      ADD_FAILURE() << '"' << bad << "\" was taken";
    } catch (const std::invalid_argument& error) {
      EXPECT_TRUE(contains(error.what(), "--hosts \"" + std::string(bad) + '"')) << error.what();
    }
  }
}

TEST(RankLauncher, EachIsToldInItsWords) {
  const rank_job job{.ranks = 5, .hosts = {{"a", 4}, {"b", 1}}, .keep_going = true, .variables = {"TUTTI_A"}};
  EXPECT_EQ(quoted(launcher_words({launcher_kind::open_mpi, "mpirun"}, job)),
            "mpirun --oversubscribe -n 5 --host a:4,b:1 --enable-recovery -x TUTTI_A");
  EXPECT_EQ(quoted(launcher_words({launcher_kind::mpich, "mpirun"}, job)),
            "mpirun -n 5 -hosts a:4,b:1 -disable-auto-cleanup");
  EXPECT_EQ(quoted(launcher_words({launcher_kind::slurm, "srun"}, {.ranks = 2})),
            "srun --ntasks=2 --overcommit --input=0 --export=ALL --kill-on-bad-exit=1");
  EXPECT_EQ(launcher_words({launcher_kind::slurm, "srun"}, job).back(), "--nodelist=a*4,b*1");
}

// ---------------------------------------------------------------- the whole

struct ended {
  int status = 0;
  std::string out, err;
  int code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
};

// A folder of its own for what each test writes, and for programs that go first on PATH.
class RunRanks : public testing::TestWithParam<const char*> {
 protected:
  RunRanks() {
    std::string name = (fs::temp_directory_path() / "tutti-run-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~RunRanks() override { fs::remove_all(root_); }

  // `tutti run WORDS` in a process of its own, whose signals have their default actions.
  pid_t begin(std::vector<std::string> words, const std::vector<std::string>& environment = {},
              const fs::path& input = "/dev/null") {
    words.insert(words.begin(), {TUTTI_COMMAND, "run"});
    std::vector<char*> argv, envp;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    environment_.clear();
    for (char** entry = ::environ; *entry != nullptr; ++entry) environment_.emplace_back(*entry);
    environment_.insert(environment_.begin(), environment.begin(), environment.end());  // the first one counts
    for (std::string& entry : environment_) envp.push_back(entry.data());
    envp.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, (root_ / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::posix_spawn_file_actions_addopen(&actions, 2, (root_ / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    sigset_t all;
    sigfillset(&all);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    EXPECT_EQ(::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), envp.data()), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    return pid;
  }
  ended wait_for(pid_t pid) const {
    ended result;
    EXPECT_EQ(::waitpid(pid, &result.status, 0), pid);
    result.out = content_of(root_ / "out");
    result.err = content_of(root_ / "err");
    return result;
  }
  ended run(std::vector<std::string> words, const std::vector<std::string>& environment = {},
            const fs::path& input = "/dev/null") {
    return wait_for(begin(std::move(words), environment, input));
  }
  // By the launcher that is tested.
  ended run_ranks(const std::string& ranks, std::vector<std::string> words, const fs::path& input = "/dev/null") {
    words.insert(words.begin(), {"--launcher", GetParam(), "-n", ranks});
    return run(std::move(words), {"TUTTI_FOR_ALL=here"}, input);
  }
  ended run_shell(const std::string& ranks, const std::string& script) {
    return run_ranks(ranks, {"sh", "-c", script});
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name, std::ios::binary) << text;
    fs::permissions(root_ / name, fs::perms::owner_all);
  }

  fs::path root_;

 private:
  std::vector<std::string> environment_;
};

// In the scripts: the number of the rank, by whatever launcher.
const std::string rank_is = "rank=${OMPI_COMM_WORLD_RANK:-$PMI_RANK}; ";

TEST_P(RunRanks, PrefixesLinesAndKeepsTheStreamsApart) {
  const ended result = run_shell("3", rank_is + "echo a $TUTTI_FOR_ALL; echo \"[0] b\"; echo c >&2; printf 'no end'");
  EXPECT_EQ(result.code(), 0) << result.err;
  EXPECT_EQ(sorted_lines(result.out),
            (std::vector<std::string>{"[0] [0] b", "[0] a here", "[0] no end", "[1] [0] b", "[1] a here", "[1] no end",
                                      "[2] [0] b", "[2] a here", "[2] no end"}));
  EXPECT_EQ(sorted_lines(result.err), (std::vector<std::string>{"[0] c", "[1] c", "[2] c"}));
}

TEST_P(RunRanks, ManyShortLinesOfManyRanksAreNeitherLostNorTorn) {
  const ended result = run_shell("4", "yes é | head -20000; yes error | head -2000 >&2");
  EXPECT_EQ(result.code(), 0) << result.err.substr(0, 1000);
  std::map<std::string, int> lines;
  for (const std::string& line : sorted_lines(result.out)) ++lines[line];
  EXPECT_EQ(lines,
            (std::map<std::string, int>{{"[0] é", 20000}, {"[1] é", 20000}, {"[2] é", 20000}, {"[3] é", 20000}}));
  lines.clear();
  for (const std::string& line : sorted_lines(result.err)) ++lines[line];
  EXPECT_EQ(lines, (std::map<std::string, int>{
                       {"[0] error", 2000}, {"[1] error", 2000}, {"[2] error", 2000}, {"[3] error", 2000}}));
}

TEST_P(RunRanks, WithoutPrefix) {
  const ended result = run_ranks("2", {"--no-prefix", "--", "echo", "--"});
  EXPECT_EQ(result.out, "--\n--\n");
}

TEST_P(RunRanks, RankZeroHasTheInput) {
  write("input", "one\ntwo\n");
  const ended result = run_ranks("3", {"cat"}, root_ / "input");
  EXPECT_EQ(result.code(), 0) << result.err;
  EXPECT_EQ(result.out, "[0] one\n[0] two\n");
}

TEST_P(RunRanks, TheFirstFailureIsOursAndIsSaidInOneLine) {
  const ended code = run_shell("3", rank_is + "[ $rank = 1 ] && exit 7; exec sleep 1000");
  EXPECT_EQ(code.code(), 7);
  EXPECT_TRUE(code.err.starts_with("tutti: rank 1 on ")) << code.err;
  EXPECT_TRUE(code.err.ends_with(" failed with exit code 7\n")) << code.err;
  EXPECT_EQ(std::ranges::count(code.err, '\n'), 1) << code.err;
  const ended killed = run_shell("3", rank_is + "[ $rank = 2 ] && kill -KILL $$; exec sleep 1000");
  EXPECT_EQ(killed.code(), 128 + SIGKILL);
  EXPECT_TRUE(killed.err.starts_with("tutti: rank 2 on ")) << killed.err;
  EXPECT_TRUE(killed.err.ends_with(" was ended by signal 9 (SIGKILL)\n")) << killed.err;
  EXPECT_EQ(std::ranges::count(killed.err, '\n'), 1) << killed.err;
}

TEST_P(RunRanks, WhatIsNoProgramIsNamed) {
  const ended result = run_ranks("2", {"./no-such-program"});
  EXPECT_EQ(result.code(), 3);
  EXPECT_TRUE(contains(result.err, "\"./no-such-program\" cannot be started")) << result.err;
  EXPECT_TRUE(contains(result.err, "No such file")) << result.err;
  EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
}

TEST_P(RunRanks, KeepsGoingWithoutARankThatDied) {
  // The others see that it is gone, and go on: it leaves a file, and its number is free when it has been waited for.
  const std::string file = (root_ / "victim").string();
  const ended result = run_ranks(
      "3", {"--keep-going", "sh", "-c",
            rank_is + "f=" + file + "; if [ $rank = 1 ]; then echo $$ >$f.new; mv $f.new $f; kill -KILL $$; fi; " +
                "until [ -e $f ]; do :; done; while kill -0 $(cat $f) 2>/dev/null; do :; done; echo alive; " +
                "[ $rank = 2 ] || exit 5"});
  EXPECT_EQ(result.code(), 5);  // rank 0's
  EXPECT_EQ(sorted_lines(result.out), (std::vector<std::string>{"[0] alive", "[2] alive"}));
  EXPECT_TRUE(contains(result.err, "tutti: rank 1 on ")) << result.err;
}

TEST_P(RunRanks, SignalsEndTheJobAndUs) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    // Each rank has a child beside it, and neither heeds SIGTERM; all write to a pipe that we read until its end.
    const fs::path pipe = root_ / ("alive" + std::to_string(signal));
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const int alive = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ::fcntl(alive, F_SETFL, 0);
    const int keep_open = ::open(pipe.c_str(), O_WRONLY | O_CLOEXEC);
    const pid_t pid = begin({"--launcher", GetParam(), "-n", "2", "sh", "-c",
                             "trap '' TERM; exec 9>" + pipe.string() + "; sleep 1000 & echo up >&9; sleep 1000"});
    std::string said;
    std::array<char, 64> bytes;
    while (std::ranges::count(said, '\n') < 2) {
      const ssize_t got = ::read(alive, bytes.data(), bytes.size());
      ASSERT_GT(got, 0);
      said.append(bytes.data(), static_cast<std::size_t>(got));
    }
    ::kill(pid, signal);
    const ended result = wait_for(pid);
    EXPECT_TRUE(WIFSIGNALED(result.status) && WTERMSIG(result.status) == signal) << result.status << result.err;
    ::close(keep_open);
    EXPECT_EQ(::read(alive, bytes.data(), bytes.size()), 0);  // nobody has it open any more
    ::close(alive);
  }
}

INSTANTIATE_TEST_SUITE_P(Launchers, RunRanks, testing::Values("mpirun.openmpi", "mpirun.mpich"), [](const auto& which) {
  return std::string(which.param).substr(std::string("mpirun.").size());
});

using RunRanksHere = RunRanks;

TEST_F(RunRanksHere, MistakesNameTheValue) {
  struct mistake {
    std::vector<std::string> words;
    const char* part;
  };
  for (const mistake& m : std::vector<mistake>{{{"-n", "0", "x"}, "Value 0"},
                                               {{"-n", "-3", "x"}, "Value -3"},
                                               {{"-n", "many", "x"}, "many"},
                                               {{"--hosts", "a:0", "x"}, "\"a:0\""},
                                               {{"--hosts", "", "x"}, "--hosts \"\""},
                                               {{"--nonsense", "x"}, "unknown option \"--nonsense\""},
                                               {{}, "the program is missing"}}) {
    const ended result = run(m.words);
    EXPECT_EQ(result.code(), 2) << result.err;
    EXPECT_TRUE(contains(result.err, m.part)) << result.err;
  }
}

TEST_F(RunRanksHere, WithoutALauncherSaysHowToGetOne) {
  const ended result = run({"-n", "2", "x"}, {"PATH=" + root_.string()});
  EXPECT_EQ(result.code(), 4);
  EXPECT_TRUE(contains(result.err, "apt-get install openmpi-bin")) << result.err;
}

// No Slurm here: the script that stands in for srun writes its words down, and runs one rank as srun would.
TEST_F(RunRanksHere, UsesSrunInAnAllocation) {
  write("srun", "#!/bin/sh\nfor word; do echo \"$word\"; done >" + (root_ / "words").string() +
                    "\nwhile [ \"${1#--rank}\" = \"$1\" ]; do before=$1; shift; done\n"
                    "SLURM_PROCID=1 exec \"$before\" \"$@\"\n");
  const char* const path = ::getenv("PATH");
  const ended result = run({"-n", "3", "--hosts", "a:2,b:1", "sh", "-c", "echo text; exit 9"},
                           {"SLURM_JOB_ID=17", "PATH=" + root_.string() + ':' + (path == nullptr ? "" : path)});
  EXPECT_EQ(result.code(), 9) << result.err;
  EXPECT_EQ(result.out, "[1] text\n");
  const std::string words = content_of(root_ / "words");
  EXPECT_TRUE(
      words.starts_with("--ntasks=3\n--overcommit\n--input=0\n--export=ALL\n--kill-on-bad-exit=1\n"
                        "--distribution=arbitrary\n--nodelist=a*2,b*1\n"))
      << words;
  EXPECT_TRUE(words.ends_with("--rank-keeper\n-\nsh\n-c\necho text; exit 9\n")) << words;
}

}  // namespace
}  // namespace tutti::app
