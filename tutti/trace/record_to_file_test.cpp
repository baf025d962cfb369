// Recordings that last to the end of a program. The programs are children of this one.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <tutti/core/thread_pool.hpp>
#include <tutti/trace/record_to_file.hpp>
#include <tutti/trace/trace.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace {

namespace fs = std::filesystem;
using testing::ExitedWithCode;

class RecordToFile : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    std::string name = (fs::temp_directory_path() / "tutti_record_XXXXXX").string();
    // The child runs the test again from the beginning: it must find the folder of its parent.
    if (const char* const given = std::getenv("TUTTI_RECORD_TEST_FOLDER")) {
      folder_ = given;
      return;
    }
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    ::setenv("TUTTI_RECORD_TEST_FOLDER", name.c_str(), 1);
    owner_ = true;
  }
  void TearDown() override {
    if (!owner_) return;
    ::unsetenv("TUTTI_RECORD_TEST_FOLDER");
    fs::remove_all(folder_);
  }
  std::string path(const char* name) const { return (folder_ / name).string(); }

  fs::path folder_;
  bool owner_ = false;
};

TEST_F(RecordToFile, WritesAtExit) {
  EXPECT_EXIT(
      {
        tutti::detail::record_to_file(path("t.json"));
        tutti::default_pool().with({.name = "in the child"}).submit([] {}).get();
        std::exit(7);
      },
      ExitedWithCode(7), "");
  const tutti::timeline seen = tutti::read_timeline_file(path("t.json"));
  int found = 0;
  for (const auto& slice : seen.slices) found += seen[slice.name] == "in the child" ? 1 : 0;
  EXPECT_EQ(found, 1);
  EXPECT_EQ(seen.all_dropped(), 0U);
}

TEST_F(RecordToFile, AForkedChildWritesNothing) {
  EXPECT_EXIT(
      {
        tutti::detail::record_to_file(path("t.json"));
        if (::fork() == 0) std::exit(0);
        int status = 0;
        ::wait(&status);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) std::exit(1);
        std::exit(fs::file_size(path("t.json")) == 0 ? 0 : 2);
      },
      ExitedWithCode(0), "");
  EXPECT_NO_THROW(static_cast<void>(tutti::read_timeline_file(path("t.json"))));
}

TEST_F(RecordToFile, AnotherRecordingInTheWayIsAnError) {
  EXPECT_EXIT(
      {
        tutti::trace_recorder recorder;
        recorder.start();
        tutti::detail::record_to_file(path("t.json"));
      },
      ExitedWithCode(2), "a recording goes on already");
}

TEST_F(RecordToFile, WhoRecordsTooIsToldWhatIsInTheWay) {
  EXPECT_EXIT(
      {
        tutti::detail::record_to_file(path("t.json"));
        tutti::trace_recorder recorder;
        try {
          recorder.start();
        } catch (const std::logic_error& why) {
          std::fputs(why.what(), stderr);
          std::exit(3);
        }
        std::exit(0);
      },
      ExitedWithCode(3), "--tutti-trace or TUTTI_TRACE records this program already");
}

TEST_F(RecordToFile, TheLaterFileIsTaken) {
  EXPECT_EXIT(
      {
        tutti::detail::record_to_file(path("first.json"));
        tutti::detail::record_to_file(path("second%p.json"));
        std::exit(0);
      },
      ExitedWithCode(0), "");
  EXPECT_FALSE(fs::exists(path("first.json")));
  int found = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("second")) continue;
    ++found;
    EXPECT_EQ(name.find('%'), name.npos);
    EXPECT_NO_THROW(static_cast<void>(tutti::read_timeline_file(entry.path())));
  }
  EXPECT_EQ(found, 1);
}

TEST_F(RecordToFile, TheEarlierFileStaysIfItWasThereBeforeOrIsTheLater) {
  std::ofstream(path("old.json")) << "of another run";
  EXPECT_EXIT(
      {
        tutti::detail::record_to_file(path("old.json"));
        tutti::detail::record_to_file(path("t.json"));
        tutti::detail::record_to_file(path("t.json"));
        std::exit(0);
      },
      ExitedWithCode(0), "");
  std::ifstream old(path("old.json"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(old), {}), "of another run");
  EXPECT_NO_THROW(static_cast<void>(tutti::read_timeline_file(path("t.json"))));
}

TEST_F(RecordToFile, TheEnvironmentIsNotHandedOn) {
  EXPECT_EXIT(
      {
        ::setenv("TUTTI_TRACE", path("t.json").c_str(), 1);
        tutti::detail::record_as_environment_says();
        std::exit(std::getenv("TUTTI_TRACE") == nullptr && tutti::tracing() ? 0 : 1);
      },
      ExitedWithCode(0), "");
  EXPECT_NO_THROW(static_cast<void>(tutti::read_timeline_file(path("t.json"))));
}

}  // namespace
