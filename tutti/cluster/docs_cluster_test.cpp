// The blocks of docs/cluster.md. They take one header; sync's and task's are for what the page does not show.
#include <tutti/cluster/cluster.hpp>
#include <tutti/sync/latch.hpp>
#include <tutti/task/sync_wait.hpp>

#include <gtest/gtest.h>

#include <boost/describe/class.hpp>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cluster = tutti::cluster;
using namespace std::chrono_literals;

namespace calc {
int add(int a, int b) { return a + b; }
int total(std::vector<int> all) { return std::accumulate(all.begin(), all.end(), 0); }
void note(int) {}
int twice(int x) { return 2 * x; }

tutti::latch gate(1);
void hold() { gate.wait(); }
}  // namespace calc

namespace {
const cluster::function add{tutti::fn<calc::add>, {.name = "tasks.add", .params = {"a", "b"}}};
const cluster::function total{tutti::fn<calc::total>, {.name = "tasks.total"}};
const cluster::function note{tutti::fn<calc::note>, {.name = "tasks.note"}};
const cluster::function hold{tutti::fn<calc::hold>};
}  // namespace

namespace video {

struct shop_closed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct done_so_far {
  int frame = 0, of = 0;
};
BOOST_DESCRIBE_STRUCT(done_so_far, (), (frame, of))

std::string encode(std::string file, int frames) {
  namespace this_call = tutti::cluster::this_call;
  for (int i = 0; i < frames; ++i) {
    if (this_call::stop_token().stop_requested()) throw tutti::cancelled("encoding " + file);
    this_call::update_state(done_so_far{i, frames});
  }
  return file + ".mp4";
}

// Sold out the first time.
std::string buy(std::string what) {
  if (cluster::this_call::retries() == 0) cluster::this_call::retry({.countdown = 10ms, .reason = "sold out"});
  if (cluster::this_call::retries() == 1) throw shop_closed("lunch");
  return what;
}

const cluster::function encode_video{tutti::fn<encode>,
                                     {.name = "video.encode",
                                      .queue = "video",
                                      .params = {"file", "frames"},
                                      .defaults = cluster::defaults(25),
                                      .time_limit = 1h,
                                      .soft_time_limit = 50min,
                                      .track_started = true}};

const cluster::function buy_it{tutti::fn<buy>,
                               {.name = "shop.buy",
                                .max_retries = 5,
                                .retry_delay = 10ms,  // then twice that, and so on, up to retry_delay_max
                                .retry_on = {cluster::on<shop_closed>}}};

}  // namespace video

namespace {

using video::buy_it;
using video::encode_video;

// A broker of its own for each test.
std::string fresh_broker() {
  static int number = 0;
  return "memory://docs" + std::to_string(++number);
}

class DocsCluster : public ::testing::Test {
 protected:
  DocsCluster() { app_.make_current(); }
  void hire(cluster::worker_options options = {}) {
    options.concurrency = 2;
    worker_.emplace(app_, std::move(options));
    worker_->start();
  }

  cluster::app app_{{.broker = fresh_broker()}};
  std::optional<cluster::worker> worker_;
};

TEST(DocsClusterFirst, OneHeaderHasHowMainBegins) {
  void (*const begin)(int&, char**&) = tutti::init;
  int argc = 1;
  char name[] = "program";
  char* words[] = {name, nullptr};
  char** argv = words;
  begin(argc, argv);
  EXPECT_TRUE(tutti::initialised());
}

TEST(DocsClusterFirst, FirstExample) {
  const std::string broker = fresh_broker();
  const cluster::app app({.broker = broker});  // "redis://localhost/0", "sqlite:tasks.db", "memory://"
  app.make_current();
  cluster::worker worker(app, {.concurrency = 2});
  worker.start();  // in earnest it is a process of its own

  const auto sum = add.delay(2, 3);  // sent, and with the broker
  EXPECT_EQ(sum.get(30s), 5);
}

TEST_F(DocsCluster, Calls) {
  hire({.queues = {"celery", "slow"}});
  const auto by_name = add.delay(2, cluster::kw("b", 3));
  const auto later = add.apply_async({.countdown = 10ms, .expires = 1min, .priority = 5, .queue = "slow"}, 2, 3);

  // A task of somebody else's, of which only the name is known.
  const auto theirs = cluster::send_task<int>("tasks.add", {}, 2, 3);
  const auto untyped = cluster::send_task("tasks.add", {}, cluster::json{"2"}, 3);
  EXPECT_EQ(untyped.get(30s).text, "5");

  EXPECT_EQ(by_name.get(30s), 5);
  EXPECT_EQ(later.get(30s), 5);
  EXPECT_EQ(theirs.get(30s), 5);
  EXPECT_EQ(add(2, 3), 5);  // here and now
}

TEST_F(DocsCluster, Results) {
  hire({.queues = {"celery", "video"}});
  const auto film = encode_video.delay("holiday", 3);
  while (!film.ready()) {
    const auto [state, how_far] = film.look();
    if (state == "PROGRESS") {
      EXPECT_TRUE(how_far.ends_with(R"("of":3})"));  // {"frame":1,"of":3}
    }
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_EQ(film.get(), "holiday.mp4");

  // By its id, from anywhere.
  const auto same = cluster::result<std::string>(film.id());
  EXPECT_EQ(same.get(30s), "holiday.mp4");
}

tutti::task<int> both() {
  const auto a = add.delay(1, 2);
  const auto b = add.delay(3, 4);
  co_return co_await a + co_await b;
}

TEST_F(DocsCluster, Futures) {
  hire();
  EXPECT_EQ(tutti::sync_wait(both()), 10);
  auto text = add.delay(1, 2).then([](int n) { return std::to_string(n); });
  EXPECT_EQ(text.get(), "3");
}

TEST_F(DocsCluster, Canvases) {
  hire();
  // One after the other: (2 + 3) + 10
  const auto chained = (add.s(2, 3) | add.s(10)).delay<int>();

  // At once, results in order.
  std::vector<cluster::signature> sums;
  for (int i = 0; i < 10; ++i) sums.push_back(add.s(i, i));
  const auto together = cluster::group(sums).delay<int>();

  // At once, and then one with all results.
  const auto all = cluster::chord(sums, total.s()).delay<int>();

  // With something to call in the end, or when it fails.
  const auto noted = add.s(2, 3).link(note.s()).on_error(note.si(0)).delay<int>();

  EXPECT_EQ(chained.get(30s), 15);
  EXPECT_EQ(together.get(30s).at(9), 18);
  EXPECT_EQ(all.get(30s), 90);
  EXPECT_EQ(noted.get(30s), 5);
}

TEST_F(DocsCluster, Retries) {
  hire();
  EXPECT_EQ(buy_it.delay("apples").get(30s), "apples");
}

TEST_F(DocsCluster, Revoking) {
  hire({.prefetch = 10});
  while (cluster::ask_workers(app_, "ping", "{}", {worker_->name()}, 50ms).empty()) {  // until it hears of revocations
  }
  const auto first = hold.delay(), second = hold.delay();  // all that it can run at once

  const auto unwanted = add.delay(1, 1);
  unwanted.revoke();  // whoever has it, or gets it, does not run it
  EXPECT_THROW(unwanted.get(30s), tutti::cancelled);
  EXPECT_EQ(unwanted.state(), "REVOKED");

  calc::gate.count_down();
  first.get(30s);
  second.get(30s);
}

TEST(DocsClusterWorker, InProcess) {
  const cluster::app app({.broker = fresh_broker()});
  const cluster::worker_options options{.queues = {"video", "celery"},  // in this order
                                        .concurrency = 4,
                                        .pool = cluster::worker_pool::threads,
                                        .name = "encoder",
                                        .prefetch = 0};
  cluster::worker worker(app, options);
  worker.start();
  const auto sum = add.apply_async({.queue = "video", .where = &app}, 2, 3);
  EXPECT_EQ(sum.get(30s), 5);
  worker.shutdown();
  EXPECT_EQ(worker.wait(), 0);
  EXPECT_EQ(worker.stats().succeeded, 1U);
}

TEST(DocsClusterPool, AnExecutor) {
  auto pool = tutti::make_executor("memory://?concurrency=2");  // or "redis://host/0", with workers of this program
  int all = 0;
  for (const int sum : pool->map<calc::twice>(std::vector<int>{1, 2, 3})) all += sum;
  EXPECT_EQ(all, 12);
}

TEST(DocsClusterEager, InTests) {
  const cluster::app in_place({.eager = true});
  const auto sum = add.apply_async({.where = &in_place}, 2, 3);  // has run when this returns: no broker, no worker
  EXPECT_EQ(sum.get(), 5);
}

}  // namespace
