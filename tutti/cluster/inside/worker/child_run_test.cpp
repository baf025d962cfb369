// child_run: what a process tells the result store while it runs a task, and how it is made ready for that.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/inside/worker/child_run.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/result_store.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/this_call.hpp>

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

namespace tutti::cluster {
namespace {

using testing::HasSubstr;

constexpr std::array heard{SIGINT, SIGTERM, SIGQUIT, SIGHUP};

// This process as a worker's own, and as it was afterwards.
class ChildRun : public testing::Test {
 protected:
  ChildRun() {
    for (std::size_t i = 0; i < heard.size(); ++i) ::sigaction(heard[i], nullptr, &before_[i]);
  }
  ~ChildRun() override {
    for (std::size_t i = 0; i < heard.size(); ++i) ::sigaction(heard[i], &before_[i], nullptr);
    current_.make_current();
  }
  void prepare() { detail::prepare_child(setup_, begun_); }
  outcome run(const std::string& task, const std::string& id = "id", const std::string& library = "") {
    detail::child_request request;
    request.message.task = task;
    request.message.id = id;
    request.expires = 60;
    request.library = library;
    return decode<outcome>(detail::run_in_child(encode(request)));
  }
  std::string state_after(bool ignore_result, const std::string& id) {
    registered_task task;
    task.settings = {.name = "child_run.tells", .ignore_result = ignore_result};
    task.run = [](std::string_view, std::string_view) -> std::string {
      this_call::update_state(3);
      return "1";
    };
    const task_registration entered(std::move(task));
    EXPECT_EQ(run("child_run.tells", id).kind, outcome_kind::success);
    const auto found = open_result_store(broker_url::parse(setup_.backend))->fetch({&id, 1});
    return found.at(0) ? decode_result(*found.at(0)).status : "none";
  }

  const app current_ = app::current();
  std::array<struct ::sigaction, heard.size()> before_{};
  detail::child_setup setup_{.worker = "tutti@here",
                             .broker = "memory://child_run_test",
                             .backend = "memory://child_run_test",
                             .queue = "of_child_run",
                             .result_expires = 60,
                             .lease = 5000,
                             .patience = 5000};
  const shared_value<std::uint64_t> begun_{0};
};

TEST_F(ChildRun, TellsProgressUnlessItsResultIsIgnored) {
  prepare();
  EXPECT_EQ(state_after(false, "told"), "PROGRESS");
  EXPECT_EQ(state_after(true, "ignored"), "none");
  EXPECT_EQ(begun_.load() >> 32, 2U);
  EXPECT_EQ(detail::pid_of_attempt(begun_.load()), ::getpid());
}

TEST_F(ChildRun, HasTheAppOfItsWorker) {
  prepare();
  EXPECT_EQ(app::current().options().broker, setup_.broker);
  registered_task task;
  task.settings = {.name = "child_run.where"};
  std::string queue;
  task.run = [&queue](std::string_view, std::string_view) -> std::string {
    queue = app::current().options().queue;
    return "1";
  };
  const task_registration entered(std::move(task));
  current_.make_current();  // what others make current counts for others
  EXPECT_EQ(run("child_run.where").kind, outcome_kind::success);
  EXPECT_EQ(queue, "of_child_run");
}

TEST_F(ChildRun, CannotRunWhatItCannotLoad) {
  prepare();
  const outcome ended = run("child_run.elsewhere", "id", "/nowhere/libtasks.so");
  EXPECT_EQ(ended.kind, outcome_kind::again);
  EXPECT_THAT(ended.text, HasSubstr("/nowhere/libtasks.so"));
  EXPECT_EQ(run("child_run.elsewhere").failure.type, "NotRegistered");
  setup_.libraries = {"/nowhere/libtasks.so"};
  EXPECT_THROW(prepare(), error);
}

// Those that a task runs hear what they are told.
TEST_F(ChildRun, IsDeafToSignalsAndItsProgramsAreNot) {
  prepare();
  for (const int number : heard) ASSERT_EQ(::raise(number), 0);
  std::FILE* const program = ::popen("grep SigIgn: /proc/self/status", "r");
  ASSERT_NE(program, nullptr);
  unsigned long long ignored = ~0ULL;
  EXPECT_EQ(std::fscanf(program, "SigIgn: %llx", &ignored), 1);
  EXPECT_EQ(::pclose(program), 0);
  for (const int number : heard) EXPECT_EQ(ignored >> (number - 1) & 1U, 0U) << number;
}

}  // namespace
}  // namespace tutti::cluster
