// priority_inversion: an urgent task waits for a lock whose holder never gets its turn; and two ways out of it.
// Teaches: priorities order what starts next. A lock does not know who must start before it is given up. A future does:
// who waits for it lends its priority, or runs it. Or nothing is locked: one thread owns the thing, the urgent first.
#include <tutti/tutti.hpp>

#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr int low = -1, medium = 0, high = 1;

using story = std::vector<std::string>;

// An office with one printer, and one worker for all that is to be done.
class office {
 public:
  // `urgent`: what the urgent task does to have the printer free.
  explicit office(void (*urgent)(office&)) : urgent_(urgent) {
    auto first = pool_.with({.priority = low}).submit(begin_to_print());
    first.get();
    pool_.shutdown();  // when all is done
  }
  tutti::mutex printer{"printer"};
  tutti::future<void> print_job;
  const story& log() const { return log_; }

 private:
  // The unimportant task takes the printer before anybody else comes. The rest of it is a task as unimportant, which
  // takes the guard along.
  tutti::task<> begin_to_print() {
    auto guard = co_await printer.lock_async();
    note("low takes the printer");
    print_job = pool_.with({.priority = low}).submit([this, taken = std::move(guard)]() mutable {
      note("low prints");
      taken.unlock();
    });
    // Now the others come. The only worker is here: nothing of this starts before this task has ended.
    for (int i = 1; i <= 3; ++i) {
      pool_.with({.priority = medium}).post([this, i] { note("medium " + std::to_string(i)); });
    }
    pool_.with({.priority = high}).post([this] {
      note("high waits");
      urgent_(*this);
      const std::lock_guard lock(printer);
      note("high prints");
    });
  }

  void note(std::string what) {
    const std::lock_guard lock(log_lock_);
    log_.push_back(std::move(what));
  }

  void (*urgent_)(office&);
  tutti::mutex log_lock_{"log"};
  story log_;
  tutti::thread_pool pool_{1};
};

// Just locks it. The worker is lent to others meanwhile, in their order: the medium ones, then the holder.
void wait_for_the_lock(office&) {}

// Waits for the task that will free it: that is done next, whatever its own priority is.
void wait_for_the_holder(office& o) { o.print_job.get(); }

struct request {
  int priority;
  std::string_view from;
};

// Who wants to print sends a request. The one who owns the printer takes the most urgent there is.
story serve() {
  tutti::channel<request> requests(8, tutti::by_priority(&request::priority), "requests");
  for (const request& one : {request{low, "low"}, request{medium, "medium 1"}, request{medium, "medium 2"},
                             request{medium, "medium 3"}, request{high, "high"}}) {
    requests.send(one);
  }
  requests.close();
  story log;
  tutti::thread printer("printer", [&] {
    for (const request& one : requests) log.push_back(std::string(one.from) + " is printed");
  });
  printer.join();
  return log;
}

bool check(std::string_view name, const story& log, const story& expected) {
  std::cout << name << ":";
  for (const std::string& what : log) std::cout << ' ' << what << ';';
  std::cout << '\n';
  return log == expected;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  bool right =
      check("a lock", office(wait_for_the_lock).log(),
            {"low takes the printer", "high waits", "medium 1", "medium 2", "medium 3", "low prints", "high prints"});
  right =
      check("a future", office(wait_for_the_holder).log(),
            {"low takes the printer", "high waits", "low prints", "high prints", "medium 1", "medium 2", "medium 3"}) &&
      right;
  right = check("an owner", serve(),
                {"high is printed", "medium 1 is printed", "medium 2 is printed", "medium 3 is printed",
                 "low is printed"}) &&
          right;
  return right ? 0 : 1;
}
