// Bad input: a clear error, at once, and whatever was there goes on.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/programs.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_bad {

int same(int n) { return n; }
int pid() { return ::getpid(); }
struct deep {
  std::vector<deep> inside;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(inside);
  }
};
int take_deep(const deep&) { return 1; }
int take_channel(tutti::process_channel<int> link) { return link ? 1 : 0; }
std::size_t take_values(const std::vector<tutti::shared_value<int>>& all) { return all.size(); }
int take_value(tutti::shared_value<int> one) { return one ? one.load() : -1; }

}  // namespace spec_bad

namespace tutti {
namespace {

using namespace spec_bad;
using testing::AllOf;
using testing::HasSubstr;

class SpecBadInput : public testing::Test {
 protected:
  void SetUp() override { ::alarm(60); }
  void TearDown() override { ::alarm(0); }

  // The error's code, and that it names `part`.
  template <class F>
  static int code_of(F f, const std::string& part) {
    try {
      f();
    } catch (const os_error& e) {
      EXPECT_THAT(e.what(), HasSubstr(part));
      return e.code();
    } catch (const std::exception& e) {
      ADD_FAILURE() << "not an os_error: " << e.what();
      return -1;
    }
    ADD_FAILURE() << "nothing was thrown for " << part;
    return 0;
  }
  static ::pid_t parent_of(::pid_t id) {
    std::ifstream in("/proc/" + std::to_string(id) + "/stat");
    std::string text;
    std::getline(in, text);
    return std::stoi(text.substr(text.rfind(')') + 4));
  }
  static void make(const std::string& path, const std::string& text, ::mode_t mode) {
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
  }
};

TEST_F(SpecBadInput, UnknownExecutables) {
  const auto start = [](const std::string& program, const process_options& options = {}) {
    process::exec({program, "-x"}, options);
  };
  EXPECT_EQ(code_of([&] { start("tutti-no-such-program"); }, "tutti-no-such-program"), ENOENT);
  EXPECT_EQ(code_of([&] { start("/no/such/program"); }, "/no/such/program"), ENOENT);
  EXPECT_EQ(code_of([&] { start("./no-such-program"); }, "no-such-program"), ENOENT);
  EXPECT_EQ(code_of([&] { start("/etc/passwd"); }, "/etc/passwd"), EACCES);
  EXPECT_EQ(code_of([&] { start("/usr"); }, "/usr"), EACCES);
  EXPECT_EQ(code_of([&] { start("/etc/passwd/program"); }, "/etc/passwd/program"), ENOTDIR);
  EXPECT_EQ(code_of([&] { start("/" + std::string(5000, 'n')); }, "nnnn"), ENAMETOOLONG);
  EXPECT_THROW(process::exec({}), std::invalid_argument);
  EXPECT_ANY_THROW(process::exec({""}));
  EXPECT_THROW(process::exec({std::string("a\0b", 3)}), std::invalid_argument);
  EXPECT_THROW(process::exec({"echo", std::string("a\0b", 3)}), std::invalid_argument);
  const tutti_test::fresh_path file;
  make(file.path(), "", 0755);
  const std::string path = file.path();
  make(path, "#!/no/such/interpreter\n", 0755);
  EXPECT_EQ(code_of([&] { start(path); }, path), ENOENT);
  EXPECT_TRUE(process::exec({"true"}).join().success());
}

// "without a shell": what the system cannot execute is not read by one.
TEST_F(SpecBadInput, WhatIsNoProgramIsNotReadByAShell) {
  const tutti_test::fresh_path file;
  make(file.path(),
       "\x7f"
       "ELF is what it says\n",
       0755);
  EXPECT_EQ(code_of([&] { process::exec({file.path()}).join(); }, file.path()), ENOEXEC);
}

TEST_F(SpecBadInput, TooManyWords) {
  EXPECT_EQ(code_of([] { process::exec({"echo", std::string(std::size_t{8} << 20, 'a')}); }, "echo"), E2BIG);
  EXPECT_TRUE(process::exec({"true"}).join().success());
}

TEST_F(SpecBadInput, DirectoriesAndFiles) {
  EXPECT_EQ(code_of([] { process::exec({"true"}, {.directory = "/no/such/folder"}); }, "/no/such/folder"), ENOENT);
  EXPECT_EQ(code_of([] { process::exec({"true"}, {.directory = "/etc/passwd"}); }, "/etc/passwd"), ENOTDIR);
  EXPECT_EQ(code_of([] { process({.directory = "/no/such/folder"}, fn<pid>); }, "/no/such/folder"), ENOENT);
  EXPECT_EQ(code_of(
                [] {
                  process({.start = start_method::exec}, fn<pid>).join();
                  process({.directory = "/no/such/folder", .start = start_method::exec}, fn<pid>);
                },
                "/no/such/folder"),
            ENOENT);
  EXPECT_EQ(code_of([] { process::exec({"true"}, {.in = stdio::file("/no/such/file")}); }, "/no/such/file"), ENOENT);
  EXPECT_EQ(code_of([] { process::exec({"true"}, {.out = stdio::file("/no/such/file")}); }, "/no/such/file"), ENOENT);
  EXPECT_EQ(code_of([] { process::exec({"true"}, {.err = stdio::append("/usr")}); }, "/usr"), EISDIR);
  EXPECT_EQ(code_of([] { process::exec({"true"}, {.out = stdio::descriptor(9999)}); }, "9999"), EBADF);
  EXPECT_ANY_THROW(process::exec({"true"}, {.in = stdio::descriptor(-1)}));
  EXPECT_ANY_THROW(process::exec({"true"}, {.out = stdio::output()}));
  EXPECT_ANY_THROW(process::exec({"true"}, {.in = stdio::output()}));
}

TEST_F(SpecBadInput, LimitsAndProcessors) {
  const resource_limit unknown[] = {{999, 1}};
  EXPECT_ANY_THROW(process::exec({"true"}, {.limits = unknown}));
  const int none[] = {1 << 20};
  EXPECT_ANY_THROW(process::exec({"true"}, {.cpus = none}));
  const int negative[] = {-1};
  EXPECT_ANY_THROW(process::exec({"true"}, {.cpus = negative}));
  const std::pair<std::string, std::string> empty[] = {{"", "x"}};
  EXPECT_ANY_THROW(process::exec({"true"}, {.environment = empty}));
  const std::pair<std::string, std::string> equals[] = {{"A=B", "x"}};
  EXPECT_ANY_THROW(process::exec({"true"}, {.environment = equals}));
  const std::pair<std::string, std::string> zero[] = {{"A", std::string("a\0b", 3)}};
  EXPECT_ANY_THROW(process::exec({"true"}, {.environment = zero}));
  EXPECT_TRUE(process::exec({"true"}).join().success());
}

TEST_F(SpecBadInput, OptionsOfPools) {
  EXPECT_THROW(process_pool(-1), std::invalid_argument);
  EXPECT_THROW(process_pool(process_pool::most_workers + 1), std::invalid_argument);
  EXPECT_THROW(process_pool({.workers = 1, .grace = std::chrono::seconds(-1)}), std::invalid_argument);
  EXPECT_THROW(make_executor("processes:0"), std::exception);
  EXPECT_THROW(make_executor("processes:-1"), std::exception);
  EXPECT_THROW(make_executor("processes:many"), std::exception);
  process_pool pool(1);
  for (int n : {0, -1, process_pool::most_workers + 1}) EXPECT_THROW(pool.resize(n), std::invalid_argument);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  pool.shutdown();
  EXPECT_THROW(pool.resize(2), closed);
  EXPECT_THROW(static_cast<void>(pool.submit<same>(1)), closed);
}

TEST_F(SpecBadInput, ArgumentsOfCalls) {
  process_pool pool(1);
  deep inner;
  for (int i = 0; i < 1000; ++i) {
    deep outer;
    outer.inside.push_back(std::move(inner));
    inner = std::move(outer);
  }
  EXPECT_ANY_THROW(pool.submit<take_deep>(inner).get());
  std::vector<shared_value<int>> many;
  for (int i = 0; i < 251; ++i) many.emplace_back(i);
  EXPECT_THROW(static_cast<void>(pool.submit<take_values>(many)), std::length_error);  // "from submit itself"
  many.pop_back();
  EXPECT_EQ(pool.submit<take_values>(many).get(), 250u);
  EXPECT_THROW(static_cast<void>(pool.with({.retries = 1}).submit<take_channel>(process_channel<int>::pair().first)),
               std::invalid_argument);
  auto [here, there] = process_channel<int>::pair();
  auto taken = pool.submit<take_channel>(std::move(there));
  EXPECT_EQ(taken.get(), 1);
  EXPECT_THROW(here.send(1), closed);
  EXPECT_EQ(pool.submit<take_value>(shared_value<int>(4)).get(), 4);
  EXPECT_THROW(static_cast<void>(encode(many.front())), encode_error);
}

// A handle of nothing: an error of submit, or nothing there, but no crash.
TEST_F(SpecBadInput, HandlesOfNothing) {
  process_pool pool(1);
  try {
    EXPECT_EQ(pool.submit<take_value>(shared_value<int>()).get(), -1);
  } catch (const std::exception& e) {
    EXPECT_THAT(e.what(), HasSubstr("shared_value"));
  }
  try {
    EXPECT_EQ(pool.submit<take_channel>(process_channel<int>()).get(), 0);
  } catch (const worker_lost& e) {
    ADD_FAILURE() << e.what();
  } catch (const std::exception&) {
  }
  EXPECT_THROW(static_cast<void>(shared_value<int>().load()), std::logic_error);
  EXPECT_THROW(process_mutex().lock(), std::logic_error);
  EXPECT_THROW(process_semaphore().acquire(), std::logic_error);
  EXPECT_THROW(process_queue<int>().send(1), std::logic_error);
  EXPECT_THROW(process_channel<int>().send(1), std::logic_error);
  EXPECT_THROW(process_channel<int>().receive(), std::logic_error);
  EXPECT_THROW(named_reader<int>().receive(), std::logic_error);
  EXPECT_THROW(process().join(), std::logic_error);
  EXPECT_THROW(process().communicate(), std::logic_error);
  EXPECT_EQ(process().pid(), 0);
  EXPECT_FALSE(process().alive());
  process().kill();
  EXPECT_EQ(shared_array<int>().size(), 0u);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
}

TEST_F(SpecBadInput, SharedObjectsThatMakeNoSense) {
  EXPECT_THROW(shared_array<double>(std::numeric_limits<std::size_t>::max() / 4), std::length_error);
  EXPECT_THROW(process_queue<int>(0), std::invalid_argument);
  EXPECT_THROW(process_queue<int>(1, 0), std::invalid_argument);
  EXPECT_THROW(process_semaphore(-1), std::invalid_argument);
  EXPECT_THROW(process_semaphore(std::ptrdiff_t{1} << 31), std::invalid_argument);
  EXPECT_THROW(process_mutex(std::string(64, 'n')), std::invalid_argument);
  EXPECT_THROW(process_semaphore(1, std::string(64, 'n')), std::invalid_argument);
  EXPECT_THROW(process_semaphore(1).release(-1), std::invalid_argument);
  process_queue<std::string> small(4, 256);
  EXPECT_THROW(small.send(std::string(1000, 'x')), encode_error);
  small.send("short");
  EXPECT_EQ(small.receive(), "short");
  small.task_done();
  EXPECT_THROW(small.task_done(), std::logic_error);
}

TEST_F(SpecBadInput, WorkerProgramsThatAreNotOurs) {
  const auto result_of = [](std::string_view program) {
    process_pool pool({.workers = 1, .program = program});
    return pool.submit<same>(1).get();
  };
  EXPECT_EQ(code_of([&] { result_of("/no/such/program"); }, "/no/such/program"), ENOENT);
  EXPECT_EQ(code_of([&] { result_of("/etc/passwd"); }, "/etc/passwd"), EACCES);
  for (const char* program : {"/bin/true", "/bin/false", "/bin/echo", "/bin/cat", "/bin/sh"}) {
    EXPECT_THAT(tutti_test::text_of([&] { result_of(program); }), AllOf(HasSubstr(program), HasSubstr("init")));
  }
  process_pool good(1);
  EXPECT_EQ(good.submit<same>(1).get(), 1);
}

TEST_F(SpecBadInput, WorkerProgramsThatTalkNonsense) {
  const tutti_test::fresh_path file;
  const std::string path = file.path();
  make(path, "#!/bin/sh\nfor n in 0 1 2 3 4 5 6 7 8 9; do echo nonsense nonsense nonsense >&$n; done 2>/dev/null\n",
       0755);
  EXPECT_THAT(tutti_test::text_of([&] {
                process_pool pool({.workers = 1, .program = path});
                pool.submit<same>(1).get();
              }),
              HasSubstr(path));
  process_pool good(1);
  EXPECT_EQ(good.submit<same>(1).get(), 1);
}

TEST_F(SpecBadInput, AWorkerProgramGoesBadAndGoodAgain) {
  const tutti_test::fresh_path file;
  const std::string path = file.path(), ours = "#!/bin/sh\nexec " + tutti_test::program_of("").front() + " \"$@\"\n";
  make(path, ours, 0755);
  process_pool pool({.workers = 1, .program = path});
  const int first = pool.submit<pid>().get();
  make(path, "#!/bin/sh\nkill -9 $$\n", 0755);
  // Its launcher, which is the parent of its worker, goes as well, so that the program begins anew.
  ::kill(parent_of(first), SIGKILL);
  EXPECT_TRUE(tutti_test::ends(first));
  EXPECT_THAT(tutti_test::text_of([&] { pool.submit<same>(1).get(); }), HasSubstr(path));
  make(path, ours, 0755);
  EXPECT_EQ(pool.submit<same>(2).get(), 2);  // "pool alive"
}

}  // namespace
}  // namespace tutti
