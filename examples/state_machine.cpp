// state_machine: states S0 to S4, each a coroutine that awaits a symbol, one a second, and then the state it leads to.
// Teaches: an async_generator is a source that takes its time, and ends. A chain of coroutines that await each other
// costs memory, never stack: a hundred thousand transitions, one coroutine each, come back safely.
#include <tutti/tutti.hpp>

#include <chrono>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace {

using namespace std::chrono_literals;

// The symbols of a text, at this distance.
tutti::async_generator<char> symbols(std::string text, std::chrono::seconds distance) {
  for (const char symbol : text) {
    co_await tutti::sleep_for(distance);
    co_yield symbol;
  }
}

struct machine {
  tutti::async_generator<char> input;
  std::string path = {};

  // Notes that a state was reached, and gives the symbol that decides where to go from there.
  tutti::task<char> enter(std::string_view state) {
    path += std::string(state) + ' ';
    const std::optional<char> symbol = co_await input.next();
    if (!symbol) throw std::invalid_argument("the input ends in " + std::string(state));
    co_return *symbol;
  }
};

tutti::task<> s1(machine& m);
tutti::task<> s2(machine& m);
tutti::task<> s3(machine& m);
tutti::task<> s4(machine& m);

tutti::task<> s0(machine& m) {
  const char symbol = co_await m.enter("S0");
  auto next = symbol == '0' ? s2(m) : s1(m);
  co_await std::move(next);
}

tutti::task<> s1(machine& m) {
  const char symbol = co_await m.enter("S1");
  auto next = symbol == '0' ? s3(m) : s2(m);
  co_await std::move(next);
}

tutti::task<> s2(machine& m) {
  const char symbol = co_await m.enter("S2");
  auto next = symbol == '0' ? s1(m) : s3(m);
  co_await std::move(next);
}

tutti::task<> s3(machine& m) {
  const char symbol = co_await m.enter("S3");
  auto next = symbol == '0' ? s1(m) : s4(m);
  co_await std::move(next);
}

// The end.
tutti::task<> s4(machine& m) {
  m.path += "S4";
  co_return;
}

constexpr std::size_t shown = 39;  // characters of a path: 13 states

// Runs the machine; true when it comes to `expected`, a path or an error, and takes as long as its input.
bool check(const std::string& input, std::chrono::seconds distance, std::string_view expected) {
  const auto start = tutti::now();
  machine m{symbols(input, distance)};
  std::string result;
  try {
    tutti::sync_wait(s0(m));
    result = m.path;
  } catch (const std::invalid_argument& error) {
    result = error.what();
  }
  const std::chrono::nanoseconds time = tutti::now() - start;
  std::cout << input.size() << " symbols, " << time / 1.0s << " s: " << result.substr(0, shown)
            << (result.size() > shown ? "...\n" : "\n");
  return result == expected && time == input.size() * distance;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  bool right = check("11001", 1s, "S0 S1 S2 S1 S3 S4") && check("011", 1s, "S0 S2 S3 S4") &&
               check("10", 1s, "the input ends in S3");

  std::string input = "1";
  std::string path = "S0 S1";
  for (int i = 0; i < 50'000; ++i) {
    input += "10";
    path += " S2 S1";
  }
  right = check(input + "01", 0s, path + " S3 S4") && right;
  return right ? 0 : 1;
}
