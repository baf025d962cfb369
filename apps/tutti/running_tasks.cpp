#include <apps/tutti/running_tasks.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

namespace tutti::app {

int running_tasks(std::string_view loadavg) {
  // "0.20 0.18 0.12 3/80 11206": three averages, running and all tasks, the last process
  for (int field = 0; field < 3; ++field) {
    const std::size_t space = loadavg.find(' ');
    if (space == std::string_view::npos) return 0;
    loadavg.remove_prefix(space + 1);
  }
  int running = 0;
  const auto [end, error] = std::from_chars(loadavg.data(), loadavg.data() + loadavg.size(), running);
  return error == std::errc() && running > 0 ? running : 0;
}

int other_running_tasks() {
  std::array<int, 9> looks = {};
  for (int& look : looks) {
    if (&look != looks.data()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::string line;
    std::ifstream file("/proc/loadavg");
    std::getline(file, line);
    look = std::max(running_tasks(line) - 1, 0);
  }
  std::ranges::sort(looks);
  return looks[looks.size() / 2];
}

}  // namespace tutti::app
