// demo_fleet: brokers on this machine with a worker each, for as long as the demo takes.
#pragma once
#include <tutti/process/process.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace tutti::app {

/// A file as the broker, and a Redis server of its own where one is installed, each with one worker process that has a
/// thread for each processor. All of it lies in a temporary directory and ends with this object.
class demo_fleet {
 public:
  /// An executor that it has made possible.
  struct place {
    std::string label;  ///< for people: "redis"
    std::string spec;   ///< for make_executor
  };

  demo_fleet() = default;
  ~demo_fleet();
  demo_fleet(const demo_fleet&) = delete;
  demo_fleet& operator=(const demo_fleet&) = delete;

  /// Starts what can be started. Throws os_error.
  std::vector<place> start();

 private:
  void add_worker(const std::string& url);

  std::filesystem::path directory_;
  std::vector<process> running_;  // the last one started ends first
};

}  // namespace tutti::app
