// Remote control between our own two sides, in one process.
#include <tutti/cluster/control/control_commands.hpp>
#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/control/control_match.hpp>
#include <tutti/cluster/control/control_panel.hpp>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/broker_place.hpp>
#include <tests/support/eventually.hpp>
#include <tests/support/fake_control_target.hpp>

#include <tutti/base/error.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr auto generous = 30s;

shown_task shown(const std::string& id, std::optional<wall_time> started = {}, int pid = 0) {
  shown_task task;
  task.message.id = id;
  task.message.task = "tasks.nap";
  task.message.args = "[6, 12345678901234567890123]";
  task.message.queue = "math";
  task.message.priority = 9;
  task.started = started;
  task.pid = pid;
  return task;
}

// Two workers of one process, or one.
class ControlPanel : public testing::Test {
 protected:
  struct worker {
    event_sender events;
    tutti_test::fake_control_target target{events};
    std::optional<control_panel> panel;

    worker(const app& where, const std::string& name) : events(where.tasks(), name) {}
  };

  worker& add(const std::string& name, std::chrono::milliseconds heartbeat = 1h) {
    workers_.push_back(std::make_unique<worker>(where_, name));
    worker& made = *workers_.back();
    made.target.running = {shown("a-1", wall_time(1500ms), 77)};
    made.target.waiting = {shown("r-1")};
    made.panel.emplace(where_, name, made.target, made.events, heartbeat);
    return made;
  }
  // What "one@h" answers.
  std::string ask(const std::string& command, const std::string& arguments = "{}") {
    const auto answers = ask_workers(where_, command, arguments, {"one@h"}, generous);
    return answers.contains("one@h") ? answers.at("one@h") : "nothing";
  }
  static std::string member(const std::string& object, std::string_view name) {
    return member_of(object_parts(object), name);
  }

  static inline int count_ = 0;
  app where_{{.broker = "memory://control" + std::to_string(++count_)}};
  std::vector<std::unique_ptr<worker>> workers_;
};

TEST_F(ControlPanel, AnswersAsCelerysWorkersDo) {
  add("one@h");
  EXPECT_EQ(ask("ping"), R"({"ok":"pong"})");
  EXPECT_EQ(ask("scheduled"), "[]");
  EXPECT_EQ(ask("revoked"), "[]");
  EXPECT_EQ(ask("heartbeat"), "null");
  const auto active = array_parts(ask("active"));
  ASSERT_EQ(active.size(), 1u);
  const auto task = object_parts(active[0]);
  EXPECT_EQ(member_of(task, "id"), R"("a-1")");
  EXPECT_EQ(member_of(task, "name"), R"("tasks.nap")");
  EXPECT_THAT(member_of(task, "args"), HasSubstr("12345678901234567890123"));  // no digit is lost
  EXPECT_EQ(member_of(task, "hostname"), R"("one@h")");
  EXPECT_EQ(member_of(task, "time_start"), "1.5");
  EXPECT_EQ(member_of(task, "worker_pid"), "77");
  EXPECT_EQ(member(member_of(task, "delivery_info"), "routing_key"), R"("math")");
  EXPECT_EQ(member(member_of(task, "delivery_info"), "priority"), "0");
  const auto reserved = array_parts(ask("reserved"));
  ASSERT_EQ(reserved.size(), 1u);
  EXPECT_EQ(member(reserved[0], "time_start"), "null");
  EXPECT_EQ(member(reserved[0], "worker_pid"), "null");

  const std::string stats = ask("stats");
  EXPECT_EQ(member(member(stats, "total"), "tasks.nap"), "4");
  EXPECT_EQ(member(member(stats, "pool"), "max-concurrency"), "2");
  EXPECT_EQ(member(member(stats, "pool"), "max-tasks-per-child"), "50");
  EXPECT_EQ(member(stats, "prefetch_count"), "8");
  EXPECT_NE(member(member(stats, "rusage"), "maxrss"), "0");
  EXPECT_EQ(member(member(stats, "broker"), "transport"), R"("memory")");

  const auto queues = array_parts(ask("active_queues"));
  ASSERT_EQ(queues.size(), 2u);
  EXPECT_EQ(member(queues[1], "name"), R"("math")");
  EXPECT_THAT(ask("report"), HasSubstr("software -> tutti:"));
  EXPECT_THAT(ask("conf"), HasSubstr(R"("worker_concurrency":2)"));
  const auto found = object_parts(ask("query_task", R"({"ids":["a-1","r-1","x"]})"));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(array_parts(member_of(found, "a-1"))[0], R"("active")");
  EXPECT_EQ(array_parts(member_of(found, "r-1"))[0], R"("reserved")");
}

TEST_F(ControlPanel, ListsTheTasksThatItCanRun) {
  registered_task task;
  task.run = [](std::string_view, std::string_view) { return std::string("null"); };
  task.settings.name = "control_test.limited";
  task.settings.rate_limit = "10/m";
  const task_registration limited(task);
  task.settings = {};
  task.settings.name = "control_test.plain";
  task.settings.max_retries = 7;
  const task_registration plain(task);
  add("one@h");
  EXPECT_THAT(ask("registered"),
              AllOf(HasSubstr(R"("control_test.limited [rate_limit=10/m]")"), HasSubstr(R"("control_test.plain")")));
  EXPECT_THAT(ask("registered", R"({"taskinfoitems":["max_retries","acks_late","nonsense"]})"),
              HasSubstr(R"("control_test.plain [max_retries=7 acks_late=True]")"));
}

TEST_F(ControlPanel, DoesWhatItIsTold) {
  worker& one = add("one@h");
  EXPECT_EQ(ask("revoke", R"({"task_id":["x","y"]})"), R"({"ok":"tasks x, y flagged as revoked"})");
  EXPECT_EQ(ask("revoke", R"({"task_id":"z"})"), R"({"ok":"tasks z flagged as revoked"})");
  EXPECT_EQ(ask("revoke", R"({"task_id":["a-1","q"],"terminate":true,"signal":"SIGKILL"})"),
            R"({"ok":"terminate: a-1"})");
  EXPECT_EQ(ask("terminate", R"({"task_id":["q"],"signal":"INT"})"), R"({"ok":"terminate: tasks unknown"})");
  EXPECT_EQ(ask("rate_limit", R"({"task_name":"tasks.add","rate_limit":"5/m"})"),
            R"({"ok":"new rate limit set successfully"})");
  EXPECT_EQ(ask("rate_limit", R"({"task_name":"tasks.add","rate_limit":0})"),
            R"({"ok":"rate limit disabled successfully"})");
  EXPECT_EQ(ask("rate_limit", R"({"task_name":"tasks.no","rate_limit":"5/m"})"), R"({"error":"unknown task"})");
  EXPECT_THAT(ask("rate_limit", R"({"task_name":"tasks.add","rate_limit":"often"})"),
              HasSubstr("Invalid rate limit string"));
  EXPECT_EQ(ask("enable_events"), R"({"ok":"task events enabled"})");
  EXPECT_EQ(ask("enable_events"), R"({"ok":"task events already enabled"})");
  EXPECT_EQ(ask("disable_events"), R"({"ok":"task events disabled"})");
  EXPECT_THAT(ask("shutdown"), HasSubstr("ok"));
  EXPECT_THAT(one.target.said(),
              ElementsAre("revoke x", "revoke y", "revoke z", "revoke a-1 terminate SIGKILL",
                          "revoke q terminate SIGKILL", "revoke q terminate INT", "rate_limit tasks.add 5/m",
                          "rate_limit tasks.add 0", "rate_limit tasks.no 5/m", "shutdown warm"));
}

TEST_F(ControlPanel, SharesWhatIsRevokedWithAWorkerThatBegins) {
  worker& one = add("one@h");
  EXPECT_EQ(ask("hello", R"({"from_node":"one@h","revoked":{}})"), "null");
  const std::string answer = ask("hello", R"({"from_node":"celery@h","revoked":{"abc":[12.5,"abc"]}})");
  EXPECT_THAT(one.target.said(), ElementsAre("revoke abc"));
  const auto entry = array_parts(member(member(answer, "revoked"), "abc"));
  ASSERT_EQ(entry.size(), 2u);
  EXPECT_THAT(entry[0], HasSubstr("."));  // Celery takes no whole number
  EXPECT_NE(member(answer, "clock"), "0");
  // What it knows already is not revoked anew, or it would never be forgotten.
  static_cast<void>(ask("hello", R"({"from_node":"celery@h","revoked":{"abc":[12.5,"abc"],"def":[13.5,"def"]}})"));
  EXPECT_THAT(one.target.said(), ElementsAre("revoke abc", "revoke def"));
}

TEST_F(ControlPanel, AnswersErrorsToWhatMakesNoSense) {
  worker& one = add("one@h");
  EXPECT_THAT(ask("memdump"), AllOf(HasSubstr("error"), HasSubstr("unknown command"), HasSubstr("ping")));
  EXPECT_THAT(ask("revoke", R"({"task_id":{"a":1}})"), HasSubstr("error"));
  EXPECT_THAT(ask("revoke", R"({"task_id":[1]})"), HasSubstr("error"));
  EXPECT_THAT(ask("rate_limit", R"({"task_name":"tasks.add"})"), HasSubstr("error"));
  EXPECT_THAT(ask("terminate", R"({"task_id":"a"})"), HasSubstr("error"));
  EXPECT_THAT(one.target.said(), IsEmpty());
  EXPECT_THROW(tell_workers(where_, "ping", "[]"), decode_error);
}

TEST_F(ControlPanel, OnlyThoseWhoAreMeantAnswer) {
  add("one@h");
  add("two@h");
  EXPECT_THAT(ask_workers(where_, "ping", "{}", {"one@h", "two@h"}, generous),
              UnorderedElementsAre(Pair("one@h", R"({"ok":"pong"})"), Pair("two@h", R"({"ok":"pong"})")));
  EXPECT_THAT(ask_workers(where_, "ping", "{}", {"two@h"}, generous), UnorderedElementsAre(Pair("two@h", testing::_)));
  EXPECT_THAT(ask_workers(where_, "ping", "{}", {"three@h"}, 50ms), IsEmpty());
}

// Texts as others may send them, and after them an honest question.
TEST_F(ControlPanel, IgnoresWhatIsNoMessage) {
  worker& one = add("one@h");
  const auto wrapped = [](const std::string& body) { return wrap_control(body, {}, "celery.pidbox", ""); };
  for (const std::string& text :
       {std::string(), std::string("no"), std::string("[]"), std::string(R"({"body":1})"),
        std::string(R"({"body":"!!!","content-type":"application/json","properties":[]})"), wrapped("[]"),
        wrapped("{}"), wrapped(R"({"method":1})"), wrapped("{"), wrapped(R"({"method":"shutdown","arguments":[]})"),
        wrapped(R"({"method":"shutdown","destination":[1,null]})"),
        wrapped(R"({"method":"shutdown","pattern":"o*","matcher":"nonsense"})"),
        wrapped(R"({"method":"shutdown","pattern":"t*","matcher":"glob"})"),
        wrapped(R"({"method":"ping","reply_to":{"exchange":1}})"), wrapped(R"({"method":"ping","reply_to":"me"})")}) {
    where_.tasks()->broadcast("celery.pidbox", text);
  }
  EXPECT_EQ(ask("ping"), R"({"ok":"pong"})");
  EXPECT_THAT(one.target.said(), IsEmpty());
  where_.tasks()->broadcast("celery.pidbox",
                            wrapped(R"({"method":"shutdown","pattern":"o?e@*","matcher":"glob","arguments":null})"));
  EXPECT_EQ(ask("ping"), R"({"ok":"pong"})");
  EXPECT_THAT(one.target.said(), ElementsAre("shutdown warm"));
}

TEST_F(ControlPanel, SaysWhenItBeginsToHearLate) {
  const tutti_test::test_folder folder;
  where_ = app({.broker = "sqlite:" + folder.file("none/tasks.db"), .patience = 50ms});
  worker& one = add("one@h", 10ms);
  EXPECT_THAT(one.target.said(), IsEmpty());
  std::filesystem::create_directory(folder.file("none"));
  EXPECT_TRUE(tutti_test::eventually([&] { return !one.target.said().empty(); }));
  EXPECT_THAT(one.target.said(), ElementsAre("missed some"));
  EXPECT_EQ(ask("ping"), R"({"ok":"pong"})");
}

TEST_F(ControlPanel, TellsThatTheWorkerLives) {
  const auto heard = where_.tasks()->listen("celeryev/*");
  add("one@h", 10ms);
  std::vector<std::string> types;
  std::uint64_t clock = 0;
  const auto next = [&] {
    const auto text = heard->receive(generous);
    ASSERT_TRUE(text);
    const control_envelope envelope = unwrap_control(*text);
    EXPECT_EQ(member_of(envelope.headers, "hostname"), R"("one@h")");
    const auto event = object_parts(envelope.body);
    types.push_back(string_in(member_of(event, "type")).value_or("?"));
    EXPECT_EQ(member_of(event, "hostname"), R"("one@h")");
    EXPECT_EQ(member_of(event, "active"), "1");
    EXPECT_EQ(member_of(event, "processed"), "7");
    EXPECT_EQ(member_of(event, "freq"), "0.01");
    EXPECT_EQ(member_of(event, "sw_ident"), R"("tutti")");
    EXPECT_EQ(array_parts(member_of(event, "loadavg")).size(), 3u);
    EXPECT_GT(std::stoull(member_of(event, "clock")), clock);
    clock = std::stoull(member_of(event, "clock"));
  };
  for (int i = 0; i < 3; ++i) next();
  EXPECT_THAT(types, ElementsAre("worker-online", "worker-heartbeat", "worker-heartbeat"));
  workers_.clear();
  while (types.back() != "worker-offline") {
    next();
    if (HasFatalFailure()) return;
  }
}

TEST(ControlMatch, GlobsAsPythonHasThem) {
  for (const auto& [pattern, text, expected] :
       std::vector<std::tuple<std::string, std::string, bool>>{{"", "", true},
                                                               {"", "a", false},
                                                               {"*", "", true},
                                                               {"*", "anything", true},
                                                               {"a*", "abc", true},
                                                               {"a*", "ba", false},
                                                               {"*c", "abc", true},
                                                               {"*b*", "abc", true},
                                                               {"a?c", "abc", true},
                                                               {"a?c", "ac", false},
                                                               {"[ab]x", "bx", true},
                                                               {"[!ab]x", "bx", false},
                                                               {"[a-c]*", "cde", true},
                                                               {"[a-c]*", "dde", false},
                                                               {"[]]", "]", true},
                                                               {"[", "[", true},
                                                               {"[a", "[a", true},
                                                               {"celery@*", "celery@h", true},
                                                               {"*@h", "tutti@g", false}}) {
    EXPECT_EQ(glob_matches(pattern, text), expected) << pattern << ' ' << text;
  }
  std::string stars;
  for (int i = 0; i < 200; ++i) stars += "*a";
  EXPECT_FALSE(glob_matches(stars + "b", std::string(2000, 'a')));
}

TEST(ControlClock, GoesForwardOnly) {
  const std::uint64_t before = control_clock::forward();
  control_clock::adjust(before + 1000);
  EXPECT_GT(control_clock::now(), before + 1000);
  control_clock::adjust(1);
  EXPECT_GT(control_clock::forward(), before + 1000);
  control_clock::adjust(~std::uint64_t{0});  // would leave nothing
  EXPECT_LT(control_clock::now(), std::uint64_t{1} << 61);
}

}  // namespace
}  // namespace tutti::cluster
