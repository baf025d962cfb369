// meeting_place: a directory with a path for a named channel, for one test.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <tests/support/child_process.hpp>
#include <thread>
#include <tutti/process/named_channel.hpp>
#include <utility>

namespace tutti_test {

class meeting_place : public clean_test {
 protected:
  void SetUp() override {
    clean_test::SetUp();
    std::string name = testing::TempDir() + "named_channel_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = directory_ / "jobs";
  }
  void TearDown() override {
    std::filesystem::remove_all(directory_);
    clean_test::TearDown();
  }
  /// Both ends in this process.
  template <class T>
  std::pair<tutti::named_reader<T>, tutti::named_writer<T>> both() const {
    std::optional<tutti::named_writer<T>> out;
    std::jthread other([&] { out = tutti::named_channel<T>::writer(path_); });
    auto in = tutti::named_channel<T>::reader(path_);
    other.join();
    return {std::move(in), std::move(*out)};
  }
  /// Writes to the FIFO as a stranger would.
  void write_raw(const std::string& bytes) const {
    const tutti::unique_fd to(::open(path_.c_str(), O_WRONLY | O_NONBLOCK));
    ASSERT_EQ(::write(to.get(), bytes.data(), bytes.size()), static_cast<::ssize_t>(bytes.size()));
  }

  std::filesystem::path directory_, path_;
};

}  // namespace tutti_test
