// rank_programs: tests that are jobs of several ranks of their own: disabled tests of this program, run by mpirun.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <tests/support/spawned.hpp>
#include <tutti/mpi/environment.hpp>
#include <vector>

namespace tutti_test {

/// How a job has ended, and what it wrote.
struct ended {
  int code;
  std::string text;
};

/// Runs RankProgram.DISABLED_`name` of this test program on so many ranks, under the deadlock watch. `more`: variables.
inline ended run_ranks(int ranks, const std::string& name, const std::vector<std::string>& more = {}) {
  std::vector<std::string> command{"env",
                                   "TUTTI_WATCH=deadlock",
                                   "OMPI_ALLOW_RUN_AS_ROOT=1",
                                   "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                   "OMPI_MCA_rmaps_base_oversubscribe=1",
                                   "OMPI_MCA_pml=ob1",
                                   "OMPI_MCA_btl=self,vader",
                                   "OMPI_MCA_mpi_yield_when_idle=1",
                                   "TSAN_OPTIONS=ignore_noninstrumented_modules=1",
                                   "ASAN_OPTIONS=detect_leaks=0"};  // of MPI's libraries; of ours: mpi.ranks_watched
  command.insert(command.end(), more.begin(), more.end());
  for (const char* word : {"timeout", "-k", "5", "100", TUTTI_MPIEXEC, "-n"}) command.emplace_back(word);
  command.push_back(std::to_string(ranks));
  command.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  command.push_back("--gtest_filter=RankProgram.DISABLED_" + name);
  command.emplace_back("--gtest_also_run_disabled_tests");
  command.emplace_back("--gtest_brief=1");
  tutti_test::spawned program(command);
  program.to().reset();
  std::string text;
  char buffer[4096];
  for (::ssize_t got = 0; (got = ::read(program.from().get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const int code = program.join();
  return {code, text};
}

/// A line of a report about this rank.
inline testing::Matcher<std::string> line(int rank, const std::string& call) {
  return testing::HasSubstr("  rank " + std::to_string(rank) + ": " + call);
}

/// It is ended with a report. `parts`: of it.
template <class... Parts>
void expect_deadlock(int ranks, const std::string& name, const Parts&... parts) {
  const ended end = run_ranks(ranks, name);
  EXPECT_EQ(end.code, tutti::mpi::deadlock_exit_code) << end.text;
  EXPECT_THAT(end.text, testing::AllOf(testing::HasSubstr("tutti: deadlock between ranks\n"),
                                       testing::HasSubstr("_test.cpp:"), parts...));
}

/// It ends well, and the watch says nothing.
inline void expect_silent(int ranks, const std::string& name, const std::vector<std::string>& more = {}) {
  const ended end = run_ranks(ranks, name, more);
  EXPECT_EQ(end.code, 0) << end.text;
  EXPECT_THAT(end.text, testing::Not(testing::HasSubstr("tutti:")));
}

}  // namespace tutti_test
