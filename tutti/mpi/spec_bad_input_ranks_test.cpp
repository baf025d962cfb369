// What cannot be is refused with an error that names the call, the rank, the communicator and the value; and does no
// harm: what comes next works.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <tests/support/ranks.hpp>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::before_of;
using tutti_test::many;
using tutti_test::next_of;
using tutti_test::person;
using tutti_test::refusal_of;
using tutti_test::says;

// Every error of `f` names the call, this rank, the communicator, the wrong value and the place of the call.
template <class F>
void refused(const communicator& all, const char* call, const std::string& value, F f) {
  const std::string text = refusal_of(f);
  EXPECT_TRUE(
      says(text, call, all.name(), "rank " + std::to_string(all.rank()), value, "spec_bad_input_ranks_test.cpp:"))
      << call << " must name " << value << ": " << text;
}

class SpecBadInput : public testing::Test {
 protected:
  const communicator all = mpi::world().dup("bad input");
  const int n = all.size();
  const std::string beyond = std::to_string(n);
  // Whatever was refused, ranks and messages are as before.
  void TearDown() override {
    EXPECT_EQ(all.sendrecv(all.rank(), next_of(all), before_of(all)), before_of(all));
    EXPECT_EQ(all.allreduce(1, mpi::sum), n);
    EXPECT_EQ(all.allgather(std::string("x")).size(), many(n));
    EXPECT_FALSE(all.iprobe());
  }
};

TEST_F(SpecBadInput, RanksOutOfRangeInSends) {
  const std::vector<int> list{1};
  const person object;
  for (const int to :
       {n, n + 100, -3, mpi::any_source, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    const std::string value = std::to_string(to);
    refused(all, "send", value, [&] { all.send(1, to); });
    refused(all, "send", value, [&] { all.send(list, to); });
    refused(all, "send", value, [&] { all.send(object, to); });
    refused(all, "ssend", value, [&] { all.ssend(1, to); });
    refused(all, "isend", value, [&] { static_cast<void>(all.isend(list, to)); });
    refused(all, "issend", value, [&] { static_cast<void>(all.issend(object, to)); });
    refused(all, "send_init", value, [&] { static_cast<void>(all.send_init(list, to)); });
    refused(all, "sendrecv", value, [&] { static_cast<void>(all.sendrecv(1, to, mpi::no_rank)); });
  }
}

TEST_F(SpecBadInput, RanksOutOfRangeInReceives) {
  int one = 0;
  std::vector<int> into(3);
  for (const int from : {n, n + 100, -3, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    const std::string value = std::to_string(from);
    refused(all, "recv", value, [&] { static_cast<void>(all.recv<int>(from)); });
    refused(all, "recv", value, [&] { static_cast<void>(all.recv<std::vector<int>>(from)); });
    refused(all, "recv", value, [&] { static_cast<void>(all.recv<person>(from)); });
    refused(all, "recv", value, [&] { all.recv_into(into, from); });
    refused(all, "irecv", value, [&] { static_cast<void>(all.irecv_into(one, from)); });
    refused(all, "irecv", value, [&] { static_cast<void>(all.irecv<int>(from).wait()); });
    refused(all, "irecv", value, [&] { static_cast<void>(all.irecv<person>(from).wait()); });
    refused(all, "irecv", value, [&] { static_cast<void>(all.irecv<person>(from).test()); });
    refused(all, "recv_init", value, [&] { static_cast<void>(all.recv_init(into, from)); });
    refused(all, "probe", value, [&] { all.probe(from); });
    refused(all, "iprobe", value, [&] { all.iprobe(from); });
    refused(all, "sendrecv", value, [&] { static_cast<void>(all.sendrecv(1, mpi::no_rank, from)); });
    refused(all, "sendrecv", value, [&] { static_cast<void>(all.sendrecv(person(), mpi::no_rank, from)); });
  }
}

// The sender's half of a sendrecv whose receiver's half is wrong has not gone either.
TEST_F(SpecBadInput, ASendrecvThatIsRefusedSendsNothing) {
  int into = 0;
  refused(all, "sendrecv", beyond, [&] { static_cast<void>(all.sendrecv(1, next_of(all), n)); });
  refused(all, "sendrecv", beyond, [&] { static_cast<void>(all.sendrecv(std::string("x"), next_of(all), n)); });
  refused(all, "sendrecv", beyond, [&] { static_cast<void>(all.sendrecv(person(), next_of(all), n)); });
  refused(all, "sendrecv", beyond, [&] { all.sendrecv_into(1, next_of(all), into, n); });
  all.barrier();
  int lost = 0;
  while (all.iprobe()) {  // so that the next test finds nothing
    static_cast<void>(all.recv<std::string>());
    ++lost;
  }
  all.barrier();  // nobody is in the next test yet, whose messages these would be
  EXPECT_EQ(lost, 0);
}

TEST_F(SpecBadInput, NegativeTags) {
  int one = 0;
  for (const int tag : {-1, -2, -100, std::numeric_limits<int>::min()}) {
    const std::string value = std::to_string(tag);
    refused(all, "send", value, [&] { all.send(1, 0, tag); });
    refused(all, "send", value, [&] { all.send(person(), 0, tag); });
    refused(all, "ssend", value, [&] { all.ssend(1, 0, tag); });
    refused(all, "isend", value, [&] { static_cast<void>(all.isend(one, 0, tag)); });
    refused(all, "issend", value, [&] { static_cast<void>(all.issend(one, 0, tag)); });
    refused(all, "send_init", value, [&] { static_cast<void>(all.send_init(one, 0, tag)); });
    if (tag == mpi::any_tag) continue;
    refused(all, "recv", value, [&] { static_cast<void>(all.recv<int>(0, tag)); });
    refused(all, "recv", value, [&] { static_cast<void>(all.recv<std::string>(0, tag)); });
    refused(all, "recv", value, [&] { all.recv_into(one, 0, tag); });
    refused(all, "irecv", value, [&] { static_cast<void>(all.irecv_into(one, 0, tag)); });
    refused(all, "irecv", value, [&] { static_cast<void>(all.irecv<person>(0, tag).wait()); });
    refused(all, "recv_init", value, [&] { static_cast<void>(all.recv_init(one, 0, tag)); });
    refused(all, "probe", value, [&] { all.probe(0, tag); });
    refused(all, "iprobe", value, [&] { all.iprobe(0, tag); });
  }
}

// Also to no rank: what is wrong is wrong everywhere, not only in the middle of the grid.
TEST_F(SpecBadInput, NegativeTagsToNoRank) {
  refused(all, "send", "-5", [&] { all.send(1, mpi::no_rank, -5); });
  refused(all, "recv", "-5", [&] { static_cast<void>(all.recv<int>(mpi::no_rank, -5)); });
}

// (Messages that go at once. What Open MPI does with larger ones: mpi_end_test, truncated.)
TEST_F(SpecBadInput, ReceivesThatAreTooSmall) {
  if (mpi::world().size() < 2) GTEST_SKIP() << "Open MPI 4.1 says nothing of a message to oneself that is too long";
  std::vector<int> small(2);
  const std::vector<int> out(10, 7);
  const auto send = [&] { return all.isend(out, next_of(all), 3); };
  {
    auto sent = send();
    refused(all, "recv", "8", [&] { all.recv_into(small, before_of(all), 3); });
    sent.wait();
  }
  {
    auto sent = send();
    refused(all, "irecv", "longer than the memory", [&] { all.irecv_into(small, before_of(all), 3).wait(); });
    sent.wait();
  }
  {
    auto sent = send();
    refused(all, "recv", "", [&] { static_cast<void>(all.recv<int>(before_of(all), 3)); });
    sent.wait();
  }
  {
    auto sent = send();
    refused(all, "irecv", "", [&] { static_cast<void>(all.irecv<double>(before_of(all), 3).wait()); });
    sent.wait();
  }
  refused(all, "sendrecv", "", [&] { static_cast<void>(all.sendrecv<int>(out, next_of(all), before_of(all), 4, 4)); });
  refused(all, "sendrecv", "", [&] { all.sendrecv_into(out, next_of(all), small, before_of(all), 5, 5); });
}

TEST_F(SpecBadInput, MemoryBehindAReceiveThatIsTooSmallIsNotWritten) {
  std::vector<int> memory(12, -1);
  const std::vector<int> out(10, 7);
  auto sent = all.isend(out, next_of(all), 3);
  EXPECT_THROW(all.recv_into(std::span(memory).first(2), before_of(all), 3), mpi::error);
  sent.wait();
  for (std::size_t i = 2; i < memory.size(); ++i) EXPECT_EQ(memory[i], -1);
}

TEST_F(SpecBadInput, MessagesOfAnotherLengthThanTheValues) {
  const short two = 2;
  std::vector<mpi::request> sent;
  for (int i = 0; i < 5; ++i) sent.push_back(all.isend(two, next_of(all), i));
  refused(all, "recv", "2", [&] { static_cast<void>(all.recv<int>(before_of(all), 0)); });
  refused(all, "recv", "2", [&] { static_cast<void>(all.recv<std::array<int, 4>>(before_of(all), 1)); });
  refused(all, "recv", "2", [&] { static_cast<void>(all.recv<std::vector<int>>(before_of(all), 2)); });
  refused(all, "irecv", "2", [&] { static_cast<void>(all.irecv<int>(before_of(all), 3).wait()); });
  refused(all, "irecv", "2", [&] { static_cast<void>(all.irecv<std::vector<double>>(before_of(all), 4).wait()); });
  mpi::wait_all(sent);
}

TEST_F(SpecBadInput, BytesThatAreNoSuchObject) {
  std::vector<mpi::request> sent;
  for (int i = 0; i < 3; ++i) sent.push_back(all.isend("\xff\xff\xff\xff\xff\xff\xff\xff\x7f", next_of(all), i));
  const auto from = before_of(all);
  EXPECT_NE(refusal_of<tutti::decode_error>([&] { static_cast<void>(all.recv<person>(from, 0)); }).front(), '[');
  EXPECT_NE(refusal_of<tutti::decode_error>([&] { static_cast<void>(all.irecv<person>(from, 1).wait()); }).front(),
            '[');
  const auto decode = [&] { static_cast<void>(all.recv<std::vector<std::vector<std::string>>>(from, 2)); };
  EXPECT_NE(refusal_of<tutti::decode_error>(decode).front(), '[');
  mpi::wait_all(sent);
}

TEST_F(SpecBadInput, RootsOutOfRange) {
  std::vector<int> in(many(n), 1);
  std::vector<int> one(1);
  const std::vector<int> counts(many(n), 1);
  for (const int root : {n, -1, -2, n + 50, std::numeric_limits<int>::min()}) {
    const std::string value = std::to_string(root);
    const auto root_refused = [&](const char* call, auto f) { refused(all, call, value, f); };
    root_refused("bcast", [&] { static_cast<void>(all.bcast(1, root)); });
    root_refused("bcast", [&] { static_cast<void>(all.bcast(in, root)); });
    root_refused("bcast", [&] { static_cast<void>(all.bcast(person(), root)); });
    root_refused("bcast", [&] { all.bcast_into(in, root); });
    root_refused("bcast", [&] { static_cast<void>(all.ibcast(in, root)); });
    root_refused("scatter", [&] { static_cast<void>(all.scatter(in, root)); });
    root_refused("scatter", [&] { static_cast<void>(all.scatter_blocks(in, root)); });
    root_refused("scatter", [&] { all.scatter_into(in, one, root); });
    root_refused("scatter", [&] { all.scatter_into(in, counts, one, root); });
    root_refused("scatter", [&] { static_cast<void>(all.iscatter(in, one, root)); });
    root_refused("gather", [&] { static_cast<void>(all.gather(1, root)); });
    root_refused("gather", [&] { static_cast<void>(all.gather(person(), root)); });
    root_refused("gather", [&] { all.gather_into(one, in, root); });
    root_refused("gather", [&] { all.gather_into(one, in, counts, root); });
    root_refused("gather", [&] { static_cast<void>(all.igather(one, in, root)); });
    root_refused("reduce", [&] { static_cast<void>(all.reduce(1, mpi::sum, root)); });
    root_refused("reduce", [&] { static_cast<void>(all.reduce(std::string("x"), mpi::sum, root)); });
    root_refused("reduce", [&] { all.reduce_into(in, in, mpi::sum, root); });
    root_refused("reduce", [&] { static_cast<void>(all.ireduce(in, in, mpi::sum, root)); });
  }
}

TEST_F(SpecBadInput, ARangeThatHasNotAnElementForEachRank) {
  // Seen by the root alone, thrown on all ranks.
  for (const int root : {0, n - 1}) {
    for (const int size : {n + 1, n - 1, n + 100}) {
      const std::vector<int> wrong(many(all.rank() == root ? size : n), 1);
      EXPECT_THROW(static_cast<void>(all.scatter(wrong, root)), mpi::error) << size << " elements";
      const std::vector<std::string> texts(many(all.rank() == root ? size : n), "x");
      EXPECT_THROW(static_cast<void>(all.scatter(texts, root)), mpi::error) << size << " elements";
    }
  }
  refused(all, "alltoall", std::to_string(n + 1),
          [&] { static_cast<void>(all.alltoall(std::vector<int>(many(n + 1)))); });
  refused(all, "alltoall", "", [&] { static_cast<void>(all.alltoall(std::vector<std::string>(many(n - 1)))); });
}

// On all ranks alike, so that none is in the call while others have left it.
TEST_F(SpecBadInput, CountsThatCannotBe) {
  std::vector<int> three(3);
  std::vector<int> right(many(3 * n));
  std::vector<int> wrong(many(3 * n + 1));
  std::vector<int> two(2);
  refused(all, "allgather", "", [&] { all.allgather_into(three, wrong); });
  refused(all, "allgather", "", [&] { static_cast<void>(all.iallgather(three, wrong)); });
  refused(all, "allreduce", "", [&] { all.allreduce_into(three, two, mpi::sum); });
  refused(all, "allreduce", "", [&] { static_cast<void>(all.iallreduce(three, two, mpi::sum)); });
  refused(all, "scan", "", [&] { all.scan_into(three, two, mpi::sum); });
  refused(all, "scan", "", [&] { static_cast<void>(all.iscan(three, two, mpi::sum)); });
  refused(all, "exscan", "", [&] { all.exscan_into(three, two, mpi::sum); });
  refused(all, "exscan", "", [&] { static_cast<void>(all.iexscan(three, two, mpi::sum)); });
  refused(all, "reduce_scatter", "", [&] { all.reduce_scatter_into(wrong, three, mpi::sum); });
  refused(all, "reduce_scatter", "", [&] { static_cast<void>(all.ireduce_scatter(wrong, three, mpi::sum)); });
  refused(all, "alltoall", "", [&] { all.alltoall_into(right, wrong); });
  refused(all, "alltoall", "", [&] { static_cast<void>(all.ialltoall(right, wrong)); });
  if (n > 1) {
    refused(all, "alltoall", "", [&] { all.alltoall_into(wrong, wrong); });
  }
  const std::vector<int> counts(many(n), 3);
  const std::vector<int> short_counts(many(n - 1), 3);
  const std::vector<int> long_counts(many(n + 1), 3);
  std::vector<int> negative_counts(many(n), 3);
  negative_counts.back() = -3;
  std::vector<int> other_counts(many(n), 3);
  other_counts.front() = 4;
  for (const std::vector<int>* bad :
       std::initializer_list<const std::vector<int>*>{&short_counts, &long_counts, &negative_counts, &other_counts}) {
    refused(all, "allgather", "", [&] { all.allgather_into(three, right, *bad); });
    refused(all, "alltoall", "", [&] { all.alltoall_into(right, *bad, right, counts); });
    refused(all, "alltoall", "", [&] { all.alltoall_into(right, counts, right, *bad); });
  }
}

// What only the root can see: where every rank is the root.
TEST_F(SpecBadInput, CountsThatTheRootSees) {
  const auto alone = all.split(all.rank());
  ASSERT_TRUE(alone);
  std::vector<int> three(3);
  std::vector<int> four(4);
  const std::vector<int> count{3};
  const std::vector<int> other_count{4};
  const std::vector<int> two_counts{3, 0};
  const std::vector<int> negative_count{-3};
  refused(*alone, "scatter", "", [&] { alone->scatter_into(four, three); });
  refused(*alone, "scatter", "", [&] { static_cast<void>(alone->iscatter(four, three)); });
  refused(*alone, "gather", "", [&] { alone->gather_into(three, four); });
  refused(*alone, "gather", "", [&] { static_cast<void>(alone->igather(three, four)); });
  refused(*alone, "reduce", "", [&] { alone->reduce_into(three, four, mpi::sum); });
  refused(*alone, "reduce", "", [&] { static_cast<void>(alone->ireduce(three, four, mpi::sum)); });
  for (const auto* bad : {&other_count, &two_counts, &negative_count}) {
    refused(*alone, "scatter", "", [&] { alone->scatter_into(three, *bad, three); });
    refused(*alone, "gather", "", [&] { alone->gather_into(three, three, *bad); });
  }
  std::vector<int> out(3);
  alone->scatter_into(three, count, out);
}

TEST_F(SpecBadInput, AnErrorHasMpisClass) {
  try {
    all.send(1, n);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const mpi::error& e) {
    EXPECT_NE(e.code(), 0);
  }
  EXPECT_THROW(all.send(1, n), tutti::error);
  EXPECT_THROW(all.send(1, n), std::runtime_error);
}

TEST_F(SpecBadInput, ASecondEnvironment) {
  EXPECT_THROW(mpi::environment(), std::logic_error);
  EXPECT_TRUE(mpi::environment::is_on());
  EXPECT_THROW(mpi::environment({.threads = mpi::thread_level::single}), std::logic_error);
  EXPECT_EQ(mpi::environment::threads(), mpi::thread_level::multiple);
}

}  // namespace
