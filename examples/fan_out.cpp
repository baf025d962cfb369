// fan_out: four services asked at once, 5 s for all of them: what came in time is used, the slow one is named.
// Teaches: with_timeout stops a task at its deadline and awaits its end; when_all_settled gives each task's result or
// error. Nothing of the slow request is left behind: no thread, no timer, no open connection.
#include <tutti/tutti.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds budget = 5s;

struct service {
  std::string_view name;
  std::chrono::milliseconds delay;
  int status;
};

constexpr service services[] = {{"weather", 200ms, 200}, {"maps", 4s, 200}, {"prices", 20s, 200}, {"news", 100ms, 400}};

// Open as long as it lives.
struct connection {
  connection() { ++open; }
  ~connection() { --open; }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  static inline int open = 0;
};

tutti::task<std::string> ask(service s) {
  const connection kept;
  co_await tutti::sleep_for(s.delay);
  if (s.status != 200) throw std::runtime_error("status " + std::to_string(s.status));
  co_return "answered";
}

// A line for each service.
tutti::task<std::string> ask_all() {
  std::vector<tutti::task<std::string>> requests;
  for (const service& s : services) requests.push_back(tutti::with_timeout(ask(s), budget));
  const std::vector<tutti::outcome<std::string>> outcomes = co_await tutti::when_all_settled(std::move(requests));

  std::string lines;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    lines += std::string(services[i].name) + ": ";
    try {
      lines += outcomes[i].value();
    } catch (const tutti::timed_out&) {
      lines += "no answer within 5 s";
    } catch (const std::exception& error) {
      lines += error.what();
    }
    lines += '\n';
  }
  co_return lines;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const auto start = tutti::now();
  const std::string lines = tutti::sync_wait(ask_all());
  const std::chrono::nanoseconds time = tutti::now() - start;

  std::cout << lines << "in all " << time / 1.0s << " s; " << connection::open << " connections left open\n";
  const bool right = lines == "weather: answered\nmaps: answered\nprices: no answer within 5 s\nnews: status 400\n";
  return right && time == budget && connection::open == 0 ? 0 : 1;
}
