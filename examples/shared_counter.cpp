// shared_counter: four processes add 1 to a number a thousand times each: 4000, always.
// Teaches: a shared_value is one number in the memory of several processes. fetch_add is one step; a read and a write
// are two, and need a process_mutex around them. Without it additions get lost, here as between threads.
#include <tutti/process/process.hpp>
#include <tutti/process/process_mutex.hpp>
#include <tutti/process/shared_value.hpp>
#include <tutti/tutti.hpp>

#include <chrono>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

namespace shared_counter {

using counter = tutti::shared_value<long>;
constexpr int processes = 4, rounds = 1000;

void in_one_step(counter number) {
  for (int i = 0; i < rounds; ++i) number.fetch_add(1);
}

void under_a_lock(counter number, tutti::process_mutex mutex) {
  for (int i = 0; i < rounds; ++i) {
    const std::lock_guard lock(mutex);
    number.store(number.load() + 1);
  }
}

// Each step is whole, and yet: what others add between the two is overwritten.
void in_two_steps(counter number) {
  for (int i = 0; i < rounds; ++i) {
    const long seen = number.load();
    if (i % 250 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // it thinks about it
    number.store(seen + 1);
  }
}

// The sum after four processes have run F.
template <auto F, class... Lock>
long sum(Lock... lock) {
  const counter number(0);
  {
    std::vector<tutti::process> all;
    all.reserve(processes);
    for (int i = 0; i < processes; ++i) all.emplace_back(tutti::fn<F>, number, lock...);
  }  // waits for them
  return number.load();
}

}  // namespace shared_counter

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  namespace sc = shared_counter;
  constexpr long expected = long{sc::processes} * sc::rounds;
  const long one_step = sc::sum<sc::in_one_step>();
  const long locked = sc::sum<sc::under_a_lock>(tutti::process_mutex("counter"));
  const long two_steps = sc::sum<sc::in_two_steps>();
  std::cout << "fetch_add: " << one_step << "\nwith a lock: " << locked << "\nwith nothing: " << two_steps << ", "
            << expected - two_steps << " lost\n";
  return one_step == expected && locked == expected && two_steps >= 2 && two_steps <= expected ? 0 : 1;
}
