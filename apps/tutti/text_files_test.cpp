// Real files: binary, closed, huge, tiny, vanishing; and division into units that changes no count.
#include <apps/tutti/text_files.hpp>

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

std::string blanks_and_end(std::size_t blanks) {
  std::string text(blanks, ' ');
  text += "end";
  return text;
}

class TextFiles : public testing::Test {
 protected:
  TextFiles() {
    std::string name = (fs::temp_directory_path() / "tutti-text-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~TextFiles() override { fs::remove_all(root_); }

  void write(const std::string& name, std::string_view text) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
  }

  text_files list() const {
    text_files all;
    list_files(root_, all);
    return all;
  }

  static text_counter count(const std::vector<text_unit>& units) {
    text_counter counter;
    for (const text_unit& unit : units) counter.count(unit);
    return counter;
  }

  fs::path root_;
};

TEST_F(TextFiles, ListsFilesOnce) {
  write("a.txt", "one two");
  write("deep/er/b.txt", "three");
  write("empty", "");
  fs::create_directory_symlink(root_ / "deep", root_ / "link");
  fs::create_symlink(root_ / "a.txt", root_ / "a2.txt");
  ASSERT_EQ(::mkfifo((root_ / "pipe").c_str(), 0600), 0);
  const text_files all = list();
  EXPECT_EQ(all.files.size(), 3U);
  EXPECT_EQ(all.bytes, 12U);
  text_files one;
  list_files(root_ / "a2.txt", one);  // the root itself may be a link
  EXPECT_EQ(one.files.size(), 1U);
  EXPECT_THROW(list_files(root_ / "absent", one), fs::filesystem_error);
  EXPECT_THROW(list_files(root_ / "pipe", one), fs::filesystem_error);
}

TEST_F(TextFiles, SkipsWhatIsNoText) {
  write("text", "one two two");
  write("binary", std::string("one\0two", 7));
  write("late_nul", std::string(9000, 'x') + std::string("\0 tail", 6));
  text_counter counter = count(divide(list(), 1 << 20));
  counter.count(text_piece{(root_ / "absent").string()});
  counter.count(text_piece{root_.string()});  // reading a directory fails
  EXPECT_EQ(counter.files, (reading{.bytes = 11 + 9006, .files = 2, .binary = 1, .unreadable = 2}));
  EXPECT_EQ(counter.words().count("two"), 2U);
  EXPECT_EQ(counter.words().count("one"), 1U);
  EXPECT_EQ(counter.words().count("tail"), 1U);
}

TEST_F(TextFiles, ClosedDirectoryIsCounted) {
  write("open/a", "x");
  write("closed/b", "y");
  fs::permissions(root_ / "closed", fs::perms::none);
  const text_files all = list();
  fs::permissions(root_ / "closed", fs::perms::owner_all);
  if (::geteuid() == 0) {
    EXPECT_EQ(all.files.size(), 2U);  // root may look everywhere
  } else {
    EXPECT_EQ(all.files.size(), 1U);
    EXPECT_EQ(all.closed_directories, 1U);
  }
}

TEST_F(TextFiles, AnyDivisionCountsTheSame) {
  std::mt19937 random(3);
  std::string big;
  while (big.size() < 700'000) {
    big.append(random() % 12, static_cast<char>('a' + random() % 26));
    big += random() % 4 == 0 ? "\xC3\xA9" : " ";
  }
  write("big", big);
  write("solid", std::string(200'000, 'z'));
  write("binary", std::string(1, '\0') + big);
  for (int i = 0; i < 300; ++i) write("small/" + std::to_string(i), "word" + std::to_string(i % 7) + " small");
  const text_files all = list();
  text_unit serial;
  for (const text_file& file : all.files) serial.push_back({file.path});
  const text_counter expected = count({serial});
  EXPECT_EQ(expected.files.files, 302U);
  EXPECT_EQ(expected.files.binary, 1U);
  for (const std::uint64_t unit_bytes : {1'000U, 4'099U, 65'536U, 10'000'000U}) {
    const std::vector<text_unit> units = divide(all, unit_bytes);
    const text_counter counter = count(units);
    EXPECT_EQ(counter.files, expected.files) << unit_bytes;
    EXPECT_TRUE(counter.words() == expected.words()) << unit_bytes;
    text_counter far;
    for (const text_unit& unit : units) {
      const unit_counts counts = count_unit(unit);
      far.words().merge_bytes(counts.words);
      far.files += counts.files;
    }
    EXPECT_EQ(far.files, expected.files) << unit_bytes;
    EXPECT_TRUE(far.words() == expected.words()) << unit_bytes;
  }
}

TEST_F(TextFiles, DividesBigFilesAndBatchesSmallOnes) {
  text_files all;
  all.files.push_back({"huge", 10 << 20});
  for (int i = 0; i < 1000; ++i) all.files.push_back({"small", 10});
  const std::vector<text_unit> units = divide(all, 1 << 20);
  EXPECT_EQ(units.size(), 10U + 16U);  // 1000 times 16 KiB of opening
  EXPECT_TRUE(divide({}, 1).empty());
}

TEST_F(TextFiles, ShrinkingAndGrowingFilesAreFine) {
  write("file", blanks_and_end(100'000));
  const std::vector<text_unit> units = divide(list(), 10'000);
  fs::resize_file(root_ / "file", 15'000);
  EXPECT_EQ(count(units).files, (reading{.bytes = 15'000, .files = 1}));
  write("file", blanks_and_end(200'000));
  const text_counter grown = count(units);
  EXPECT_EQ(grown.files.bytes, 200'003U);
  EXPECT_EQ(grown.words().count("end"), 1U);
  fs::remove(root_ / "file");
  EXPECT_EQ(count(units).files, (reading{.unreadable = 1}));
}

TEST_F(TextFiles, ReportsProgress) {
  write("file", "one two");
  std::atomic<std::uint64_t> bytes = 0;
  text_counter counter;
  counter.count(text_piece{(root_ / "file").string()}, &bytes);
  EXPECT_EQ(bytes.load(), 7U);
}

}  // namespace
}  // namespace tutti::app
