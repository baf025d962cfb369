#include <tutti/mpi/ordered.hpp>

#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <sstream>
#include <stdexcept>
#include <string>

namespace {

using namespace tutti::mpi;

TEST(Ordered, InTheOrderOfRanks) {
  const communicator all = world();
  std::ostringstream out;
  print_in_order(all, "I am rank " + std::to_string(all.rank()), out);
  std::string expected;
  for (int r = 0; r < all.size(); ++r) expected += "I am rank " + std::to_string(r) + "\n";
  EXPECT_EQ(out.str(), all.rank() == 0 ? expected : "");
}

TEST(Ordered, WholeLines) {
  const communicator all = world();
  std::ostringstream out;
  const std::string text = all.rank() == 0 ? "" : "a\n\nb" + std::string(all.rank() == 1 ? "" : "\n");
  print_in_order(all, text, out);
  std::string expected;
  for (int r = 1; r < all.size(); ++r) expected += "a\n\nb\n";
  EXPECT_EQ(out.str(), all.rank() == 0 ? expected : "");
}

TEST(Ordered, AsAStream) {
  const communicator all = world();
  std::ostringstream out;
  {
    ordered lines(all, out);
    lines << "rank " << all.rank();
    lines.print();
    lines << all.rank() << " squared is " << all.rank() * all.rank();
  }
  ordered(all, out) << "end of " << all.rank();
  std::string expected;
  const auto add = [&](auto text_of) {
    for (int r = 0; r < all.size(); ++r) expected += text_of(r) + "\n";
  };
  add([](int r) { return "rank " + std::to_string(r); });
  add([](int r) { return std::to_string(r) + " squared is " + std::to_string(r * r); });
  add([](int r) { return "end of " + std::to_string(r); });
  EXPECT_EQ(out.str(), all.rank() == 0 ? expected : "");
}

TEST(Ordered, AnExceptionPrintsNothing) {
  const communicator all = world();
  std::ostringstream out;
  try {
    ordered lines(all, out);
    lines << "lost";
    throw std::runtime_error("on its way");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(out.str(), "");
}

}  // namespace
