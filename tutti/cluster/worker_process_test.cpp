// Workers: tasks in processes, which may die, be killed, and be replaced.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/this_call.hpp>
#include <tutti/cluster/worker.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/task_shape.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <tests/support/cluster_worker.hpp>
#include <tests/support/processes.hpp>
#include <thread>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::SizeIs;
using tutti_test::cluster_bench;
using tutti_test::eventually;
using tutti_test::running_worker;

// Tasks that the processes know too, as they are the same program.
registered_task made(const char* name, std::string (*run)(const std::vector<std::string>&),
                     task_settings settings = {}) {
  registered_task task;
  task.settings = std::move(settings);
  task.settings.name = name;
  task.signature = name;
  task.run = [run](std::string_view args, std::string_view) { return run(array_parts(args)); };
  return task;
}

void append(const std::string& path, const std::string& what) { std::ofstream(path, std::ios::app) << what << '\n'; }
std::size_t lines(const std::string& path) {
  std::ifstream in(path);
  std::size_t n = 0;
  for (std::string line; std::getline(in, line);) ++n;
  return n;
}

const task_registration pid_task(made("process_test.pid", [](const auto&) { return std::to_string(::getpid()); }));
const task_registration fail_task(made("process_test.fail",
                                       [](const auto&) -> std::string { throw std::out_of_range("not there"); }));
const task_registration die_task(made("process_test.die", [](const std::vector<std::string>& args) -> std::string {
  const std::string path = string_in(args.at(0)).value();
  append(path, "x");
  if (lines(path) < std::stoul(args.at(1))) std::abort();
  return std::to_string(lines(path));
}));
const task_registration hang_task(made("process_test.hang", [](const std::vector<std::string>& args) -> std::string {
  append(string_in(args.at(0)).value(), std::to_string(::getpid()));
  for (;;) ::pause();
}));
const task_registration stop_task(made("process_test.until_stopped", [](const auto&) -> std::string {
  while (!this_call::stop_token().stop_requested()) std::this_thread::yield();
  return "\"stopped\"";
}));
const task_registration progress_task(made("process_test.progress",
                                           [](const std::vector<std::string>& args) -> std::string {
                                             this_call::update_state(std::string("half"));
                                             while (::access(string_in(args.at(0)).value().c_str(), F_OK) != 0)
                                               std::this_thread::yield();
                                             return json_string(this_call::worker());
                                           }));
const task_registration retry_task(made("process_test.retry", [](const auto&) -> std::string {
  if (this_call::retries() == 0) this_call::retry({.countdown = 1ms});
  return std::to_string(this_call::retries());
}));
const task_registration fat_task(made("process_test.fat", [](const auto&) -> std::string {
  constexpr std::size_t size = 64U << 20;
  void* const kept = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::memset(kept, 1, size);
  return std::to_string(::getpid());
}));

const task_registration call_task(made("process_test.call", [](const auto&) {
  return json_string(send_task("process_test.pid", {}).id());
}));

// Whether the log has told of a process that cannot be had.
class start_failures final : public log_sink {
 public:
  void write(const log_record& record) override {
    if (record.message.find("process of the worker cannot be started") != std::string_view::npos) ++count;
  }
  std::atomic<int> count{0};
};

class WorkerProcesses : public testing::Test {
 protected:
  // sqlite needs a folder of its own, for the files beside the database.
  static std::string new_folder() {
    std::string folder = testing::TempDir() + "tutti_worker_XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) ADD_FAILURE() << "cannot make " << folder;
    return folder;
  }
  ~WorkerProcesses() override {
    set_log_sink(nullptr);
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] static std::uint64_t memory_of(const std::string& pid) {  // KiB
    std::uint64_t all = 0, resident = 0;
    std::ifstream("/proc/" + pid + "/statm") >> all >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
  }
  [[nodiscard]] std::string file() const { return folder_ + "/notes"; }
  [[nodiscard]] std::string file_json() const { return json_string(file()); }

  const std::string folder_ = new_folder();
  cluster_bench bench_{"sqlite:" + folder_ + "/queue.db"};
  worker_options options_{.concurrency = 1, .pool = worker_pool::processes};
};

TEST_F(WorkerProcesses, RunTasksElsewhere) {
  running_worker worker(bench_, options_);
  const task_result r = bench_.await(bench_.send("process_test.pid"));
  EXPECT_EQ(r.status, "SUCCESS");
  EXPECT_NE(r.result, std::to_string(::getpid()));
  EXPECT_EQ(bench_.await(bench_.send("process_test.pid")).result, r.result);
  const task_result failed = bench_.await(bench_.send("process_test.fail"));
  EXPECT_THROW(static_cast<void>(value_of(failed)), std::out_of_range);
  EXPECT_EQ(bench_.await(bench_.send("process_test.retry")).result, "1");
  EXPECT_EQ(worker.stop(), 0);
  tutti_test::until_gone(std::stoi(r.result));
}

TEST_F(WorkerProcesses, TellProgress) {
  running_worker worker(bench_, options_);
  const std::string id = bench_.send("process_test.progress", "[" + file_json() + "]");
  EXPECT_EQ(bench_.await(id, "PROGRESS").result, "\"half\"");
  append(file(), "go on");
  EXPECT_EQ(bench_.await(id).result, json_string(worker->name()));
}

TEST_F(WorkerProcesses, HaveAnotherTryAfterTheyDied) {
  running_worker worker(bench_, options_);
  EXPECT_EQ(bench_.await(bench_.send("process_test.die", "[" + file_json() + ", 3]")).result, "3");
  EXPECT_EQ(bench_.buried().size(), 0U);
}

TEST_F(WorkerProcesses, GiveUpATaskUnderWhichTooManyDied) {
  running_worker worker(bench_, options_);
  const task_result r = bench_.await(bench_.send("process_test.die", "[" + file_json() + ", 100]"));
  EXPECT_EQ(r.status, "FAILURE");
  EXPECT_THROW(static_cast<void>(value_of(r)), worker_lost);
  EXPECT_EQ(lines(file()), 3U);
  ASSERT_TRUE(eventually([&] { return bench_.buried().size() == 1; }));
  EXPECT_EQ(bench_.await(bench_.send("process_test.pid")).status, "SUCCESS");
}

TEST_F(WorkerProcesses, AreKilledAtTheTimeLimit) {
  running_worker worker(bench_, options_);
  task_message m = bench_.message("process_test.hang", "[" + file_json() + "]");
  m.time_limit = 0.1;
  bench_.send(m);
  const task_result r = bench_.await(m.id);
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "TimeLimitExceeded");
  EXPECT_EQ(bench_.await(bench_.send("process_test.pid")).status, "SUCCESS");
}

TEST_F(WorkerProcesses, AreAskedToStopAtTheSoftLimit) {
  running_worker worker(bench_, options_);
  task_message m = bench_.message("process_test.until_stopped");
  m.soft_time_limit = 0.05;
  bench_.send(m);
  EXPECT_EQ(bench_.await(m.id).result, "\"stopped\"");
}

TEST_F(WorkerProcesses, AreKilledWhenTheirTaskIsTerminated) {
  running_worker worker(bench_, options_);
  const std::string id = bench_.send("process_test.hang", "[" + file_json() + "]");
  ASSERT_TRUE(eventually([&] { return lines(file()) == 1; }));
  EXPECT_THAT(
      ask_workers(bench_.app(), "revoke", R"({"task_id": ")" + id + R"(", "terminate": true, "signal": "SIGTERM"})",
                  {worker->name()}, 30s),
      SizeIs(1));
  EXPECT_EQ(bench_.await(id).status, "REVOKED");
  EXPECT_EQ(bench_.await(bench_.send("process_test.pid")).status, "SUCCESS");
}

TEST_F(WorkerProcesses, AreKilledWhenTheWorkerIsShutDownCold) {
  {
    running_worker worker(bench_, options_);
    const std::string id = bench_.send("process_test.hang", "[" + file_json() + "]");
    ASSERT_TRUE(eventually([&] { return lines(file()) == 1; }));
    EXPECT_EQ(worker.stop(false), 1);
    EXPECT_FALSE(bench_.look(id));
  }
  EXPECT_EQ(bench_.left(), 1U);
}

TEST_F(WorkerProcesses, AreGoneWithTheWorkersEndWhichAColdShutdownMayOverlap) {
  running_worker worker(bench_, options_);
  const int pid = std::stoi(bench_.await(bench_.send("process_test.pid")).result);
  std::atomic<bool> is_over = false;
  std::thread impatient([&] {
    while (!is_over) worker->shutdown(false);
  });
  worker.stop(true);
  EXPECT_NE(::kill(pid, 0), 0);
  is_over = true;
  impatient.join();
  worker->shutdown(false);  // nor does one that comes later still
}

TEST_F(WorkerProcesses, AreReplacedAfterSoManyTasks) {
  options_.max_tasks_per_child = 2;
  running_worker worker(bench_, options_);
  std::vector<std::string> pids;
  for (int i = 0; i < 4; ++i) pids.push_back(bench_.await(bench_.send("process_test.pid")).result);
  EXPECT_EQ(pids[0], pids[1]);
  EXPECT_EQ(pids[2], pids[3]);
  EXPECT_NE(pids[0], pids[2]);
}

TEST_F(WorkerProcesses, AreReplacedWhenTheyHaveTooMuchMemory) {
  {
    running_worker measured(bench_, options_);
    options_.max_memory_per_child =
        memory_of(bench_.await(bench_.send("process_test.pid")).result) + std::uint64_t{32} * 1024;
    ASSERT_GT(options_.max_memory_per_child, 33U * 1024);
  }
  running_worker worker(bench_, options_);
  const std::string thin = bench_.await(bench_.send("process_test.pid")).result;
  EXPECT_EQ(bench_.await(bench_.send("process_test.fat")).result, thin);
  EXPECT_NE(bench_.await(bench_.send("process_test.pid")).result, thin);
}

TEST_F(WorkerProcesses, CallOtherTasksWhereTheyCameTo) {
  running_worker worker(bench_, options_);
  const std::string called = string_in(bench_.await(bench_.send("process_test.call")).result).value();
  EXPECT_EQ(bench_.await(called).status, "SUCCESS");
}

// A library that is not there for a while: then there are no processes, and nothing is taken, run or lost.
TEST_F(WorkerProcesses, CostNoMessageAnythingWhenTheyCannotStart) {
  const auto failures = std::make_shared<start_failures>();
  set_log_sink(failures);
  const std::string library = folder_ + "/libtasks.so";
  const auto put_library = [&] {
    std::filesystem::create_symlink(detail::library_of(reinterpret_cast<const void*>(&::getpid)), library);
  };
  put_library();
  registered_task task = made("process_test.of_library", [](const auto&) { return std::string("1"); });
  task.library = library.c_str();
  const task_registration entered(task);
  options_.prefetch = 5;
  running_worker worker(bench_, options_);
  const std::string first = bench_.await(bench_.send("process_test.pid")).result;

  // Its process dies idle, and there is no other one.
  std::filesystem::remove(library);
  ASSERT_EQ(::kill(std::stoi(first), SIGKILL), 0);
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(bench_.send("process_test.pid"));
  ASSERT_TRUE(eventually([&] { return failures->count > 0; }));
  const std::string queue = "celery";
  ASSERT_TRUE(eventually([&] { return bench_.app().tasks()->queues({&queue, 1}).at(0).waiting == 3; }));
  for (const std::string& id : ids) EXPECT_FALSE(bench_.look(id));

  put_library();
  for (const std::string& id : ids) EXPECT_EQ(bench_.await(id).status, "SUCCESS");
  EXPECT_EQ(bench_.buried().size(), 0U);
  EXPECT_NE(bench_.await(ids[0]).result, first);
}

// A library whose loading does not end: no process is ever ready.
TEST_F(WorkerProcesses, AreNotWaitedForAtTheEndWhenTheyNeverStart) {
  const std::string library = folder_ + "/libtasks.so";
  ASSERT_EQ(::mkfifo(library.c_str(), 0600), 0);
  registered_task task = made("process_test.of_library", [](const auto&) { return std::string("1"); });
  task.library = library.c_str();
  const task_registration entered(task);
  for (const bool warm : {true, false}) {
    running_worker worker(bench_, options_);
    unique_fd silent;  // it reads nothing from here
    ASSERT_TRUE(eventually([&] {
      silent.reset(::open(library.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
      return silent.get() >= 0;
    }));
    EXPECT_EQ(worker.stop(warm), warm ? 0 : 1);
  }
}

TEST_F(WorkerProcesses, AreReplacedWhenTheyDieIdle) {
  running_worker worker(bench_, options_);
  const std::string first = bench_.await(bench_.send("process_test.pid")).result;
  ASSERT_EQ(::kill(std::stoi(first), SIGKILL), 0);
  const task_result second = bench_.await(bench_.send("process_test.pid"));
  EXPECT_EQ(second.status, "SUCCESS");
  EXPECT_NE(second.result, first);
}

}  // namespace
}  // namespace tutti::cluster
