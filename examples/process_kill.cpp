// process_kill: a process is ended from outside; others end by themselves, well or not.
// Teaches: alive, terminate, kill, join, and the exit codes: 0 is well, more is an error, less is a signal. Right after
// terminate() a process may still be alive: only join() tells how it ended, and leaves nothing of it behind.
#include <tutti/process/process.hpp>
#include <tutti/process/process_channel.hpp>
#include <tutti/tutti.hpp>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>

namespace process_kill {

using line = tutti::process_channel<int>;

// Answers for as long as somebody asks.
void answer(line questions) {
  for (const int n : questions) questions.send(n + 1);
}
// Does not listen to terminate().
void be_stubborn(line questions) {
  std::signal(SIGTERM, SIG_IGN);
  answer(std::move(questions));
}
void leave(int code) {
  if (code != 0) std::exit(code);
}
void fail() { throw std::runtime_error("out of paper"); }

// As in the book: initial, started, stopped[SIGTERM].
std::string state(const tutti::process& p) {
  if (!p) return "initial";
  const auto status = p.status();
  if (!status) return "started";
  const auto signal = status->signal();
  return signal ? "stopped[" + tutti::signal_name(*signal) + "]" : "stopped";
}

bool shows(const char* when, const tutti::process& p, const std::string& expected, bool alive) {
  std::cout << "process " << when << ": " << state(p) << (p.alive() ? ", alive\n" : ", not alive\n");
  return state(p) == expected && p.alive() == alive;
}

bool answers(line& here, int n) {
  here.send(n);
  return here.receive() == n + 1;
}

bool ended_from_outside() {
  tutti::process p;
  bool right = shows("before execution", p, "initial", false);
  auto [here, there] = line::pair();
  p = tutti::process(tutti::fn<answer>, std::move(there));
  right = answers(here, 1) && shows("running", p, "started", true) && right;
  p.terminate();
  const int code = p.join().value();
  right = shows("joined", p, "stopped[SIGTERM]", false) && right;
  std::cout << "exit code: " << code << '\n';
  return code == -15 && right;
}

bool killed() {
  auto [here, there] = line::pair();
  tutti::process p(tutti::fn<be_stubborn>, std::move(there));
  bool right = answers(here, 1);  // and does not listen any more
  p.terminate();
  right = answers(here, 2) && shows("asked to end", p, "started", true) && right;
  p.kill();
  const int code = p.join().value();
  right = shows("killed", p, "stopped[SIGKILL]", false) && right;
  std::cout << "exit code: " << code << '\n';
  return code == -9 && right;
}

bool ended_by_themselves() {
  tutti::process well(tutti::fn<leave>, 0), badly(tutti::fn<leave>, 3);
  tutti::process thrown({.err = tutti::stdio::null()}, tutti::fn<fail>);
  const int codes[] = {well.join().value(), badly.join().value(), thrown.join().value()};
  std::cout << "exit codes: " << codes[0] << ", " << codes[1] << ", and " << codes[2] << " after ";
  try {
    std::rethrow_exception(thrown.failure());
  } catch (const std::runtime_error& e) {
    std::cout << '"' << e.what() << "\"\n";
    return codes[0] == 0 && codes[1] == 3 && codes[2] == 1 && std::string(e.what()) == "out of paper";
  }
}

}  // namespace process_kill

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  bool right = process_kill::ended_from_outside();
  right = process_kill::killed() && right;
  right = process_kill::ended_by_themselves() && right;
  return right ? 0 : 1;
}
