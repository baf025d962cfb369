// countdown: A counts down every second, B every 0.8 s, C every 0.5 s: 6.9 s one after the other, 3.0 s together.
// Teaches: a task that sleeps holds no thread. co_await runs one task, when_all several at once, here all on the thread
// of main. The virtual clock jumps from one timer to the next: the seconds pass in no time and add up exactly.
#include <tutti/tutti.hpp>

#include <chrono>
#include <iostream>
#include <sstream>
#include <string_view>

namespace {

using namespace std::chrono_literals;

// Lines of text, each with the seconds since the start.
class journal {
 public:
  void add(char name, int left) { lines_ << name << left << ' ' << elapsed() / 1.0s << " s\n"; }
  std::chrono::nanoseconds elapsed() const { return tutti::now() - start_; }
  std::string lines() const { return lines_.str(); }

 private:
  std::chrono::steady_clock::time_point start_ = tutti::now();
  std::ostringstream lines_;
};

tutti::task<> countdown(char name, std::chrono::milliseconds delay, journal& log) {
  for (int left = 3; left > 0; --left) {
    co_await tutti::sleep_for(delay);
    log.add(name, left);
  }
}

tutti::task<> one_after_the_other(journal& log) {
  co_await countdown('A', 1s, log);
  co_await countdown('B', 800ms, log);
  co_await countdown('C', 500ms, log);
}

tutti::task<> together(journal& log) {
  co_await tutti::when_all(countdown('A', 1s, log), countdown('B', 800ms, log), countdown('C', 500ms, log));
}

// Runs a program; true when it took as long, and wrote what it should.
bool check(tutti::task<> (*program)(journal&), std::chrono::nanoseconds time, std::string_view lines) {
  journal log;
  tutti::sync_wait(program(log));
  std::cout << log.lines() << "in all " << log.elapsed() / 1.0s << " s\n\n";
  return log.elapsed() == time && log.lines() == lines;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const bool serial = check(one_after_the_other, 6900ms,
                            "A3 1 s\nA2 2 s\nA1 3 s\nB3 3.8 s\nB2 4.6 s\nB1 5.4 s\nC3 5.9 s\nC2 6.4 s\nC1 6.9 s\n");
  const bool concurrent =
      check(together, 3000ms, "C3 0.5 s\nB3 0.8 s\nA3 1 s\nC2 1 s\nC1 1.5 s\nB2 1.6 s\nA2 2 s\nB1 2.4 s\nA1 3 s\n");
  return serial && concurrent ? 0 : 1;
}
