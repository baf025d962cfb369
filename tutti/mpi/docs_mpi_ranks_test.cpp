// The blocks of docs/mpi.md.
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <tutti/mpi/mpi.hpp>
#include <tutti/task/task.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <numeric>
#include <string>
#include <vector>

namespace calc {
double cube(double x) { return x * x * x; }
}  // namespace calc

namespace mpi = tutti::mpi;
using namespace std::chrono_literals;
using tutti::task;

namespace {

double f(double x) { return 4 / (1 + x * x); }

double pi(const mpi::communicator& all, int steps) {
  double part = 0;
  for (int i = all.rank(); i < steps; i += all.size()) part += f((i + 0.5) / steps);
  return all.allreduce(part, mpi::sum) / steps;
}

TEST(DocsMpi, FirstExample) { EXPECT_NEAR(pi(mpi::world(), 1000), 3.14159265, 1e-6); }

struct particle {
  double x, y;
  int charge;
};

void messages(const mpi::communicator& all) {
  if (all.rank() == 0) {
    all.send(42, 1);                                                   // a number
    all.send(std::vector<particle>(1000), 1);                          // elements side by side go as they are
    all.send(std::map<std::string, std::vector<int>>{{"a", {1}}}, 1);  // anything else is encoded
    all.send("hello", 1, 7);                                           // with a tag
  } else if (all.rank() == 1) {
    int n = all.recv<int>(0);
    auto particles = all.recv<std::vector<particle>>(0);  // allocates what it needs
    auto table = all.recv<std::map<std::string, std::vector<int>>>(0);
    mpi::status about;
    auto text = all.recv<std::string>(mpi::any_source, mpi::any_tag, &about);
    EXPECT_EQ(n + static_cast<int>(particles.size()) + about.tag, 1049);
    EXPECT_EQ(text + table.begin()->first, "helloa");
  }
}

TEST(DocsMpi, Messages) {
  if (mpi::world().size() > 1) messages(mpi::world());
}

void exchange(const mpi::communicator& all, std::vector<double>& edge, std::vector<double>& halo) {
  const int right = (all.rank() + 1) % all.size();
  const int left = (all.rank() + all.size() - 1) % all.size();

  auto name = all.sendrecv(std::to_string(all.rank()), right, left);  // both at once: no order can deadlock
  all.sendrecv_into(edge, right, halo, left);                         // the same, into memory that is there

  mpi::request both[] = {all.irecv_into(halo, left), all.isend(edge, right)};
  // ... compute what needs no halo ...
  mpi::wait_all(both);
  EXPECT_EQ(name, std::to_string(left));
}

TEST(DocsMpi, Exchange) {
  std::vector<double> edge(100, 1);
  std::vector<double> halo(100);
  exchange(mpi::world(), edge, halo);
  EXPECT_EQ(halo, edge);
}

task<double> sum_of_neighbours(mpi::communicator all, double mine) {
  const int right = (all.rank() + 1) % all.size();
  const int left = (all.rank() + all.size() - 1) % all.size();
  auto to_right = all.isend(mine, right, 1);
  auto to_left = all.isend(mine, left, 2);
  const double from_left = co_await all.irecv<double>(left, 1);
  const double from_right = co_await all.irecv<double>(right, 2);
  co_await to_right;
  co_await to_left;
  co_return from_left + from_right;
}

TEST(DocsMpi, Coroutines) {
  const auto all = mpi::world().dup();
  const double on_this_thread = mpi::run(sum_of_neighbours(all, 1));
  EXPECT_EQ(on_this_thread, 2);
  tutti::thread_pool pool(2);
  auto elsewhere = pool.submit(sum_of_neighbours(all, 2));
  EXPECT_EQ(elsewhere.get(), 4);

  auto answer = mpi::to_future(all.irecv<std::string>(mpi::any_source, 5));
  all.send("done", (all.rank() + 1) % all.size(), 5);
  EXPECT_EQ(answer.get(), "done");
}

TEST(DocsMpi, Patience) {
  const auto all = mpi::world().dup();
  const auto wait_a_little = [](mpi::communicator from) -> task<bool> {
    auto message = [](mpi::communicator c) -> task<int> { co_return co_await c.irecv<int>(mpi::any_source, 9); }(from);
    try {
      co_await tutti::with_timeout(std::move(message), 10ms);
      co_return true;
    } catch (const tutti::timed_out&) {  // the receive was given up: who comes later finds somebody else
      co_return false;
    }
  };
  EXPECT_FALSE(mpi::run(wait_a_little(all)));
}

TEST(DocsMpi, Collectives) {
  const auto all = mpi::world();
  std::vector<std::string> names{"one", "two"};
  names = all.bcast(all.rank() == 0 ? names : std::vector<std::string>());

  std::vector<double> whole(all.rank() == 0 ? 1000 : 0, 1.0);
  std::vector<double> mine = all.scatter_blocks(whole);  // as even as it gets
  for (double& x : mine) x *= 2;
  whole = all.gather_blocks(mine);  // on rank 0 again
  EXPECT_EQ(whole.size(), all.rank() == 0 ? 1000U : 0U);

  std::vector<std::vector<int>> parts(static_cast<std::size_t>(all.size()));
  for (std::size_t r = 0; r < parts.size(); ++r) parts[r].assign(r + 1, all.rank());
  auto got = all.alltoall(parts);  // of any sizes
  EXPECT_EQ(got.back().size(), static_cast<std::size_t>(all.rank()) + 1);

  const double norm = all.allreduce(2.0, mpi::sum);
  const auto hottest = all.allreduce(mpi::located<double>{norm * all.rank(), all.rank()}, mpi::maxloc);
  const int gcd = all.allreduce(12, [](int a, int b) { return std::gcd(a, b); });
  const auto sentence = all.reduce(std::to_string(all.rank()), mpi::sum);  // strings: one behind the other
  EXPECT_EQ(hottest.where + gcd, all.size() - 1 + 12);
  EXPECT_EQ(sentence.has_value(), all.rank() == 0);
}

TEST(DocsMpi, InPlace) {
  const auto all = mpi::world();
  std::vector<double> in(100, 1.0);
  std::vector<double> out(100);
  all.allreduce_into(in, out, mpi::sum);                   // MPI_Allreduce, at its cost
  mpi::request later = all.iallreduce(in, out, mpi::max);  // MPI_Iallreduce
  later.wait();
  EXPECT_EQ(out[0], 1);
}

double sum_of_cubes(const std::vector<double>& xs) {
  double total = 0;
  {
    mpi::rank_pool pool;  // over world(), or rank_pool pool(some)
    if (pool.is_caller()) {
      for (double y : pool.map<calc::cube>(xs)) total += y;
    }
  }  // rank 0 finishes what it was given; the others come out of the constructor then
  return mpi::world().bcast(total);
}

TEST(DocsMpi, RankPool) { EXPECT_EQ(sum_of_cubes({1, 2, 3}), 36); }

TEST(DocsMpi, Groups) {
  const auto all = mpi::world();
  auto row = all.split(all.rank() / 2);  // one communicator for each two ranks
  auto machine = all.split_shared();     // the ranks of this machine
  auto library = all.dup("library");     // messages of its own
  EXPECT_LE(row->size(), 2);
  EXPECT_EQ(machine.size(), library.size());
}

}  // namespace
