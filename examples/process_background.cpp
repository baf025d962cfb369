// process_background: a process in the background is not waited for: it ends when nobody needs it any more.
// Teaches: only .daemon decides, not the name. Destroying the object of a daemon kills it; that of any other process
// waits for it. And no process, daemon or not, outlives the program that started it.
#include <tutti/process/process.hpp>
#include <tutti/process/process_channel.hpp>
#include <tutti/process/this_process.hpp>
#include <tutti/tutti.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace process_background {

using lines = std::vector<std::string>;

// Five steps of ordinary work.
void count(tutti::process_writer<std::string> report, int from) {
  report.send("Starting " + tutti::this_process::name());
  for (int i = from; i < from + 5; ++i) report.send("---> " + std::to_string(i));
  report.send("Exiting " + tutti::this_process::name());
}

// Keeps the house: work without an end.
void keep_house(tutti::process_writer<std::string> report) {
  report.send("Starting " + tutti::this_process::name());
  for (;;) std::this_thread::sleep_for(std::chrono::minutes(1));
}

// What was reported until the process was gone: however it ended, that is the end of the channel.
lines all_of(tutti::process_reader<std::string>& reports) {
  lines all;
  for (std::string& line : reports) all.push_back(std::move(line));
  return all;
}

lines in_background() {
  auto [reports, end] = tutti::process_channel<std::string>::simplex();
  std::string first;
  {
    const tutti::process p({.name = "background_process", .daemon = true}, tutti::fn<keep_house>, std::move(end));
    first = reports.receive();
  }  // killed
  lines all = all_of(reports);
  all.insert(all.begin(), first);
  return all;
}

lines not_in_background() {
  auto [reports, end] = tutti::process_channel<std::string>::simplex();
  {
    const tutti::process p({.name = "NO_background_process"}, tutti::fn<count>, std::move(end), 5);
  }  // waited for
  return all_of(reports);
}

bool check(std::string_view form, const lines& said, const lines& expected) {
  std::cout << form << ":\n";
  for (const std::string& line : said) std::cout << "  " << line << '\n';
  return said == expected;
}

}  // namespace process_background

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  using process_background::check, process_background::in_background, process_background::not_in_background;
  bool right = check("daemon", in_background(), {"Starting background_process"});
  right = check("not a daemon", not_in_background(),
                {"Starting NO_background_process", "---> 5", "---> 6", "---> 7", "---> 8", "---> 9",
                 "Exiting NO_background_process"}) &&
          right;
  return right ? 0 : 1;
}
