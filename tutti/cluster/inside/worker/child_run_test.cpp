// child_run: what a process tells the result store while it runs a task.
#include <gtest/gtest.h>
#include <tutti/cluster/inside/worker/child_run.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/cluster/result_store.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/this_call.hpp>

#include <string>
#include <utility>

namespace tutti::cluster {
namespace {

std::string state_after(bool ignore_result, const std::string& id) {
  registered_task task;
  task.settings = {.name = "child_run.tells", .ignore_result = ignore_result};
  task.run = [](std::string_view, std::string_view) -> std::string {
    this_call::update_state(3);
    return "1";
  };
  const task_registration entered(std::move(task));
  detail::child_request request;
  request.message.task = "child_run.tells";
  request.message.id = id;
  request.backend = "memory://child_run_test";
  request.expires = 60;
  EXPECT_EQ(decode<outcome>(detail::run_in_child(encode(request))).kind, outcome_kind::success);
  const auto found = open_result_store(broker_url::parse(request.backend))->fetch({&id, 1});
  return found.at(0) ? decode_result(*found.at(0)).status : "none";
}

TEST(ChildRun, TellsProgressUnlessItsResultIsIgnored) {
  EXPECT_EQ(state_after(false, "told"), "PROGRESS");
  EXPECT_EQ(state_after(true, "ignored"), "none");
}

}  // namespace
}  // namespace tutti::cluster
