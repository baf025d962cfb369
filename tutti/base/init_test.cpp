#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <tutti/base/init.hpp>
#include <tutti/base/unique_fd.hpp>

#include <stdexcept>

namespace {

using testing::ElementsAre;

// This very test program is the worker, too.
const tutti::worker_main answering{"init_test", [] {
                                     const auto answer = tutti::init_flag("init-test-answer");
                                     int argc = 0;
                                     char* none[] = {nullptr};
                                     char** argv = none;
                                     tutti::init(argc, argv);  // a worker that calls init again goes on
                                     return answer ? std::stoi(*answer) : 99;
                                   }};
const tutti::worker_main counting{"init_test_words", [] {
                                    const std::vector<std::string> words = tutti::init_words();
                                    const bool expected =
                                        words.empty() || words == std::vector<std::string>{"-Q", "a,b"};
                                    return expected ? static_cast<int>(words.size()) : 99;
                                  }};
const tutti::worker_main throwing{"init_test_throws", []() -> int { throw std::runtime_error("no luck"); }};

struct outcome {
  int code;
  std::string errors;
};

outcome run_self(std::vector<std::string> arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const tutti::unique_fd read_end(ends[0]);
  tutti::unique_fd write_end(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
  arguments.insert(arguments.begin(), "base_test");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const int failed = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("posix_spawn");
  write_end.reset();
  std::string errors;
  char buffer[512];
  for (ssize_t n = 0; (n = ::read(read_end.get(), buffer, sizeof buffer)) > 0;) {
    errors.append(buffer, static_cast<std::size_t>(n));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), errors};
}

std::vector<std::string> strip(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  int argc = static_cast<int>(arguments.size());
  char** argv = pointers.data();
  tutti::init(argc, argv);
  EXPECT_EQ(argv[argc], nullptr);
  return {argv, argv + argc};
}

std::vector<std::string> given;
const tutti::init_option with_value{"init-test-file", [](const std::string& value) { given.push_back(value); }};

TEST(init, an_option_takes_its_value_in_both_forms_and_is_told_once) {
  EXPECT_THAT(strip({"program", "a", "--tutti-init-test-file", "--odd name", "b"}), ElementsAre("program", "a", "b"));
  EXPECT_THAT(given, ElementsAre("--odd name"));
  EXPECT_EQ(tutti::init_flag("init-test-file"), "--odd name");
  EXPECT_THAT(strip({"program", "--tutti-init-test-file=other", "c"}), ElementsAre("program", "c"));
  EXPECT_THAT(given, ElementsAre("--odd name"));
}

TEST(init, an_option_without_its_value_ends_the_program) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--tutti-init-test-file"}, {"--tutti-init-test-file", "--", "x"}}) {
    const outcome result = run_self(arguments);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.errors, "tutti: --tutti-init-test-file needs a value: --tutti-init-test-file=VALUE\n");
  }
}

TEST(init, an_option_with_two_values_ends_the_program) {
  const outcome result = run_self({"--tutti-init-test-file", "a", "x", "--tutti-init-test-file=b"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.errors,
            "tutti: only one of these can be obeyed: --tutti-init-test-file=a and --tutti-init-test-file=b\n");
  EXPECT_EQ(run_self({"--tutti-worker=init_test", "--tutti-init-test-answer=42", "--tutti-init-test-file=a",
                      "--tutti-init-test-file=b"})
                .code,
            42);
  EXPECT_THAT(strip({"program", "--tutti-init-test-file", "twice", "--tutti-init-test-file=twice"}),
              ElementsAre("program"));
}

// base knows no timelines, and neither does this program.
TEST(init, a_flag_of_a_module_that_is_not_linked_ends_the_program) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--tutti-trace", "run.json"}, {"--tutti-trace=run.json"}}) {
    const outcome result = run_self(arguments);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.errors, "tutti: --tutti-trace is for programs that link tutti::trace; this one does not\n");
  }
  EXPECT_EQ(run_self({"--tutti-worker=init_test", "--tutti-init-test-answer=42", "--tutti-trace=run.json"}).code, 42);
}

TEST(init, strips_its_own_flags) {
  EXPECT_THAT(strip({"program", "--tutti-init-test-a=1", "file", "--verbose", "--tutti-init-test-b", "-x"}),
              ElementsAre("program", "file", "--verbose", "-x"));
  EXPECT_TRUE(tutti::initialised());
  EXPECT_EQ(tutti::init_flag("init-test-a"), "1");
  EXPECT_EQ(tutti::init_flag("init-test-b"), "");
  EXPECT_EQ(tutti::init_flag("init-test"), std::nullopt);
  EXPECT_THAT(tutti::init_flags(), testing::IsSupersetOf({"--tutti-init-test-a=1", "--tutti-init-test-b"}));
}

TEST(init, leaves_the_rest_alone) {
  EXPECT_THAT(strip({"program", "--", "--tutti-init-test-c"}), ElementsAre("program", "--", "--tutti-init-test-c"));
  EXPECT_EQ(tutti::init_flag("init-test-c"), std::nullopt);
  EXPECT_THAT(strip({"--tutti-odd-name"}), ElementsAre("--tutti-odd-name"));
  EXPECT_THAT(strip({"program", "--tutti-", "--tuttifrutti"}), ElementsAre("program", "--tutti-", "--tuttifrutti"));
  EXPECT_THAT(strip({}), ElementsAre());
}

TEST(init, again_changes_nothing) {
  EXPECT_THAT(strip({"program", "--tutti-init-test-again=1"}), ElementsAre("program"));
  EXPECT_THAT(strip({"program", "--tutti-init-test-again=2"}), ElementsAre("program"));
  EXPECT_EQ(tutti::init_flag("init-test-again"), "1");  // the first stays
  tutti::init();
}

TEST(init, a_worker_never_returns) {
  EXPECT_EQ(run_self({"--tutti-worker=init_test", "--tutti-init-test-answer=42"}).code, 42);
  EXPECT_EQ(run_self({"--tutti-worker=init_test"}).code, 99);
}

TEST(init, a_worker_that_throws) {
  const outcome got = run_self({"--tutti-worker=init_test_throws"});
  EXPECT_EQ(got.code, 1);
  EXPECT_THAT(got.errors, testing::HasSubstr("worker \"init_test_throws\" failed: no luck"));
}

// base has no broker, and this program none either.
TEST(init, a_url_is_a_worker_of_the_cluster) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--tutti-worker=redis://:secret@h/0", "-Q", "a"},
        {"--tutti-worker", "redis://:secret@h/0"}}) {
    const outcome got = run_self(arguments);
    EXPECT_EQ(got.code, 2);
    EXPECT_EQ(got.errors, "tutti: --tutti-worker URL is for programs that link tutti::cluster; this one does not\n");
  }
  const outcome missing = run_self({"-Q", "a", "--tutti-worker"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_EQ(missing.errors, "tutti: --tutti-worker needs a value: --tutti-worker=VALUE\n");
}

TEST(init, a_worker_in_two_words) {
  EXPECT_EQ(run_self({"--tutti-worker", "init_test", "--tutti-init-test-answer=42"}).code, 42);
}

TEST(init, a_worker_has_the_words_that_are_left) {
  EXPECT_EQ(run_self({"-Q", "--tutti-worker=init_test_words", "a,b", "--tutti-init-test-answer=42"}).code, 2);
  EXPECT_EQ(run_self({"--tutti-worker=init_test_words"}).code, 0);
}

TEST(init, an_unknown_worker) {
  const outcome got = run_self({"--tutti-worker=nobody"});
  EXPECT_EQ(got.code, 2);
  EXPECT_THAT(got.errors,
              testing::AllOf(testing::HasSubstr("unknown worker \"nobody\""), testing::HasSubstr("init_test")));
}

}  // namespace
