// cluster_programs: what the tests with real peers start. With --tutti-worker it is a worker, else a client:
//
//   client URL FOLDER                    checks calls, canvases, failures and options; says what was wrong
//   publish URL QUEUE LOG STOP           sends tasks.log_id until the file STOP is there; says the ids that were taken
//   work URL QUEUE N FILE SECONDS        sends N times tasks.work, and waits for all results
//   load URL QUEUE N                     sends N times tasks.add, some at a time, and adds up their results
#include <unistd.h>

#include "client_checks.hpp"

#include <cstdint>
#include <deque>
#include <tutti/base/error.hpp>
#include <tutti/base/init.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/async_result.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/signature.hpp>
#include <vector>

namespace {

namespace cluster = tutti::cluster;

int client(const std::string& folder) {
  interop::check_values();
  interop::check_canvases();
  interop::check_failures();
  interop::check_options(folder);
  std::printf("%d failures\n", interop::failures);
  return interop::failures == 0 ? 0 : 1;
}

int publish(const std::string& queue, const std::string& log, const std::string& stop) {
  for (int refused = 0; ::access(stop.c_str(), F_OK) != 0;) {
    try {
      std::printf("%s\n", cluster::send_task<void>("tasks.log_id", {.queue = queue}, log).id().c_str());
      std::fflush(stdout);
    } catch (const tutti::broker_error& error) {  // it may have been taken, or not
      if (++refused % 10 == 1) std::fprintf(stderr, "refused: %s\n", error.what());
    }
  }
  return 0;
}

int work(const std::string& queue, int n, const std::string& file, double seconds) {
  std::vector<cluster::async_result<void>> results;
  for (int i = 0; i < n; ++i) {
    results.push_back(cluster::send_task<void>("tasks.work", {.queue = queue}, file, std::to_string(i), seconds));
  }
  std::printf("sent\n");
  std::fflush(stdout);
  for (const auto& result : results) result.get(interop::limit());
  std::printf("done\n");
  return 0;
}

int load(const std::string& queue, std::int64_t n) {
  constexpr std::int64_t portion = 500;  // that is waited for at once
  std::deque<cluster::group_result<std::int64_t>> underway;
  std::int64_t sum = 0;
  const auto take = [&] {
    for (const std::int64_t one : underway.front().get(interop::limit())) sum += one;
    underway.front().forget();
    underway.pop_front();
  };
  for (std::int64_t i = 0; i < n;) {
    std::vector<cluster::signature> tasks;
    for (; i < n && std::ssize(tasks) < portion; ++i) {
      tasks.push_back(cluster::signature("tasks.add", i, 1).set({.queue = queue}));
    }
    underway.push_back(cluster::group(tasks).delay<std::int64_t>());
    if (underway.size() > 4) take();
    if (i % (n / 20 + 1) < portion) {
      std::printf("%ld\n", static_cast<long>(i));
      std::fflush(stdout);
    }
  }
  while (!underway.empty()) take();
  const std::int64_t expected = n * (n - 1) / 2 + n;
  std::printf("sum %ld, expected %ld\n", static_cast<long>(sum), static_cast<long>(expected));
  return sum == expected ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() >= 3) {
      cluster::app({.broker = words[1]}).make_current();
      if (words[0] == "client") return client(words[2]);
      if (words[0] == "publish" && words.size() == 5) return publish(words[2], words[3], words[4]);
      if (words[0] == "work" && words.size() == 6) {
        return work(words[2], std::stoi(words[3]), words[4], std::stod(words[5]));
      }
      if (words[0] == "load" && words.size() == 4) return load(words[2], std::stoll(words[3]));
    }
    std::fprintf(stderr, "what?\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
