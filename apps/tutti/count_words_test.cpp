// Counting on executors: in this process, and on one that takes calls as bytes only, as other processes do.
#include <apps/tutti/count_words.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/registry.hpp>
#include <tutti/core/executor.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/thread_pool.hpp>

#include <gtest/gtest.h>

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <random>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

// Runs each call at once, but from its encoded arguments to its encoded result.
class bytes_executor final : public executor {
 public:
  int concurrency() const override { return 2; }
  void shutdown(shutdown_mode) override {}
  std::unique_ptr<executor> share() override { return std::make_unique<bytes_executor>(); }

 private:
  void start(call work) override {
    portable_call* const portable = work->portable();
    ASSERT_NE(portable, nullptr);
    std::string arguments;
    portable->encode_arguments(arguments);
    if (!portable->begin(nullptr)) return;
    static_cast<void>(work.release());
    try {
      std::string result;
      portable->function().invoke(arguments, result);
      portable->complete(result);
    } catch (...) {
      portable->fail(std::current_exception());
    }
  }
};

class CountWords : public testing::Test {
 protected:
  CountWords() {
    std::string name = (fs::temp_directory_path() / "tutti-count-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    std::mt19937 random(5);
    const auto text = [&](std::size_t size) {
      std::string s;
      while (s.size() < size) {
        s += random() % 3 == 0 ? "\xC3\xA9" : std::string(1 + random() % 20, static_cast<char>('a' + random() % 4));
        if (random() % 2 == 0) s += ' ';
      }
      return s;
    };
    std::ofstream(root_ / "big") << text(5'000'000);
    for (int i = 0; i < 200; ++i) std::ofstream(root_ / std::to_string(i)) << text(random() % 300);
    std::ofstream(root_ / "binary") << '\0' << text(100);
    list_files(root_, all_);
  }
  ~CountWords() override { fs::remove_all(root_); }

  void expect_same_on(executor& where) {
    std::atomic<std::uint64_t> progress = 0;
    const text_counter serial = count_serially(all_);
    const text_counter counted = count_on(where, all_, &progress);
    EXPECT_TRUE(counted.words() == serial.words());
    EXPECT_EQ(counted.files, serial.files);
    EXPECT_EQ(progress.load(), serial.files.bytes);
  }

  fs::path root_;
  text_files all_;
};

TEST_F(CountWords, SameInline) {
  inline_executor here;
  expect_same_on(here);
}

TEST_F(CountWords, SameOnThreads) {
  for (const int threads : {1, 3}) {
    thread_pool pool(threads);
    expect_same_on(pool);
  }
}

TEST_F(CountWords, SameThroughBytes) {
  bytes_executor elsewhere;
  expect_same_on(elsewhere);
}

TEST_F(CountWords, FailuresReachTheCaller) {
  thread_pool pool(1);
  pool.shutdown();
  EXPECT_THROW(count_on(pool, all_), closed);
}

}  // namespace
}  // namespace tutti::app
