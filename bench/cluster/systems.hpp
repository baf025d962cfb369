// systems: who takes part in the cluster benchmark: a Redis, clients that are asked by lines, and workers.
//
// A client answers `QUEUE CASE ARGUMENT...` with numbers; the cases, the same for tutti and Celery:
//   one                 a sum; seconds
//   each COUNT          tasks sent one by one and their results: tasks/s in all, and sent per second
//   bulk COUNT          the same sent as one group: tasks/s, sent per second, and ms in all
//   trip COUNT          one at a time: p50 and p99 of there and back, in us
//   echo SIZE COUNT     texts there and back: us one at a time, and tasks/s together
//   backlog COUNT       fills a queue that nobody reads: a task that tells the time, COUNT without a result, and
//   another drained COUNT       what those two told: us per task in between
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace bench::cluster {

/// A redis-server of our own on a free port, which keeps nothing on disk; it ends with this object.
class redis_server {
 public:
  redis_server();
  ~redis_server();
  redis_server(const redis_server&) = delete;
  redis_server& operator=(const redis_server&) = delete;

  std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_) + "/0"; }
  const std::filesystem::path& folder() const { return folder_; }  ///< for files of the benchmark; goes with it

 private:
  std::filesystem::path folder_;
  int port_ = 0;
  pid_t pid_ = 0;
};

/// A worker and its children, told to end by the destructor.
class worker_process {
 public:
  explicit worker_process(std::vector<std::string> command);
  ~worker_process();
  worker_process(const worker_process&) = delete;
  worker_process& operator=(const worker_process&) = delete;

  /// KiB of all its processes; pages that n of all processes have count as 1/n.
  long share_kib() const;

 private:
  pid_t pid_ = 0;
};

std::vector<std::string> tutti_client(const std::string& url);
std::vector<std::string> celery_client(const std::string& url);
/// `pool`: "threads" or "processes", of two.
std::vector<std::string> tutti_worker(const std::string& url, const std::string& queue, const std::string& pool);
/// `pool`: "prefork", "threads", of two, or "solo".
std::vector<std::string> celery_worker(const std::string& url, const std::string& queue, const std::string& pool);

/// In main, after tutti::init: true when this process is a client or a worker of tutti's that has ended.
bool played_a_part(int argc, char** argv, int& status);

/// What such a process does.
int serve_client(const std::string& url);
int run_worker(const std::string& url, const std::string& queue, const std::string& pool);

}  // namespace bench::cluster
