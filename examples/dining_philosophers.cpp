// dining_philosophers: five who think and eat at a round table with five forks, and need two each.
// Teaches: with TUTTI_WATCH=deadlock the wait that would hang throws instead, and tells who waits for what; guard locks
// any number of locks and cannot deadlock; a semaphore that seats four is another cure.
// Usage: dining_philosophers [--naive | --ordered | --waiter] [--watch]; without a flag, all three.
#include <tutti/tutti.hpp>

#include <array>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t seats = 5;
constexpr std::array<std::string_view, seats> names{"Plato", "Confucius", "Socrates", "Voltaire", "Descartes"};
constexpr int enough = 200;  // meals

struct table {
  std::array<tutti::mutex, seats> forks{tutti::mutex{"fork 1"}, tutti::mutex{"fork 2"}, tutti::mutex{"fork 3"},
                                        tutti::mutex{"fork 4"}, tutti::mutex{"fork 5"}};
  std::array<int, seats> meals{};

  tutti::mutex& left(std::size_t i) { return forks[i]; }
  tutti::mutex& right(std::size_t i) { return forks[(i + 1) % seats]; }
};

// Seats the five, each with a thread of their own name, and waits for all; the first exception is thrown then.
void dine(const std::function<void(std::size_t)>& philosopher) {
  std::vector<tutti::thread> guests;
  guests.reserve(seats);
  for (std::size_t i = 0; i < seats; ++i) guests.emplace_back(names[i], [&philosopher, i] { philosopher(i); });
  std::exception_ptr first;
  for (tutti::thread& guest : guests) {
    try {
      guest.join();
    } catch (...) {
      if (first == nullptr) first = std::current_exception();
    }
  }
  if (first != nullptr) std::rethrow_exception(first);
}

// Everybody takes the left fork, then the right one. The book's hang "almost immediately"; the barrier makes it
// certain.
void naive(table& t) {
  tutti::barrier all_have_left(seats, {}, "all have a left fork");
  dine([&](std::size_t i) {
    const tutti::guard left(t.left(i));
    all_have_left.arrive_and_wait();
    const tutti::guard right(t.right(i));
    ++t.meals[i];
  });
}

// The guard takes the fork with the lower address first, whoever asks: no circle can close.
void ordered(table& t) {
  dine([&](std::size_t i) {
    for (int meal = 0; meal < enough; ++meal) {
      const tutti::guard both(t.left(i), t.right(i));
      ++t.meals[i];
    }
  });
}

// A waiter lets four sit down: one of them has two forks.
void waiter(table& t) {
  tutti::semaphore chairs(seats - 1, "chairs");
  dine([&](std::size_t i) {
    for (int meal = 0; meal < enough; ++meal) {
      const tutti::permit chair = chairs.acquire_permit();
      const tutti::guard left(t.left(i));
      const tutti::guard right(t.right(i));
      ++t.meals[i];
    }
  });
}

// True when everybody had enough.
bool serve(std::string_view how, void (*rule)(table&)) {
  table t;
  rule(t);
  std::cout << how << ":";
  bool right = true;
  for (std::size_t i = 0; i < seats; ++i) {
    std::cout << ' ' << names[i] << ' ' << t.meals[i];
    right = right && t.meals[i] == enough;
  }
  std::cout << " meals\n";
  return right;
}

// Whether the environment has turned the deadlock watch on.
bool watched_already() {
  const char* const wanted = std::getenv("TUTTI_WATCH");
  return wanted != nullptr && tutti::watch_options_from(wanted).deadlock;
}

// Returns what the watch said; empty if nobody noticed anything, which cannot be.
std::string hang() {
  table t;
  try {
    naive(t);
    return {};
  } catch (const tutti::deadlock& report) {
    int fed = 0;
    for (const int meals : t.meals) fed += meals;
    std::cout << "naive: " << report.what() << "\none gave way, put the left fork back, and " << fed << " ate\n";
    return fed == seats - 1 ? report.what() : "";
  }
}

// Whether the report names everybody, and all the forks.
bool complete(const std::string& report) {
  bool right = true;
  for (std::size_t i = 0; i < seats; ++i) {
    right = right && report.find(names[i]) != std::string::npos &&
            report.find("fork " + std::to_string(i + 1)) != std::string::npos;
  }
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  std::string_view mode;
  std::optional<tutti::watch> watching;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--watch") {
      watching.emplace();
    } else if (flag == "--naive" || flag == "--ordered" || flag == "--waiter") {
      mode = flag;
    } else {
      std::cerr << "usage: dining_philosophers [--naive | --ordered | --waiter] [--watch]\n";
      return 2;
    }
  }
  // Before the forks are made: locks that were there before a watch are not fully known to it.
  if (!watching && !watched_already() && (mode.empty() || mode == "--naive")) {
    std::cout << "nobody watches: turning the deadlock watch on, or this would hang for ever\n";
    watching.emplace();
  }
  if (mode == "--naive") return complete(hang()) ? 3 : 1;
  bool right = true;
  if (mode.empty()) right = complete(hang());
  if (mode != "--waiter") right = serve("ordered", ordered) && right;
  if (mode != "--ordered") right = serve("waiter", waiter) && right;
  return right ? 0 : 1;
}
