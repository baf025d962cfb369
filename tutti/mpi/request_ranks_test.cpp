#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <tutti/mpi/mpi.hpp>
#include <tutti/task/task.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <numeric>
#include <string>
#include <vector>

namespace {

using namespace tutti::mpi;
using namespace std::chrono_literals;

int next(const communicator& all) { return (all.rank() + 1) % all.size(); }
int before(const communicator& all) { return (all.rank() + all.size() - 1) % all.size(); }

tutti::task<int> pass_on(communicator all, int rounds) {
  int token = all.rank();
  for (int i = 0; i < rounds; ++i) {
    auto sent = all.isend(token, next(all), i);
    const int got = co_await all.irecv<int>(before(all), i);
    co_await sent;
    token = got;
  }
  co_return token;
}

TEST(Request, AwaitedOnALoopOfItsOwn) {
  const communicator all = world();
  EXPECT_EQ(tutti::mpi::run(pass_on(all, all.size())), all.rank());
  EXPECT_EQ(tutti::mpi::run(pass_on(all, 1)), before(all));
}

TEST(Request, AwaitedOnAPool) {
  const communicator all = world();
  tutti::thread_pool pool(2);
  std::vector<communicator> rings;
  std::vector<tutti::future<int>> tokens;
  for (int i = 0; i < 20; ++i) rings.push_back(all.dup());
  for (const communicator& ring : rings) tokens.push_back(pool.submit(pass_on(ring, 50)));
  for (auto& token : tokens) EXPECT_EQ(token.get(), (all.rank() + all.size() * 50 - 50) % all.size());
}

TEST(Request, ValuesOfAnyLengthAreAwaited) {
  const communicator all = world();
  const auto exchange = [](communicator c) -> tutti::task<std::string> {
    auto sent = c.isend(std::string(100000, static_cast<char>('a' + c.rank())), next(c));
    std::string got = co_await c.irecv<std::string>(before(c));
    co_await sent;
    co_return got;
  };
  EXPECT_EQ(tutti::mpi::run(exchange(all)), std::string(100000, static_cast<char>('a' + before(all))));
}

TEST(Request, AReceiveThatNobodyAnswersIsGivenUp) {
  const communicator all = world().dup();
  const auto patient = [](communicator c) -> tutti::task<int> { co_return co_await c.irecv<int>(any_source, 99); };
  EXPECT_THROW(tutti::mpi::run([&]() -> tutti::task<int> {
                 auto waiting = patient(all);
                 co_return co_await tutti::with_timeout(std::move(waiting), 5ms);
               }()),
               tutti::timed_out);
  all.barrier();  // nobody has sent it before all have given up
  auto sent = all.isend(7, next(all), 99);
  EXPECT_EQ(all.recv<int>(before(all), 99), 7);
  sent.wait();
}

TEST(Request, AsFutures) {
  const communicator all = world();
  std::vector<tutti::future<std::string>> got;
  std::vector<request> sent;
  for (int tag = 0; tag < 5; ++tag) got.push_back(to_future(all.irecv<std::string>(before(all), tag)));
  for (int tag = 4; tag >= 0; --tag) sent.push_back(all.isend(std::to_string(tag), next(all), tag));
  for (int tag = 0; tag < 5; ++tag) EXPECT_EQ(got[static_cast<std::size_t>(tag)].get(), std::to_string(tag));
  wait_all(sent);

  std::array<int, 3> mine{all.rank(), 1, 2};
  std::array<int, 3> summed{};
  to_future(all.iallreduce(mine, summed, sum)).get();
  EXPECT_EQ(summed[1], all.size());
}

TEST(Request, ManyAtOnce) {
  const communicator all = world();
  constexpr int count = 200;
  std::vector<int> in(count);
  std::vector<int> out(count);
  std::iota(out.begin(), out.end(), all.rank() * count);
  std::vector<request> requests;
  for (int i = 0; i < count; ++i) {
    requests.push_back(all.irecv_into(in[static_cast<std::size_t>(i)], before(all), i));
    requests.push_back(all.isend(out[static_cast<std::size_t>(i)], next(all), i));
  }
  wait_all(requests);
  for (int i = 0; i < count; ++i) EXPECT_EQ(in[static_cast<std::size_t>(i)], before(all) * count + i);
  EXPECT_TRUE(test_all(requests));
}

TEST(Request, AMessageThatIsTooLongIsRefusedByName) {
  const communicator all = world();
  auto sent = all.isend(std::vector<int>(10), all.rank(), 3);
  std::array<int, 4> small{};
  try {
    all.irecv_into(small, all.rank(), 3).wait();
    ADD_FAILURE() << "no exception";
  } catch (const error& e) {
    EXPECT_NE(std::string(e.what()).find("rank " + std::to_string(all.rank()) + " of world"), std::string::npos)
        << e.what();
  }
  sent.wait();
}

TEST(Request, PersistentOnesAreStartedAgain) {
  const communicator all = world();
  int out = 0;
  int in = -1;
  auto sending = all.send_init(out, next(all), 5);
  auto receiving = all.recv_init(in, before(all), 5);
  for (int i = 0; i < 10; ++i) {
    out = i * 100 + all.rank();
    receiving.start();
    sending.start();
    receiving.wait();
    sending.wait();
    EXPECT_EQ(in, i * 100 + before(all));
  }
  receiving.start();
  EXPECT_THROW(receiving.start(), std::logic_error);
}

}  // namespace
