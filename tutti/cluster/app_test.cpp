// app: where its settings come from, and which one is current; the registry of tasks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/app.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/task_registry.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <tests/support/cluster_client.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using tutti_test::message_of;

// Environment variables, as they were again in the end.
class variables {
 public:
  variables() {
    for (const char* name : names) unsetenv(name);
  }
  ~variables() {
    for (const char* name : names) unsetenv(name);
  }
  variables(const variables&) = delete;
  variables& operator=(const variables&) = delete;
  static void set(const char* name, const char* value) { setenv(name, value, 1); }

 private:
  static constexpr const char* names[] = {"TUTTI_BROKER",          "CELERY_BROKER_URL", "TUTTI_BACKEND",
                                          "CELERY_RESULT_BACKEND", "TUTTI_QUEUE",       "TUTTI_EAGER"};
};

class settings_file {
 public:
  explicit settings_file(const std::string& text)
      : path_(std::filesystem::temp_directory_path() / ("app_test-" + std::to_string(::getpid()) + ".json")) {
    std::ofstream(path_) << text;
  }
  ~settings_file() { std::filesystem::remove(path_); }
  settings_file(const settings_file&) = delete;
  settings_file& operator=(const settings_file&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(App, RefusesWhatMakesNoSense) {
  EXPECT_THROW(app({.broker = "nowhere"}), bad_spec);
  EXPECT_THROW(app({.broker = "memory://", .backend = "rpc://"}), bad_spec);
  EXPECT_THAT(message_of<bad_spec>([] { app({.broker = "redis://me:secret@host:1:2"}); }), Not(HasSubstr("secret")));
  EXPECT_THAT(message_of<std::invalid_argument>([] { app({.broker = "memory://", .lease = 1ms}); }),
              HasSubstr("lease is 1"));
  EXPECT_THROW(app({.broker = "memory://", .patience = 0ms}), std::invalid_argument);
  EXPECT_THROW(app({.broker = "memory://", .result_expires = -1s}), std::invalid_argument);
  EXPECT_THROW(app({.broker = "memory://", .queue = ""}), std::invalid_argument);
}

TEST(App, ReadsTheEnvironment) {
  const variables set;
  variables::set("CELERY_BROKER_URL", "memory://celerys");
  variables::set("CELERY_RESULT_BACKEND", "memory://results");
  EXPECT_EQ(app::from_environment().options().broker, "memory://celerys");
  variables::set("TUTTI_BROKER", "memory://ours");
  variables::set("TUTTI_QUEUE", "q");
  variables::set("TUTTI_EAGER", "true");
  const app made = app::from_environment();
  EXPECT_EQ(made.options().broker, "memory://ours");
  EXPECT_EQ(made.options().backend, "memory://results");
  EXPECT_EQ(made.options().queue, "q");
  EXPECT_TRUE(made.options().eager);
  variables::set("TUTTI_EAGER", "perhaps");
  EXPECT_THAT(message_of<std::invalid_argument>([] { (void)app::from_environment(); }),
              AllOf(HasSubstr("TUTTI_EAGER"), HasSubstr("perhaps")));
}

TEST(App, NamesTheVariableThatHasAWrongUrl) {
  const variables set;
  const auto said = [] { return message_of<bad_spec>([] { (void)app::from_environment(); }); };
  variables::set("CELERY_RESULT_BACKEND", "rpc://me:secret@host");
  EXPECT_THAT(said(), AllOf(StartsWith("CELERY_RESULT_BACKEND: broker URL \"rpc://"), Not(HasSubstr("secret"))));
  variables::set("TUTTI_BACKEND", "memory://results");
  variables::set("TUTTI_BROKER", "amqp://host");
  EXPECT_THAT(said(), StartsWith("TUTTI_BROKER: broker URL \"amqp://host\""));
  EXPECT_THAT(message_of<bad_spec>([] { app({.broker = "nowhere"}); }), StartsWith("broker URL \"nowhere\""));
}

TEST(App, ReadsAFile) {
  const settings_file good(R"({"broker": "memory://filed", "queue": "q", "result_expires": 60, "lease": 2000,
                               "patience": 100, "eager": true})");
  const app made = app::from_file(good.path());
  EXPECT_EQ(made.options().broker, "memory://filed");
  EXPECT_EQ(made.options().queue, "q");
  EXPECT_EQ(made.options().result_expires, 60s);
  EXPECT_EQ(made.options().lease, 2000ms);
  EXPECT_EQ(made.options().patience, 100ms);
  EXPECT_TRUE(made.options().eager);
}

TEST(App, SaysWhatIsWrongInAFile) {
  const auto said = [](const std::string& text) {
    const settings_file file(text);
    return message_of<decode_error>([&] { (void)app::from_file(file.path()); });
  };
  EXPECT_THAT(said(R"({"brokr": "x"})"), AllOf(HasSubstr("\"brokr\""), HasSubstr("known: broker")));
  EXPECT_THAT(said(R"({"result_expires": "x"})"), HasSubstr("result_expires"));
  EXPECT_THAT(said("[]"), HasSubstr("wanted an object"));
  EXPECT_THAT(said("{"), HasSubstr("app_test-"));
  EXPECT_THAT(said(R"({"backend": "rpc://me:secret@host"})"),
              AllOf(HasSubstr("app_test-"), HasSubstr("no broker for \"rpc\""), Not(HasSubstr("secret"))));
  EXPECT_THAT(said(R"({"lease": 1})"), AllOf(HasSubstr("app_test-"), HasSubstr("lease is 1")));
  EXPECT_THROW((void)app::from_file("/nowhere/at/all.json"), os_error);
}

TEST(App, IsCurrentWhenMadeSo) {
  const app first({.broker = "memory://first"});
  first.make_current();
  const app second({.broker = "memory://second"});
  EXPECT_EQ(app::current().options().broker, "memory://first");
  second.make_current();
  EXPECT_EQ(app::current().options().broker, "memory://second");
}

TEST(App, HasOneBrokerAndOneStore) {
  const app one({.broker = "memory://one"});
  const app copy = one;
  EXPECT_EQ(one.tasks(), copy.tasks());
  EXPECT_EQ(one.results(), copy.results());
  EXPECT_EQ(one.tasks()->name(), "memory://one");
}

struct give {
  std::string operator()(std::string_view, std::string_view) const { return "1"; }
};
struct take {
  std::string operator()(std::string_view, std::string_view) const { return "2"; }
};

registered_task named_task(const std::string& name,
                           std::function<std::string(std::string_view, std::string_view)> run) {
  registered_task task;
  task.settings.name = name;
  task.signature = name + "()";
  task.run = std::move(run);
  return task;
}

TEST(TaskRegistry, KnowsTasksAsLongAsTheyLive) {
  {
    const task_registration one(named_task("registry.one", give()));
    ASSERT_NE(find_task("registry.one"), nullptr);
    EXPECT_EQ(find_task("registry.one")->run("[]", "{}"), "1");
    const auto all = registered_tasks();
    EXPECT_EQ(std::ranges::count(all, find_task("registry.one")), 1);
  }
  EXPECT_EQ(find_task("registry.one"), nullptr);
}

TEST(TaskRegistry, RefusesTwoFunctionsOfOneName) {
  const task_registration one(named_task("registry.same", give()));
  EXPECT_THAT(message_of<ambiguous_function>([] { const task_registration two(named_task("registry.same", take())); }),
              HasSubstr("task \"registry.same\" stands for two functions"));
  EXPECT_THROW(task_registration(named_task("", give())), std::invalid_argument);
  EXPECT_THROW(task_registration(named_task("registry.x", nullptr)), std::invalid_argument);
}

TEST(TaskRegistry, TakesAHeadersTaskOnceForEachSourceFile) {
  std::optional<task_registration> one(std::in_place, named_task("registry.header", give()));
  const task_registration two(named_task("registry.header", give()));
  one.reset();
  EXPECT_NE(find_task("registry.header"), nullptr);
}

}  // namespace
}  // namespace tutti::cluster
