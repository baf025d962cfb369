// mpi_end: how programs with several ranks end, and what is refused before, after and without enough of MPI. One case a
// run, each a CTest test: exit status 0 where all is as it must be, 3 where it is not, or an end of its own.
#include <tutti/base/init.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/mpi/mpi.hpp>
#include <tutti/task/task.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace mpi_end {

int squared(int n) { return n * n; }
void leave(int exit_code) { std::exit(exit_code); }

}  // namespace mpi_end

namespace {

namespace mpi = tutti::mpi;
using mpi::thread_level;

bool all_well = true;

void expect(bool fine, const char* what, const std::string& instead = {}) {
  if (fine) return;
  all_well = false;
  std::fprintf(stderr, "failed: %s; %s\n", what, instead.c_str());
}
// Whether it throws an E that has the word in it.
template <class E, class F>
void expect_throw(const char* what, const char* word, F f) {
  try {
    f();
  } catch (const std::exception& e) {
    const bool is_that = dynamic_cast<const E*>(&e) != nullptr;
    return expect(is_that && std::string(e.what()).find(word) != std::string::npos, what, e.what());
  }
  expect(false, what, "nothing was thrown");
}

void before_and_after() {
  expect(!mpi::environment::is_on(), "none is on at first");
  expect_throw<std::logic_error>("world() before", "environment", [] { static_cast<void>(mpi::world()); });
  expect_throw<std::logic_error>("self() before", "environment", [] { static_cast<void>(mpi::self()); });
  expect_throw<std::logic_error>("threads() before", "environment", [] { mpi::environment::threads(); });
  std::optional<mpi::communicator> kept;
  {
    const mpi::environment on;
    expect(mpi::environment::is_on(), "one is on");
    expect_throw<std::logic_error>("a second one", "environment", [] { const mpi::environment second; });
    kept = mpi::world();
    kept->barrier();
  }
  expect(!mpi::environment::is_on(), "none is on in the end");
  expect_throw<std::logic_error>("world() after", "environment", [] { static_cast<void>(mpi::world()); });
  expect_throw<std::logic_error>("threads() after", "environment", [] { mpi::environment::threads(); });
  expect_throw<std::logic_error>("one after another", "environment", [] { const mpi::environment again; });
  int one = 0;
  std::vector<int> list(1);
  expect_throw<std::logic_error>("send after", "", [&] { kept->send(1, 0); });
  expect_throw<std::logic_error>("send of an object after", "", [&] { kept->send(std::map<int, int>(), 0); });
  expect_throw<std::logic_error>("isend after", "", [&] { static_cast<void>(kept->isend(one, 0)); });
  expect_throw<std::logic_error>("recv after", "", [&] { static_cast<void>(kept->recv<int>()); });
  expect_throw<std::logic_error>("recv of a list after", "",
                                 [&] { static_cast<void>(kept->recv<std::vector<int>>()); });
  expect_throw<std::logic_error>("irecv after", "", [&] { static_cast<void>(kept->irecv_into(one)); });
  expect_throw<std::logic_error>("probe after", "", [&] { kept->probe(); });
  expect_throw<std::logic_error>("iprobe after", "", [&] { kept->iprobe(); });
  expect_throw<std::logic_error>("send_init after", "", [&] { static_cast<void>(kept->send_init(one, 0)); });
  expect_throw<std::logic_error>("barrier after", "", [&] { kept->barrier(); });
  expect_throw<std::logic_error>("ibarrier after", "", [&] { static_cast<void>(kept->ibarrier()); });
  expect_throw<std::logic_error>("bcast after", "", [&] { static_cast<void>(kept->bcast(1)); });
  expect_throw<std::logic_error>("allreduce after", "", [&] { static_cast<void>(kept->allreduce(1, mpi::sum)); });
  expect_throw<std::logic_error>("allgather after", "", [&] { static_cast<void>(kept->allgather(std::string("x"))); });
  expect_throw<std::logic_error>("scatter_into after", "", [&] { kept->scatter_into(list, list); });
  expect_throw<std::logic_error>("dup after", "", [&] { static_cast<void>(kept->dup()); });
  expect_throw<std::logic_error>("split after", "", [&] { static_cast<void>(kept->split(0)); });
}

// Another thread than the one that began MPI; and everything that this one may do all the same.
void levels(thread_level level) {
  const mpi::environment on({.threads = level});
  expect(mpi::environment::threads() >= level, "the level is at least what was asked for");
  const mpi::communicator all = mpi::world();
  const int next = (all.rank() + 1) % all.size();
  const int before = (all.rank() + all.size() - 1) % all.size();
  const auto exchange = [&](int tag) -> tutti::task<int> {
    const int mine = all.rank();
    mpi::request sent = all.isend(mine, next, tag);
    const int came = co_await all.irecv<int>(before, tag);
    co_await sent;
    co_return came;
  };
  expect(all.sendrecv(all.rank(), next, before) == before, "this thread sends and receives");
  expect(mpi::run(exchange(1)) == before, "mpi::run needs no threads");
  std::jthread([&] {
    if (level == thread_level::serialized) {
      expect(all.sendrecv(all.rank(), next, before, 2, 2) == before, "all threads, one at a time");
      return;
    }
    int one = 0;
    std::vector<int> list(1);
    expect_throw<std::exception>("send on another thread", "thread", [&] { all.send(1, next, 2); });
    expect_throw<std::exception>("isend on another thread", "thread", [&] { static_cast<void>(all.isend(one, next)); });
    expect_throw<std::exception>("recv on another thread", "thread", [&] { static_cast<void>(all.recv<int>(before)); });
    expect_throw<std::exception>("recv of a list on another thread", "thread",
                                 [&] { static_cast<void>(all.recv<std::vector<int>>(before)); });
    expect_throw<std::exception>("irecv on another thread", "thread", [&] { static_cast<void>(all.irecv_into(one)); });
    expect_throw<std::exception>("iprobe on another thread", "thread", [&] { all.iprobe(); });
    expect_throw<std::exception>("barrier on another thread", "thread", [&] { all.barrier(); });
    expect_throw<std::exception>("bcast on another thread", "thread", [&] { static_cast<void>(all.bcast(1)); });
    expect_throw<std::exception>("allreduce_into on another thread", "thread",
                                 [&] { all.allreduce_into(list, list, mpi::sum); });
    expect_throw<std::exception>("dup on another thread", "thread", [&] { static_cast<void>(all.dup()); });
    expect_throw<std::exception>("persistent on another thread", "thread",
                                 [&] { static_cast<void>(all.send_init(one, 0)); });
  }).join();
  all.barrier();
  if (mpi::environment::threads() < thread_level::multiple) {
    // Whoever makes progress for a pool would be another thread.
    int into = 0;
    mpi::request received = all.irecv_into(into, before, 3);
    const auto waits = [&]() -> tutti::task<> { co_await received; };
    tutti::thread_pool pool(1);
    expect_throw<std::exception>("co_await on a pool", "thread", [&] { pool.submit(waits()).get(); });
    all.barrier();  // what has come already need not be waited for
    all.send(4, next, 3);
    received.wait();
  }
  expect(!all.iprobe().has_value(), "nothing was sent that was refused");
}

// Rank 1, or the only one.
bool is_the_one(const mpi::communicator& all) { return all.rank() == all.size() - 1; }

void exception_in_main() {
  const mpi::environment on;
  const mpi::communicator all = mpi::world();
  if (is_the_one(all)) throw std::runtime_error("on purpose");
  all.barrier();  // in vain
}

void killed() {
  const mpi::environment on;
  const mpi::communicator all = mpi::world();
  for (int i = 0;; ++i) {
    if (i == 100 && is_the_one(all)) std::raise(SIGKILL);
    if (all.allreduce(1, mpi::sum) != all.size()) return;
  }
}

// std::exit with a pool that lives, on rank 0.
void exits_beside_pool() {
  auto pool = tutti::make_executor("ranks");
  static_cast<void>(pool->submit<mpi_end::squared>(3).get());
  std::exit(4);
}

// The same in a call: that rank is lost, and without a launcher that bears it so is the job.
void exits_in_call() {
  auto pool = tutti::make_executor("ranks");
  try {
    pool->submit<mpi_end::leave>(5).get();
  } catch (const tutti::worker_lost& lost) {
    std::fprintf(stderr, "lost: %s\n", lost.what());
    std::exit(6);
  }
}

void aborts() {
  const mpi::environment on;
  const mpi::communicator all = mpi::world();
  if (is_the_one(all)) mpi::abort(7);
  all.barrier();
}

// A message far larger than the memory for it: an error, and nothing else is touched.
void truncated() {
  const mpi::environment on;
  const mpi::communicator all = mpi::world();
  const int next = (all.rank() + 1) % all.size();
  const int before = (all.rank() + all.size() - 1) % all.size();
  std::vector<char> memory(300'000, 'm');
  const std::vector<char> out(200'000, 'x');
  mpi::request sent = all.isend(out, next, 1);
  expect_throw<mpi::error>("recv_into", "recv", [&] { all.recv_into(std::span(memory).first(10), before, 1); });
  sent.wait();
  for (std::size_t i = 10; i < memory.size(); ++i) {
    if (memory[i] != 'm') return expect(false, "memory behind it is not written", std::to_string(i));
  }
  expect(all.sendrecv(5, next, before) == 5, "what comes next is received");
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const std::string_view which = argc > 1 ? argv[1] : "";
  if (which == "uncaught") exception_in_main();
  try {
    if (which == "before_and_after") before_and_after();
    if (which == "single") levels(thread_level::single);
    if (which == "funneled") levels(thread_level::funneled);
    if (which == "serialized") levels(thread_level::serialized);
    if (which == "exception") exception_in_main();
    if (which == "killed") killed();
    if (which == "exits_beside_pool") exits_beside_pool();
    if (which == "exits_in_call") exits_in_call();
    if (which == "abort") aborts();
    if (which == "truncated") truncated();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "main: %s\n", e.what());
    return 2;
  }
  return all_well ? 0 : 3;
}
