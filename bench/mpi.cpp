// mpi: messages, collectives, objects and calls between two ranks, against the same calls of the C API in the same two
// processes, and against mpi4py.
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <tutti/base/init.hpp>
#include <vector>

#include "harness/harness.hpp"
#include "harness/line_child.hpp"
#include "harness/python.hpp"
#include "mpi/systems.hpp"

namespace {

using bench::better;
using bench::line_child;
using bench::metric;

std::string word(std::size_t number) { return ' ' + std::to_string(number); }

// Two ranks of this program, and two of Python, with one thread level.
struct pair_of_ranks {
  explicit pair_of_ranks(const std::string& level)
      : ours({TUTTI_MPIEXEC, "-n", "2", std::filesystem::read_symlink("/proc/self/exe"), "--ranks=" + level}),
        python({"mpirun", "-n", "2", bench::python_interpreter(), "-IB",
                bench::source_folder() + "/harness/peer_mpi.py", level}) {}
  line_child ours, python;
};

// Adds subjects that answer `request`.
class subjects {
 public:
  subjects(pair_of_ranks& pair, std::string request) : pair_(pair), request_(std::move(request)) {}

  subjects& c() { return add("C", pair_.ours, "C " + request_); }
  subjects& tutti() { return add("tutti", pair_.ours, "tutti " + request_); }
  subjects& python() { return add("mpi4py", pair_.python, request_); }
  subjects& add(std::string system, line_child& to, std::string line) {
    if (to.available()) all_.push_back({std::move(system), [&to, line] { return to.ask(line); }});
    return *this;
  }
  std::vector<bench::subject> take() { return std::move(all_); }

 private:
  pair_of_ranks& pair_;
  std::string request_;
  std::vector<bench::subject> all_;
};

std::string size_name(std::size_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  if (bytes < std::size_t{1} << 20U) return std::to_string(bytes >> 10U) + " KiB";
  return std::to_string(bytes >> 20U) + " MiB";
}

// How often, so that it takes about 0.1 s: a call takes some 0.5 us, and bytes 0.3 ns.
std::size_t count_for(const bench::session& session, std::size_t bytes) {
  const double seconds = session.quick() ? 0.01 : 0.1;
  const double count = seconds / (5e-7 + 3e-10 * static_cast<double>(bytes));
  return std::max<std::size_t>(4, static_cast<std::size_t>(count) / 2 * 2);
}

constexpr int repetitions = 15;

// ---------------------------------------------------------------- memory that is there

void ping_pong_cases(bench::session& session, pair_of_ranks& pair, const std::string& remark) {
  for (const std::size_t bytes :
       {std::size_t{8}, std::size_t{1} << 10U, std::size_t{1} << 16U, std::size_t{1} << 20U, std::size_t{1} << 26U}) {
    const std::string request = "ping_pong" + word(bytes) + word(count_for(session, bytes));
    session.compare(metric{"a message of " + size_name(bytes) + ", one way" + remark, "ns"}, 2,
                    session.reps(repetitions), subjects(pair, request).c().tutti().python().take());
  }
}

void rate_case(bench::session& session, pair_of_ranks& pair, const std::string& remark) {
  const std::string request = "rate" + word(count_for(session, 0) / bench::mpi::window * 2);
  session.compare(metric{"a message of 8 B, of 64 under way" + remark, "ns"}, 2, session.reps(repetitions),
                  subjects(pair, request).c().tutti().python().take());
}

void collective_cases(bench::session& session, pair_of_ranks& pair) {
  for (const char* what : {"bcast", "allreduce", "alltoall"}) {
    for (const std::size_t bytes : {std::size_t{8}, std::size_t{1} << 16U, std::size_t{1} << 22U}) {
      const std::string request = std::string("all ") + what + word(bytes) + word(count_for(session, 2 * bytes));
      session.compare(metric{what + (", " + size_name(bytes)), "us"}, 2, session.reps(repetitions),
                      subjects(pair, request).c().tutti().python().take());
    }
  }
}

void struct_cases(bench::session& session, pair_of_ranks& pair) {
  const std::size_t count = session.quick() ? 10 : 60;
  const auto request = [&](bench::mpi::room where) {
    return "structs" + word(static_cast<std::size_t>(where)) + word(count);
  };
  session.compare(metric{"10^5 structs there and back, into memory that is there", "us"}, 2, session.reps(repetitions),
                  subjects(pair, request(bench::mpi::room::known)).c().tutti().python().take());
  subjects fresh(pair, request(bench::mpi::room::vector));
  fresh.c().tutti().python().add("C, malloc", pair.ours, "C " + request(bench::mpi::room::memory));
  session.compare(metric{"10^5 structs there and back, into a new vector", "us"}, 2, session.reps(repetitions),
                  fresh.take());
}

// ---------------------------------------------------------------- objects

void object_cases(bench::session& session, pair_of_ranks& pair) {
  struct object {
    const char* word;
    const char* name;
  };
  for (const object& type : {object{"texts", "1000 strings"}, object{"lists", "a map of 1000 vectors"}}) {
    for (const object& what : {object{"trip", "there and back"}, object{"bcast", "bcast"}, object{"gather", "gather"},
                               object{"allreduce", "allreduce with an operation of its own"}}) {
      const auto request = [&](const std::string& suffix) {
        return "objects " + (what.word + suffix) + ' ' + type.word + word(session.quick() ? 10 : 100);
      };
      subjects all(pair, request(""));
      all.tutti().python();
      if (what.word != std::string_view("allreduce")) {
        all.add("tutti, into a new one", pair.ours, "tutti " + request("_new"));
      }
      session.compare(metric{std::string("objects: ") + type.name + ", " + what.name, "us"}, 2, session.reps(9),
                      all.take());
    }
  }
}

// ---------------------------------------------------------------- computing meanwhile

// Milliseconds for both, and how much of the shorter one the longer one hides.
std::vector<double> overlap(line_child& ranks, const std::string& who, bench::mpi::way how, std::size_t steps,
                            std::size_t count) {
  const auto ask = [&](bench::mpi::way w) {
    return ranks.ask(who + " overlap" + word(static_cast<std::size_t>(w)) + word(steps) + word(count)).at(0);
  };
  const double transfer = ask(bench::mpi::way::transfer);
  const double compute = ranks.ask(who + " compute" + word(steps)).at(0) * 1e-6;
  const double both = ask(how);
  return {both, 100 * (transfer + compute - both) / std::min(transfer, compute)};
}

void overlap_case(bench::session& session, pair_of_ranks& pair) {
  const std::string name = "16 MiB to each other and as long a computation";
  const std::vector<metric> metrics = {{name, "ms"}, {name + ", hidden of the shorter", "%", better::more}};
  if (!session.wanted(metrics[0].name) && !session.wanted(metrics[1].name)) return;
  const std::size_t count = session.quick() ? 3 : 10;
  // The best of some: the computation is as long on a machine at rest.
  double transfer = 1e300, step = 1e300;
  for (int i = 0; i < 5; ++i) {
    transfer = std::min(transfer, pair.ours.ask("C overlap 0 0" + word(count)).at(0));
    step = std::min(step, pair.ours.ask("C compute 1000000").at(0) * 1e-12);
  }
  const auto steps = static_cast<std::size_t>(transfer / step / bench::mpi::slices) * bench::mpi::slices;
  std::vector<bench::subject> all;
  const auto add = [&](const char* system, const char* who, bench::mpi::way how) {
    all.push_back({system, [=, &pair] { return overlap(pair.ours, who, how, steps, count); }});
  };
  add("C", "C", bench::mpi::way::plain);
  add("tutti", "tutti", bench::mpi::way::plain);
  add("C, MPI_Testall in between", "C", bench::mpi::way::slices);
  add("tutti, test_all in between", "tutti", bench::mpi::way::slices);
  add("tutti, to_future", "tutti", bench::mpi::way::futures);
  add("C, one after the other", "C", bench::mpi::way::after);
  session.compare(metrics, 2, session.reps(9), std::move(all));
}

// ---------------------------------------------------------------- calls

void pool_cases(bench::session& session, pair_of_ranks& pair) {
  struct pool_case {
    const char* word;
    const char* name;
    const char* unit;
    std::size_t ours, theirs;
  };
  const pool_case cases[] = {{"trip", "rank_pool: submit and get", "us", 10'000, 200},
                             {"each", "rank_pool: submit with a future", "tasks/s", 50'000, 1000},
                             {"map", "rank_pool: map, a task per element", "tasks/s", 50'000, 1000},
                             {"chunks", "rank_pool: map, chunks", "tasks/s", 200'000, 20'000}};
  if (std::none_of(std::begin(cases), std::end(cases), [&](const pool_case& c) { return session.wanted(c.name); }))
    return;
  // Its ranks ask for work all the time: it lives no longer than these cases.
  line_child futures({"mpirun", "-n", "2", bench::python_interpreter(), "-IB", "-m", "mpi4py.futures",
                      bench::source_folder() + "/harness/peer_mpi.py", "futures"});
  const std::size_t less = session.quick() ? 10 : 1;
  for (const pool_case& c : cases) {
    subjects all(pair, std::string("pool ") + c.word + word(c.ours / less));
    all.tutti();
    const std::string request = std::string(c.word) + word(c.theirs / less);
    all.add("mpi4py.futures", futures, "pool default " + request);
    all.add("mpi4py.futures, spinning", futures, "pool spinning " + request);
    session.compare(metric{c.name, c.unit, c.unit[0] == 'u' ? better::less : better::more}, 2, session.reps(7),
                    all.take());
  }
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  constexpr std::string_view flag = "--ranks=";
  if (argc == 2 && std::string_view(argv[1]).starts_with(flag))
    return bench::mpi::serve(std::string_view(argv[1]).substr(flag.size()));
  for (const char* allow : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"}) setenv(allow, "1", 1);
  bench::session session("mpi", argc, argv);
  {
    pair_of_ranks single("single");
    ping_pong_cases(session, single, ", thread level single");
    rate_case(session, single, ", thread level single");
  }
  pair_of_ranks multiple("multiple");
  ping_pong_cases(session, multiple, "");
  rate_case(session, multiple, "");
  collective_cases(session, multiple);
  struct_cases(session, multiple);
  object_cases(session, multiple);
  overlap_case(session, multiple);
  pool_cases(session, multiple);
  return session.finish();
}
