// docs_process_test: what docs/process.md shows, compiled and run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <tests/support/watchdog.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace docs_process {

using namespace std::chrono_literals;
using testing::HasSubstr;

class docs_process : public testing::Test {
  tutti_test::watchdog dog_;
};

// ---------------------------------------------------------------- processes

void report(const std::string& title, int lines) { std::cout << title << ": " << lines << " lines\n"; }

TEST_F(docs_process, functions) {
  tutti::process p({.name = "reporter", .out = tutti::stdio::pipe()}, tutti::fn<report>, "inbox", 3);
  tutti::process_output said = p.communicate();  // what it wrote, and how it ended
  EXPECT_EQ(said.out, "inbox: 3 lines\n");
  EXPECT_TRUE(said.status.success());
  EXPECT_EQ(to_string(p), "reporter (pid " + std::to_string(p.pid()) + "): exit code 0");
}

TEST_F(docs_process, programs) {
  using tutti::stdio;
  tutti::process sort = tutti::process::exec({"sort", "-r"}, {.in = stdio::pipe(), .out = stdio::pipe()});
  EXPECT_EQ(sort.communicate("ant\nbee\ncat\n").out, "cat\nbee\nant\n");
}

std::string read_page(int number) { throw std::out_of_range("there is no page " + std::to_string(number)); }

TEST_F(docs_process, failure) {
  tutti::process p({.name = "reader", .err = tutti::stdio::pipe()}, tutti::fn<read_page>, 12);
  EXPECT_EQ(p.communicate().err, "reader: std::out_of_range: there is no page 12\n");
  EXPECT_EQ(p.join().code(), 1);
  EXPECT_THROW(std::rethrow_exception(p.failure()), std::out_of_range);
}

void wait_for_ever() {
  for (;;) ::pause();
}

TEST_F(docs_process, ending) {
  tutti::process p(tutti::fn<wait_for_ever>);
  if (!p.join(10ms)) p.terminate();  // SIGTERM; kill() is SIGKILL
  EXPECT_EQ(p.join(), tutti::exit_status::killed(SIGTERM));
}

TEST_F(docs_process, lines) {
  using tutti::stdio;
  tutti::process sort = tutti::process::exec({"sort"}, {.in = stdio::file("/etc/passwd"), .out = stdio::pipe()});
  tutti::process last =
      tutti::process::exec({"tail", "-n", "2"}, {.in = stdio::descriptor(sort.out().get()), .out = stdio::pipe()});
  sort.out().reset();  // it is the other one's now
  int users = 0;
  for (const std::string& line : tutti::lines(last.out())) users += line.find(':') != line.npos;
  EXPECT_EQ(users, 2);
}

TEST_F(docs_process, time) {
  tutti::process p = tutti::process::exec({"sleep", "1000"}, {.out = tutti::stdio::pipe()});
  EXPECT_THROW(p.communicate("", 10ms), tutti::timed_out);  // and it was killed
  EXPECT_FALSE(p.alive());
}

TEST_F(docs_process, limits) {
  using tutti::stdio;
  const std::pair<std::string, std::string> environment[] = {{"COLOUR", "blue"}};
  const tutti::resource_limit limits[] = {{RLIMIT_CPU, 10}, {RLIMIT_NOFILE, 100}};
  const int cpus[] = {::sched_getcpu()};
  const tutti::process_options options = {.tree = true,
                                          .out = stdio::pipe(),
                                          .err = stdio::output(),
                                          .environment = environment,
                                          .directory = "/",
                                          .limits = limits,
                                          .cpus = cpus};
  tutti::process p = tutti::process::exec({"sh", "-c", "ulimit -t; ulimit -n; pwd; echo $COLOUR"}, options);
  EXPECT_EQ(p.communicate().out, "10\n100\n/\nblue\n");
}

// ---------------------------------------------------------------- the pool

std::vector<double> weights;  // each worker has its own

void load_weights(int n, double weight) { weights.assign(static_cast<std::size_t>(n), weight); }

double weigh(std::size_t at, double x) { return weights.at(at) * x; }

TEST_F(docs_process, initializer) {
  tutti::process_pool pool({.workers = 2, .name = "scales"}, tutti::fn<load_weights>, 100, 0.5);
  EXPECT_EQ(pool.submit<weigh>(99u, 8.0).get(), 4.0);
  EXPECT_TRUE(weights.empty());  // here nothing was loaded
  EXPECT_THROW(pool.submit<weigh>(100u, 8.0).get(), std::out_of_range);
}

int length(const std::string& text) { return static_cast<int>(text.size()); }

TEST_F(docs_process, executor) {
  auto pool = tutti::make_executor("processes:2");  // or "processes", "threads:2", "inline"
  int letters = 0;
  for (int n : pool->map<length>(std::vector<std::string>{"to", "be", "or", "not"})) letters += n;
  EXPECT_EQ(letters, 9);
}

// A parser with a mistake in it.
int parse(const std::string& text) {
  if (text.empty()) {
    ::signal(SIGSEGV, SIG_DFL);  // sanitizers have handlers
    ::raise(SIGSEGV);
  }
  return std::stoi(text);
}

TEST_F(docs_process, crash) {
  tutti::process_pool pool(2);
  auto good = pool.submit<parse>("12");
  auto bad = pool.submit<parse>("");
  try {
    bad.get();
    FAIL() << "it has a result";
  } catch (const tutti::worker_lost& e) {
    EXPECT_EQ(e.signal(), SIGSEGV);
    EXPECT_THAT(e.what(), HasSubstr("was killed by SIGSEGV while it ran task \"docs_process::parse\""));
  }
  EXPECT_EQ(good.get(), 12);
  EXPECT_EQ(pool.submit<parse>("13").get(), 13);
}

TEST_F(docs_process, timeout) {
  tutti::process_pool pool({.workers = 1, .grace = 0s});
  EXPECT_THROW(pool.with({.timeout = 10ms}).submit<wait_for_ever>().get(), tutti::timed_out);
  EXPECT_EQ(pool.submit<parse>("14").get(), 14);  // by a new worker
}

class no_number : public std::exception {
 public:
  const char* what() const noexcept override { return "that is no number"; }
};
void throw_no_number() { throw no_number(); }

TEST_F(docs_process, unknown_exception) {
  tutti::process_pool pool(1);
  try {
    pool.submit<throw_no_number>().get();
    FAIL() << "it has a result";
  } catch (const tutti::remote_error& e) {
    EXPECT_EQ(e.type(), "docs_process::no_number");
    EXPECT_STREQ(e.what(), "that is no number");
    EXPECT_THAT(e.stack(), HasSubstr("docs_process::throw_no_number()"));
  }
}

TEST_F(docs_process, resize) {
  tutti::process_pool pool({.workers = 1, .max_tasks_per_worker = 2});
  for (const char* text : {"1", "2", "3", "4"}) pool.submit<parse>(text).get();
  pool.resize(2);
  const tutti::process_pool_stats now = pool.stats();
  EXPECT_EQ(now.workers, 2);
  EXPECT_EQ(now.completed, 4u);
  EXPECT_GE(now.started, 3u);
}

// ---------------------------------------------------------------- shared memory

void fill_with_roots(tutti::shared_array<double> numbers, std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) numbers[i] = std::sqrt(static_cast<double>(i));
}

TEST_F(docs_process, shared_array) {
  tutti::process_pool pool(2);
  tutti::shared_array<double> numbers(1'000'000);  // 8 MB; a handle goes along, not they
  const std::size_t half = numbers.size() / 2;
  auto low = pool.submit<fill_with_roots>(numbers, 0u, half);
  auto high = pool.submit<fill_with_roots>(numbers, half, numbers.size());
  low.get();
  high.get();
  EXPECT_EQ(numbers[810'000], 900.0);
}

struct extremes {
  double least, most;
};

void look_at(double x, tutti::shared_value<extremes> seen, tutti::shared_value<long> count) {
  seen.update([&](const extremes& e) { return extremes{std::min(e.least, x), std::max(e.most, x)}; });
  count.fetch_add(1);
}

TEST_F(docs_process, shared_value) {
  tutti::process_pool pool(2);
  tutti::shared_value seen(extremes{1e9, -1e9});
  tutti::shared_value count(0L);
  std::vector<tutti::future<void>> all;
  for (double x : {3.0, 1.0, 4.0, 1.5}) all.push_back(pool.submit<look_at>(x, seen, count));
  for (auto& one : all) one.get();
  EXPECT_EQ(count.load(), 4);
  EXPECT_EQ(seen.load().most, 4.0);
  EXPECT_EQ(seen.load().least, 1.0);
}

// ---------------------------------------------------------------- locks

void move_money(tutti::shared_array<long> accounts, tutti::process_mutex lock, long amount, bool dies) {
  const std::lock_guard held(lock);
  accounts[0] -= amount;
  if (dies) ::raise(SIGKILL);
  accounts[1] += amount;
}

TEST_F(docs_process, mutex) {
  tutti::process_pool pool(2);
  const auto accounts = tutti::shared_array<long>::copy_of(std::vector{100L, 0L});
  const tutti::process_mutex lock("accounts");
  pool.submit<move_money>(accounts, lock, 10, false).get();
  EXPECT_THROW(pool.submit<move_money>(accounts, lock, 10, true).get(), tutti::worker_lost);
  EXPECT_THROW(pool.submit<move_money>(accounts, lock, 10, false).get(), tutti::owner_lost);  // whoever is next, once
  pool.submit<move_money>(accounts, lock, 10, false).get();
  EXPECT_EQ(accounts[0], 70);
  EXPECT_EQ(accounts[1], 20);  // 10 are gone
}

void move_money_safely(tutti::shared_array<long> accounts, tutti::process_mutex lock, long amount) {
  const bool owner_died = lock.lock_to_repair();
  const std::lock_guard held(lock, std::adopt_lock);
  if (owner_died) accounts[1] = 100 - accounts[0];
  accounts[0] -= amount;
  accounts[1] += amount;
}

TEST_F(docs_process, repair) {
  tutti::process_pool pool(2);
  const auto accounts = tutti::shared_array<long>::copy_of(std::vector{100L, 0L});
  const tutti::process_mutex lock("accounts");
  EXPECT_THROW(pool.submit<move_money>(accounts, lock, 10, true).get(), tutti::worker_lost);
  pool.submit<move_money_safely>(accounts, lock, 10).get();
  EXPECT_EQ(accounts[0], 80);
  EXPECT_EQ(accounts[1], 20);
}

int most_at_once(tutti::process_semaphore permits, tutti::shared_value<int> inside) {
  const tutti::process_permit held = permits.acquire_permit();  // no other process can give this one back
  const int now = inside.fetch_add(1) + 1;
  inside.fetch_sub(1);
  return now;
}

TEST_F(docs_process, semaphore) {
  tutti::process_pool pool(3);
  const tutti::process_semaphore permits(2, "licences");
  const tutti::shared_value inside(0);
  std::vector<tutti::future<int>> all;
  for (int i = 0; i < 100; ++i) all.push_back(pool.submit<most_at_once>(permits, inside));
  for (auto& one : all) EXPECT_LE(one.get(), 2);
}

// ---------------------------------------------------------------- channels

void square(tutti::process_channel<int> link) {
  for (int n : link) link.send(n * n);  // until the other end is closed
}

TEST_F(docs_process, channel) {
  auto [here, there] = tutti::process_channel<int>::pair();
  tutti::process squarer(tutti::fn<square>, std::move(there));  // the end is given away
  here.send(12);
  EXPECT_EQ(here.receive(), 144);
  here.close();  // before it is waited for
  EXPECT_TRUE(squarer.join().success());
}

void measure(tutti::process_queue<std::string> jobs, tutti::shared_value<std::size_t> letters) {
  for (const std::string& text : jobs) {  // each goes to one of all who receive
    letters.fetch_add(text.size());
    jobs.task_done();
  }
}

TEST_F(docs_process, queue) {
  tutti::process_queue<std::string> jobs(100);  // at most so many wait
  const tutti::shared_value letters(std::size_t{0});
  std::vector<tutti::process> workers;
  for (int i = 0; i < 2; ++i) workers.emplace_back(tutti::fn<measure>, jobs, letters);
  for (const char* text : {"to", "be", "or", "not"}) jobs.send(text);
  jobs.join();   // until all were received and reported
  jobs.close();  // the loops end
  EXPECT_EQ(letters.load(), 9u);
}

struct reading {
  std::string sensor;
  double value;
};

void measure_roof(const std::filesystem::path& path) {
  auto out = tutti::named_channel<reading>::writer(path);  // waits until somebody receives
  out.send({"roof", 21.5});
}

TEST_F(docs_process, named_channel) {
  std::string folder = (std::filesystem::temp_directory_path() / "tutti_docs_XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::filesystem::path path = std::filesystem::path(folder) / "readings";
  double sum = 0;
  {
    tutti::process sensor(tutti::fn<measure_roof>, path);
    auto in = tutti::named_channel<reading>::reader(path);  // the path is all that the two have in common
    for (const reading& r : in) sum += r.value;             // until all who sent are gone
  }
  EXPECT_EQ(sum, 21.5);
  std::filesystem::remove_all(folder);
}

}  // namespace docs_process
