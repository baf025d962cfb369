// barrier_race: Huey, Dewey and Louie start together, arrive one by one, and go home together.
// Teaches: a barrier can be passed again and again, and runs its completion once each time, when the last one has
// arrived and before anybody goes on.
#include <tutti/tutti.hpp>

#include <chrono>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

namespace {

using namespace std::chrono_literals;

class race {
 public:
  tutti::task<> run(std::string_view name, std::chrono::seconds to_the_start, std::chrono::seconds to_the_finish) {
    co_await tutti::sleep_for(to_the_start);
    tell(name, "is at the start");
    co_await line_.arrive_and_wait_async();
    co_await tutti::sleep_for(to_the_finish);
    tell(name, "has finished");
    co_await line_.arrive_and_wait_async();
    tell(name, "goes home");
    went_home_ = went_home_ && tutti::now() - begin_ == 7s;
  }

  std::string story() const { return story_.str(); }
  bool all_went_home_at_once() const { return went_home_; }

 private:
  void tell(std::string_view name, std::string_view what) {
    story_ << (tutti::now() - begin_) / 1.0s << " s: " << name << ' ' << what << '\n';
  }
  void all_are_there() {
    started_ ? tell("race", "over") : tell("race", "started");
    started_ = true;
  }

  tutti::barrier line_{3, [this] { all_are_there(); }, "line"};
  const std::chrono::steady_clock::time_point begin_ = tutti::now();
  std::ostringstream story_;
  bool started_ = false;
  bool went_home_ = true;
};

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  race r;
  tutti::sync_wait(tutti::when_all(r.run("Huey", 1s, 3s), r.run("Dewey", 2s, 2s), r.run("Louie", 3s, 4s)));
  std::cout << r.story();
  const std::string expected =
      "1 s: Huey is at the start\n2 s: Dewey is at the start\n3 s: Louie is at the start\n3 s: race started\n"
      "5 s: Dewey has finished\n6 s: Huey has finished\n7 s: Louie has finished\n7 s: race over\n";
  return r.story().starts_with(expected) && r.all_went_home_at_once() ? 0 : 1;
}
