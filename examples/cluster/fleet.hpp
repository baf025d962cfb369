// fleet: what the examples of tutti::cluster run on: a broker and workers of their own.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/worker.hpp>

#include <stdlib.h>

#include <filesystem>
#include <list>
#include <stdexcept>
#include <string>
#include <utility>

/// The broker that the command line names, `PROGRAM redis://localhost/5`, or a file in a temporary directory; and
/// workers in this process. In earnest the workers are processes of their own, on many machines.
class fleet {
 public:
  fleet(int argc, char** argv) : app_({.broker = argc > 1 ? argv[1] : "sqlite:" + (folder_ / "tasks.db").string()}) {
    app_.make_current();
  }
  fleet(const fleet&) = delete;
  fleet& operator=(const fleet&) = delete;
  ~fleet() {
    workers_.clear();  // each ends what it runs
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  /// One more worker; valid as long as this.
  tutti::cluster::worker& hire(tutti::cluster::worker_options options = {}) {
    workers_.emplace_back(app_, std::move(options));
    workers_.back().start();
    return workers_.back();
  }

 private:
  static std::filesystem::path make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "tutti_example_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder " + name);
    return name;
  }

  std::filesystem::path folder_ = make_folder();
  tutti::cluster::app app_;
  std::list<tutti::cluster::worker> workers_;
};
