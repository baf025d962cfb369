#include <tutti/mpi/file.hpp>

#include <tutti/mpi/mpi.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace tutti::mpi;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

// A folder that all ranks know, and that is gone after the test.
class folder {
 public:
  folder() : path(std::filesystem::path(all.bcast(name()))) {}
  ~folder() {
    all.barrier();
    std::error_code ignored;
    if (all.rank() == 0) std::filesystem::remove_all(path, ignored);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;

 private:
  std::string name() const {
    if (all.rank() != 0) return {};
    std::string text = (std::filesystem::temp_directory_path() / "tutti_mpi_file_XXXXXX").string();
    return ::mkdtemp(text.data()) == nullptr ? std::string() : text;
  }

 public:
  const communicator all = world();
  const std::filesystem::path path;
};

std::string content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(File, BlocksOfAllRanks) {
  const folder tmp;
  const communicator all = world();
  // Rank r has r + 1 numbers.
  std::vector<double> mine(static_cast<std::size_t>(all.rank() + 1), all.rank());
  write_blocks(all, tmp.path / "numbers", mine);

  const std::vector<double> share = read_blocks<double>(all, tmp.path / "numbers");

  std::vector<double> expected;
  for (int r = 0; r < all.size(); ++r) expected.insert(expected.end(), static_cast<std::size_t>(r + 1), r);
  const block part = block_of(expected.size(), all.rank(), all.size());
  EXPECT_EQ(share, std::vector<double>(expected.begin() + static_cast<std::ptrdiff_t>(part.first),
                                       expected.begin() + static_cast<std::ptrdiff_t>(part.first + part.count)));
}

TEST(File, ElementsAtTheirPlaces) {
  const folder tmp;
  const communicator all = world();
  const auto r = static_cast<std::uint64_t>(all.rank());
  {
    file out(all, tmp.path / "table", file_mode::create);
    out.write_at_all(3 * r, std::array<int, 3>{all.rank(), all.rank(), all.rank()});
    out.sync();
    all.barrier();
    out.sync();
    if (all.rank() == 0) out.write_at(1, -1);
    EXPECT_THAT(out.read_at<int>(3 * r + 2, 1), ElementsAre(all.rank()));
    out.close();
  }
  file in(all, tmp.path / "table");
  EXPECT_EQ(in.path(), tmp.path / "table");
  EXPECT_EQ(in.size(), 12U * static_cast<unsigned>(all.size()));
  EXPECT_THAT(in.read_at<int>(0, 3), ElementsAre(0, -1, 0));
  int last = -5;
  EXPECT_EQ(in.read_at_into(3 * r + 2, last), 1U);
  EXPECT_EQ(last, all.rank());
  std::vector<int> own(3);
  EXPECT_EQ(in.read_at_all_into(3 * r, own), 3U);
  EXPECT_EQ(own[2], all.rank());
  // Beyond the end there is less, or nothing.
  EXPECT_EQ(in.read_at<int>(3 * static_cast<std::uint64_t>(all.size()) - 1, 10).size(), 1U);
  EXPECT_TRUE(in.read_at_all<int>(1000, 10).empty());
}

TEST(File, SizeAndAppend) {
  const folder tmp;
  const communicator all = world();
  {
    file out(all, tmp.path / "log", file_mode::append);
    out.append_blocks(std::string(static_cast<std::size_t>(all.rank()), 'x'));
    out.append_blocks(std::string(1, static_cast<char>('a' + all.rank())));
    EXPECT_THROW(out.write_at(0, 'y'), error);
  }
  {
    file out(all, tmp.path / "log", file_mode::append);
    out.append_blocks(std::string(all.rank() == 0 ? "!" : ""));
  }
  const auto n = static_cast<std::size_t>(all.size());
  EXPECT_EQ(content_of(tmp.path / "log"), std::string(n * (n - 1) / 2, 'x') + std::string("abcdef").substr(0, n) + "!");
  file both(all, tmp.path / "log", file_mode::update);
  all.barrier();
  both.set_size(2);
  EXPECT_EQ(both.size(), 2U);
  all.barrier();
  both.set_size(10);
  all.barrier();
  EXPECT_THAT(both.read_at<char>(2, 100), testing::AllOf(testing::SizeIs(8), Each('\0')));
}

TEST(File, AppendsWhereItEnds) {
  const folder tmp;
  const communicator all = world();
  const auto n = static_cast<std::size_t>(all.size());
  file out(all, tmp.path / "log", file_mode::append);
  out.append_blocks(std::string("abc"));
  out.set_size(2);
  out.append_blocks('x');
  all.barrier();
  EXPECT_EQ(out.size(), 2 + n);
  out.close();
  EXPECT_EQ(content_of(tmp.path / "log"), "ab" + std::string(n, 'x'));

  // What one rank alone has written counts as well, whichever it was.
  file both(all, tmp.path / "log", file_mode::update);
  if (all.rank() == all.size() - 1) both.write_at(2 + n, std::string("last"));
  both.append_blocks('y');
  both.close();
  EXPECT_EQ(content_of(tmp.path / "log"), "ab" + std::string(n, 'x') + "last" + std::string(n, 'y'));
}

TEST(File, WriteEmptiesIt) {
  const folder tmp;
  const communicator all = world();
  write_blocks(all, tmp.path / "f", std::string(100, 'x'));
  write_blocks(all, tmp.path / "f", std::string("ab"));
  EXPECT_EQ(content_of(tmp.path / "f").size(), 2U * static_cast<unsigned>(all.size()));
  write_blocks(all, tmp.path / "f", std::string());
  EXPECT_TRUE(content_of(tmp.path / "f").empty());
  EXPECT_TRUE(read_blocks<int>(all, tmp.path / "f").empty());
}

TEST(File, Requests) {
  const folder tmp;
  const communicator all = world();
  const auto first = 100 * static_cast<std::uint64_t>(all.rank());
  std::vector<std::int64_t> mine(100);
  std::iota(mine.begin(), mine.end(), static_cast<std::int64_t>(first));
  file both(all, tmp.path / "f", file_mode::create);
  request written = both.iwrite_at(first, mine);
  written.wait();
  std::vector<std::int64_t> back(100);
  request read = both.iread_at(first, back);
  read.wait();
  EXPECT_EQ(back, mine);
}

template <class Call>
std::string refusal_of(Call call) {
  try {
    call();
  } catch (const error& e) {
    return e.what();
  }
  return "nothing was refused";
}

TEST(File, ErrorsNameThePath) {
  const folder tmp;
  const communicator all = world();
  const std::string missing = refusal_of([&] { const file in(all, tmp.path / "missing"); });
  EXPECT_THAT(missing, HasSubstr("mpi::file on rank " + std::to_string(all.rank()) + " of world: \""));
  EXPECT_THAT(missing, HasSubstr("missing\": "));
  EXPECT_THAT(missing, HasSubstr("file_ranks_test.cpp"));
  try {
    const file in(all, tmp.path / "missing");
    ADD_FAILURE();
  } catch (const error& e) {
    EXPECT_THAT(e.what(), testing::ContainsRegex("[Nn]o such file|does not exist"));
  }
  write_blocks(all, tmp.path / "there", std::string("abc"));
  EXPECT_THAT(refusal_of([&] { const file out(all, tmp.path / "there", file_mode::create); }),
              testing::ContainsRegex("there\": .*[Ee]xists"));
  EXPECT_THAT(refusal_of([&] { const file out(all, tmp.path / "no folder" / "f", file_mode::write); }),
              HasSubstr("no folder"));
  EXPECT_THAT(refusal_of([&] { static_cast<void>(read_blocks<std::array<char, 64>>(all, tmp.path / "there")); }),
              HasSubstr("no whole number of elements of 64"));
}

TEST(File, RefusesWhatItWasNotOpenedFor) {
  const folder tmp;
  const communicator all = world();
  file out(all, tmp.path / "f", file_mode::write);
  EXPECT_THAT(refusal_of([&] { static_cast<void>(out.read_at<int>(0, 1)); }), HasSubstr("opened to be written only"));
  EXPECT_THAT(refusal_of([&] { out.write_at(~std::uint64_t{0}, 1); }), HasSubstr("beyond what files can be"));
  out.close();
  EXPECT_THROW(out.close(), std::logic_error);
  EXPECT_EQ(out.path(), tmp.path / "f");
  EXPECT_THROW(static_cast<void>(out.size()), std::logic_error);
  EXPECT_THROW(out.write_at(0, 1), std::logic_error);
  EXPECT_THROW(out.append_blocks(1), std::logic_error);
  EXPECT_THROW(out.sync(), std::logic_error);
  file in(all, tmp.path / "f");
  EXPECT_THAT(refusal_of([&] { in.write_at(0, 1); }), HasSubstr("opened to be read"));
  EXPECT_THAT(refusal_of([&] { in.append_blocks(1); }), HasSubstr("opened to be read"));
  EXPECT_THAT(refusal_of([&] { in.set_size(1); }), HasSubstr("opened to be read"));
}

}  // namespace
