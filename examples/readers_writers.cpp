// readers_writers: three readers and two writers want the same page all day, under each policy of shared_mutex.
// Teaches: readers share, writers do not. Who prefers one kind starves the other; fair, in the order of arrival,
// starves nobody. (The book's writers' preference locks out readers from each other too, as they keep their turnstile.)
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string_view>

namespace {

using namespace std::chrono_literals;

// What one kind of visitor got while the page was open.
struct visits {
  int admissions = 0;
  int longest_wait = 0;  // in turns: how many others were let in meanwhile, of both kinds
};

struct page {
  explicit page(tutti::shared_policy policy) : lock(policy, "page") {}

  tutti::shared_mutex lock;
  const std::chrono::steady_clock::time_point closes = tutti::now() + 60s;
  int turns = 0;  // admissions so far
  int reading = 0, writing = 0;
  bool together = false;  // whether two readers met
  bool broken = false;    // whether a writer met somebody
  visits readers, writers;

  bool open() const { return tutti::now() < closes; }

  // Somebody who came at turn `since` is let in. Who is let in because the others went home was starved until then.
  void admit(visits& kind, int since) {
    kind.longest_wait = std::max(kind.longest_wait, turns - since);
    if (!open()) return;
    ++kind.admissions;
    ++turns;
  }
};

tutti::task<> reader(page& p, std::chrono::milliseconds comes) {
  co_await tutti::sleep_for(comes);
  while (p.open()) {
    const int since = p.turns;
    auto shared = co_await p.lock.lock_shared_async();
    p.admit(p.readers, since);
    p.broken = p.broken || p.writing > 0;
    p.together = ++p.reading > 1 || p.together;
    co_await tutti::sleep_for(3s);
    --p.reading;
    shared.unlock();
    co_await tutti::sleep_for(500ms);
  }
}

tutti::task<> writer(page& p, std::chrono::milliseconds comes) {
  co_await tutti::sleep_for(comes);
  while (p.open()) {
    const int since = p.turns;
    auto alone = co_await p.lock.lock_async();
    p.admit(p.writers, since);
    p.broken = p.broken || p.writing > 0 || p.reading > 0;
    ++p.writing;
    co_await tutti::sleep_for(3s);
    --p.writing;
    alone.unlock();
    co_await tutti::sleep_for(500ms);
  }
}

struct day {
  visits readers, writers;
  bool sound;
};

// All five come one after the other, half a second apart, and again and again.
day spend(std::string_view name, tutti::shared_policy policy) {
  page p(policy);
  tutti::sync_wait(tutti::when_all(reader(p, 0ms), writer(p, 500ms), reader(p, 1s), writer(p, 1500ms), reader(p, 2s)));
  std::cout << name << ": readers let in " << p.readers.admissions << " times, longest wait " << p.readers.longest_wait
            << " turns; writers " << p.writers.admissions << " times, longest wait " << p.writers.longest_wait
            << " turns\n";
  return {p.readers, p.writers, !p.broken};
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const day for_readers = spend("prefer_readers", tutti::shared_policy::prefer_readers);
  const day for_writers = spend("prefer_writers", tutti::shared_policy::prefer_writers);
  const day fair = spend("fair", tutti::shared_policy::fair);

  // Some reader is always there before the last one leaves: no writer ever gets in.
  const bool writers_starve = for_readers.writers.admissions == 0 && for_readers.readers.longest_wait == 0;
  // The first reader came before there was a writer, and no other reader ever gets in.
  const bool readers_starve = for_writers.readers.admissions == 1 && for_writers.writers.longest_wait <= 1;
  // In the order of arrival at most the four others go first.
  const bool nobody_starves = fair.readers.longest_wait <= 4 && fair.writers.longest_wait <= 4 &&
                              fair.readers.admissions >= 10 && fair.writers.admissions >= 10;
  const bool sound = for_readers.sound && for_writers.sound && fair.sound;
  return writers_starve && readers_starve && nobody_starves && sound ? 0 : 1;
}
