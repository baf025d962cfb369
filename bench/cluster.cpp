// cluster: tasks over a broker: tutti against Celery on one and the same Redis, and on the brokers that need no server.
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tutti/base/init.hpp>
#include <utility>
#include <vector>

#include "cluster/systems.hpp"
#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/line_child.hpp"

namespace {

using bench::better;
using bench::line_child;
using bench::metric;
using bench::subject;
using bench::cluster::worker_process;

// A client and a worker that it sends to.
struct team {
  std::string system;  // in the tables
  std::string client;  // "tutti", "celery", "sqlite" or "memory"
  std::string worker;  // "tutti" or "celery"; empty: in the client's process
  std::string pool;
};

const std::vector<team> teams = {{"tutti", "tutti", "tutti", "threads"},
                                 {"tutti, processes", "tutti", "tutti", "processes"},
                                 {"Celery prefork", "celery", "celery", "prefork"},
                                 {"Celery threads", "celery", "celery", "threads"},
                                 {"Celery solo", "celery", "celery", "solo"},
                                 {"tutti's client, Celery prefork", "tutti", "celery", "prefork"},
                                 {"Celery's client, tutti", "celery", "tutti", "threads"},
                                 {"tutti, sqlite:", "sqlite", "tutti", "threads"},
                                 {"tutti, memory://", "memory", "", "threads"}};

bool on_redis(const team& one) { return one.client == "tutti" || one.client == "celery"; }
bool pure(const team& one) { return on_redis(one) && one.client == one.worker; }

// All that takes part: clients for the whole run, workers for as long as a case wants them.
class stage {
 public:
  std::vector<double> ask(const team& who, const std::string& queue, const std::string& request) {
    auto& child = clients_[who.client];
    if (child == nullptr) {
      child = std::make_unique<line_child>(who.client == "celery" ? bench::cluster::celery_client(url(who))
                                                                  : bench::cluster::tutti_client(url(who)));
    }
    if (!child->available()) throw std::runtime_error("no client");
    return child->ask(queue + ' ' + request);
  }

  std::unique_ptr<worker_process> hire(const team& who, const std::string& queue) {
    return std::make_unique<worker_process>(who.worker == "celery"
                                                ? bench::cluster::celery_worker(url(who), queue, who.pool)
                                                : bench::cluster::tutti_worker(url(who), queue, who.pool));
  }

  // A queue of its own for each, so that nobody takes another one's tasks.
  std::string fresh_queue() { return "bench" + std::to_string(++queues_); }

 private:
  std::string url(const team& who) const {
    if (who.client == "sqlite") return "sqlite:" + (redis_.folder() / "tasks.db").string();
    if (who.client == "memory") return "memory://bench";
    return redis_.url();
  }

  bench::cluster::redis_server redis_;
  std::map<std::string, std::unique_ptr<line_child>> clients_;
  int queues_ = 0;
};

// A team whose worker runs from its first turn on.
subject playing(stage& all, const team& who, std::function<std::vector<double>(const std::string& queue)> turn) {
  return {who.system,
          [&all, who, turn, queue = all.fresh_queue(), worker = std::shared_ptr<worker_process>()]() mutable {
            if (worker == nullptr && !who.worker.empty()) {
              worker = all.hire(who, queue);
              all.ask(who, queue, "one");
            }
            return turn(queue);
          }};
}

std::vector<subject> play(stage& all, bool (*takes_part)(const team&),
                          const std::function<std::string(const team&)>& request) {
  std::vector<subject> made;
  for (const team& who : teams) {
    if (!takes_part(who)) continue;
    made.push_back(playing(
        all, who, [&all, who, words = request(who)](const std::string& queue) { return all.ask(who, queue, words); }));
  }
  return made;
}

std::vector<subject> play(stage& all, bool (*takes_part)(const team&), const std::string& request) {
  return play(all, takes_part, [request](const team&) { return request; });
}

bool everybody(const team&) { return true; }

// `count` of their numbers, from the one at `from`.
std::vector<subject> only_numbers(std::vector<subject> all, std::size_t from, std::size_t count) {
  for (subject& one : all) {
    one.run = [run = std::move(one.run), from, count] {
      const std::vector<double> values = run();
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(from);
      return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(count));
    };
  }
  return all;
}

std::string power(int exponent) { return "10^" + std::to_string(exponent); }

std::size_t ten_to(int exponent) {
  std::size_t value = 1;
  for (int i = 0; i < exponent; ++i) value *= 10;
  return value;
}

void throughput_cases(bench::session& session, stage& all) {
  const int exponent = session.quick() ? 3 : 4;
  const std::string count = std::to_string(ten_to(exponent));
  const std::string name = power(exponent) + " tasks";
  session.compare({{name + " one by one, with their results", "tasks/s", better::more},
                   {name + " one by one, sending", "tasks/s", better::more}},
                  2, session.reps(5, 1), play(all, everybody, "each " + count));
  session.compare({{name + " as a group, with their results", "tasks/s", better::more},
                   {name + " as a group, sending", "tasks/s", better::more}},
                  2, session.reps(3, 1), only_numbers(play(all, everybody, "bulk " + count), 0, 2), !session.quick());
  session.compare(metric{"a group of 100", "ms"}, 2, session.reps(9),
                  only_numbers(play(all, everybody, "bulk 100"), 2, 1));
}

void trip_case(bench::session& session, stage& all) {
  session.compare(std::vector<metric>{{"there and back, p50", "us"}, {"there and back, p99", "us"}}, 2, session.reps(5),
                  play(all, everybody, "trip " + std::to_string(session.quick() ? 200 : 1000)));
}

void size_cases(bench::session& session, stage& all) {
  struct size {
    const char* name;
    std::size_t bytes, count;
  };
  for (const size& of : {size{"1 KB", 1000, 500}, size{"100 KB", 100'000, 100}, size{"1 MB", 1'000'000, 20}}) {
    const std::string text = std::string("a text of ") + of.name;
    const std::size_t count = session.quick() ? of.count / 10 : of.count;
    session.compare({{text + ", there and back", "us"}, {text + ", together", "tasks/s", better::more}}, 2,
                    session.reps(5, 1),
                    play(all, everybody, "echo " + std::to_string(of.bytes) + ' ' + std::to_string(count)));
  }
}

// A worker is started while its first task waits for it already.
void start_case(bench::session& session, stage& all) {
  std::vector<subject> made;
  for (const team& who : teams) {
    if (!pure(who)) continue;
    made.push_back({who.system, [&all, who]() -> std::vector<double> {
                      const std::string queue = all.fresh_queue();
                      all.ask(who, queue, "backlog 1");
                      const double start = bench::now_ns();
                      const auto worker = all.hire(who, queue);
                      all.ask(who, queue, "drained 1");
                      return {(bench::now_ns() - start) * 1e-6};
                    }});
  }
  session.compare(metric{"a worker's start until its first results", "ms"}, 2, session.reps(5), std::move(made));
}

void memory_case(bench::session& session, stage& all) {
  std::vector<subject> made;
  for (const team& who : teams) {
    if (!pure(who)) continue;
    made.push_back({who.system, [&all, who]() -> std::vector<double> {
                      const std::string queue = all.fresh_queue();
                      const auto worker = all.hire(who, queue);
                      all.ask(who, queue, "each 1000");
                      return {static_cast<double>(worker->share_kib()) / 1024};
                    }});
  }
  session.compare(metric{"a worker's memory, after 1000 tasks", "MiB"}, 2, session.reps(3, 1), std::move(made), false);
}

// What waits costs the same however many wait: the worker is started when all are there.
void backlog_cases(bench::session& session, stage& all) {
  for (int exponent = 3; exponent <= (session.quick() ? 5 : 6); ++exponent) {
    std::vector<subject> made;
    for (const team& who : teams) {
      const bool mixed = on_redis(who) && !pure(who);
      const int most = who.worker == "celery" ? (session.quick() ? 3 : 5) : 6;
      if (who.worker.empty() || mixed || exponent > most) continue;
      const std::string count = std::to_string(ten_to(exponent));
      made.push_back({who.system, [&all, who, count] {
                        const std::string queue = all.fresh_queue();
                        all.ask(who, queue, "backlog " + count);
                        const auto worker = all.hire(who, queue);
                        return all.ask(who, queue, "drained " + count);
                      }});
    }
    session.compare(metric{power(exponent) + " tasks wait, without results", "us/task"}, 2,
                    exponent > 4 ? 1 : session.reps(3, 1), std::move(made), false);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  tutti::init(argc, argv);
  int status = 0;
  if (bench::cluster::played_a_part(argc, argv, status)) return status;
  std::signal(SIGPIPE, SIG_IGN);  // a client that dies leaves its case, no more
  bench::session session("cluster", argc, argv);
  stage all;
  throughput_cases(session, all);
  trip_case(session, all);
  size_cases(session, all);
  start_case(session, all);
  memory_case(session, all);
  backlog_cases(session, all);
  return session.finish();
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
