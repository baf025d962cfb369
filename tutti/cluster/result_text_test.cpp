#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/base/error.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>

#include <stdexcept>

namespace {

using namespace std::chrono;
using namespace tutti::cluster;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// As Celery 5.2.6 keeps them.
constexpr std::string_view success =
    R"({"status": "SUCCESS", "result": {"a": 1.5}, "traceback": null, "children": null, )"
    R"("date_done": "2026-11-23T06:59:50.187510", "task_id": "id1"})";
constexpr std::string_view failure =
    R"({"status": "FAILURE", "result": {"exc_type": "ValueError", "exc_message": ["bad", 1], "exc_module": "builtins"}, )"
    R"("traceback": "Traceback: x", "children": null, "date_done": "2026-11-23T06:59:50.187664", "task_id": "id2"})";
constexpr std::string_view revoked =
    R"({"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["terminated"], )"
    R"("exc_module": "celery.exceptions"}, "traceback": null, "children": null, )"
    R"("date_done": "2026-11-23T06:59:50.187709", "task_id": "id3"})";
constexpr std::string_view progress =
    R"({"status": "PROGRESS", "result": {"done": 1}, "traceback": null, "children": null, "date_done": null, "task_id": "id4"})";
constexpr std::string_view retry =
    R"({"status": "RETRY", "result": {"exc_type": "FileNotFoundError", "exc_message": [2, "No such file or directory"], )"
    R"("exc_module": "builtins"}, "traceback": "tb", "children": null, "date_done": null, "task_id": "id5"})";

template <class E>
std::string thrown_by(const task_result& result) {
  try {
    (void)value_of(result);
  } catch (const E& e) {
    return e.what();
  }
  ADD_FAILURE() << "a value for " << result.status;
  return "";
}

TEST(result_text, as_celery_keeps_it) {
  const task_result good = decode_result(success);
  EXPECT_EQ(good.id, "id1");
  EXPECT_EQ(good.status, state::success);
  EXPECT_EQ(value_of(good), R"({"a": 1.5})");
  EXPECT_EQ(good.done, sys_days(2026y / November / 23) + 6h + 59min + 50s + 187510us);
  EXPECT_FALSE(good.failure);
  EXPECT_THAT(good.children, ElementsAre());

  const task_result bad = decode_result(failure);
  ASSERT_TRUE(bad.failure);
  EXPECT_EQ(bad.failure->type, "ValueError");
  EXPECT_EQ(bad.failure->module, "builtins");
  EXPECT_EQ(bad.failure->args, R"(["bad", 1])");
  EXPECT_EQ(bad.failure->traceback, "Traceback: x");
  EXPECT_EQ(bad.failure->native, "");
  EXPECT_EQ(thrown_by<std::invalid_argument>(bad), "('bad', 1)");

  EXPECT_EQ(thrown_by<tutti::cancelled>(decode_result(revoked)), "task id3 was revoked: terminated");
  const task_result running = decode_result(progress);
  EXPECT_EQ(running.status, "PROGRESS");
  EXPECT_EQ(running.result, R"({"done": 1})");
  EXPECT_EQ(running.done, std::nullopt);
  EXPECT_THAT(thrown_by<std::logic_error>(running), AllOf(HasSubstr("id4"), HasSubstr("PROGRESS")));
  EXPECT_EQ(decode_result(retry).failure->type, "FileNotFoundError");
}

TEST(result_text, written_as_celery_does) {
  task_result r;
  r.id = "id1";
  r.status = state::success;
  r.result = R"({"a":1.5})";
  r.done = sys_days(2026y / November / 23) + 6h + 59min + 50s + 187510us;
  EXPECT_EQ(
      encode_result(r),
      R"({"status":"SUCCESS","result":{"a":1.5},"traceback":null,"children":[],"date_done":"2026-11-23T06:59:50.187510","task_id":"id1"})");
  r = {};
  r.id = "id2";
  r.status = state::started;
  EXPECT_EQ(encode_result(r),
            R"({"status":"STARTED","result":null,"traceback":null,"children":[],"date_done":null,"task_id":"id2"})");
  r.status = state::failure;
  r.failure = celery_failure("WorkerLostError", "it died");
  EXPECT_THAT(
      encode_result(r),
      AllOf(
          HasSubstr(
              R"("result":{"exc_type":"WorkerLostError","exc_message":["it died"],"exc_module":"billiard.exceptions"},"traceback":null)"),
          HasSubstr(R"("date_done":"20)")));
}

TEST(result_text, all_of_it_there_and_back) {
  task_result r;
  r.id = "i";
  r.status = state::failure;
  r.failure = describe_failure(std::make_exception_ptr(tutti::os_error("no disk", 28)));
  r.children = {R"([["c",null],null])", R"([["d",null],null])"};
  r.group = "g";
  r.parent_id = "p";
  r.done = sys_days(2026y / November / 23);
  r.name = "tasks.add";
  r.args = "[1]";
  r.kwargs = R"({"a":2})";
  r.worker = "tutti@host";
  r.queue = "q";
  r.retries = 2;
  const task_result again = decode_result(encode_result(r));
  EXPECT_EQ(again.id, r.id);
  EXPECT_EQ(again.status, r.status);
  EXPECT_EQ(again.failure->native, r.failure->native);
  EXPECT_EQ(again.failure->traceback, r.failure->traceback);
  EXPECT_EQ(again.children, r.children);
  EXPECT_EQ(again.group, r.group);
  EXPECT_EQ(again.parent_id, r.parent_id);
  EXPECT_EQ(again.done, r.done);
  EXPECT_EQ(again.name, r.name);
  EXPECT_EQ(again.args, r.args);
  EXPECT_EQ(again.kwargs, r.kwargs);
  EXPECT_EQ(again.worker, r.worker);
  EXPECT_EQ(again.queue, r.queue);
  EXPECT_EQ(again.retries, r.retries);
  EXPECT_EQ(thrown_by<tutti::os_error>(again), "no disk");
}

TEST(result_text, failures_of_any_form_are_taken) {
  const auto with = [](const std::string& result) {
    return decode_result(R"({"status":"FAILURE","task_id":"i","result":)" + result + "}");
  };
  EXPECT_EQ(with(R"({"exc_type":"E","exc_message":"text","exc_module":"m"})").failure->args, "[\"text\"]");
  EXPECT_EQ(with(R"({"exc_type":"E","exc_message":{"a":1}})").failure->args, R"([{"a":1}])");
  EXPECT_EQ(with(R"({"exc_type":"E","exc_message":[],"exc_module":null})").failure->module, "builtins");
  EXPECT_EQ(with(R"("just text")").failure->args, R"(["just text"])");
  EXPECT_EQ(thrown_by<tutti::remote_error>(with(R"("just text")")), "just text");
  EXPECT_EQ(thrown_by<tutti::remote_error>(with("null")), "");
  EXPECT_EQ(thrown_by<std::invalid_argument>(
                with(R"({"exc_type":"ValueError","exc_message":["x"],"exc_module":"builtins","exc_tutti":"###"})")),
            "x");
  EXPECT_EQ(thrown_by<std::invalid_argument>(
                with(R"({"exc_type":"ValueError","exc_message":["x"],"exc_module":"builtins","exc_tutti":"AAAA"})")),
            "x");
}

TEST(result_text, what_is_wrong_is_named) {
  const auto refused = [](std::string_view text) {
    try {
      (void)decode_result(text);
    } catch (const tutti::decode_error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_THAT(refused("{"), HasSubstr("a task result at byte 1"));
  EXPECT_THAT(refused("[]"), HasSubstr("not []"));
  EXPECT_THAT(refused("{}"), HasSubstr("\"status\""));
  EXPECT_THAT(refused(R"({"status":1})"), HasSubstr("\"status\": wanted a string, found 1"));
  EXPECT_THAT(refused(R"({"status":"SUCCESS","task_id":[]})"), HasSubstr("\"task_id\""));
  EXPECT_THAT(refused(R"({"status":"SUCCESS","result":NaN})"), HasSubstr("NaN"));
}

TEST(result_text, what_is_final) {
  for (const auto status : {state::success, state::failure, state::revoked}) EXPECT_TRUE(state::is_final(status));
  for (const std::string_view status : {"PENDING", "RECEIVED", "STARTED", "RETRY", "PROGRESS", ""}) {
    EXPECT_FALSE(state::is_final(status));
  }
}

}  // namespace
