// broker_place: an empty place for messages and results of each kind that there is, for tests that all kinds must pass.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <tests/support/redis_server.hpp>
#include <tutti/cluster/url.hpp>
#include <vector>

namespace tutti_test {

using namespace std::chrono_literals;
inline constexpr auto long_enough = std::chrono::seconds(30);

/// A folder for one test, removed with all that is in it.
class test_folder {
 public:
  test_folder() {
    path_ = testing::TempDir() + "tutti_XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "cannot make " << path_;
  }
  ~test_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  test_folder(const test_folder&) = delete;
  test_folder& operator=(const test_folder&) = delete;
  std::string file(const std::string& name = "tasks.db") const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline tutti::cluster::broker_url sqlite_url(const std::string& path) {
  tutti::cluster::broker_url url;
  url.scheme = "sqlite";
  url.path = path;
  return url;
}

/// What TEST_P's of brokers and stores are instantiated with: the scheme.
class each_place : public testing::TestWithParam<std::string> {
 protected:
  each_place() {
    url_.scheme = GetParam();
    if (GetParam() == "memory") {
      static std::atomic<int> made{0};
      url_.path = "place-" + std::to_string(++made);
    } else if (GetParam() == "redis") {
      static const redis_server server;  // each test begins with an empty one
      server.ask({"FLUSHALL"});
      url_ = tutti::cluster::broker_url::parse(server.url());
    } else {
      folder_ = std::make_unique<test_folder>();
      url_.path = folder_->file();
    }
  }
  const tutti::cluster::broker_url& url() const { return url_; }

 private:
  std::unique_ptr<test_folder> folder_;
  tutti::cluster::broker_url url_;
};

inline std::string name_of_place(const testing::TestParamInfo<std::string>& info) { return info.param; }

}  // namespace tutti_test
