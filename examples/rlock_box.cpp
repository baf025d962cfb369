// rlock_box: a box whose add and remove lock it, and call execute, which locks it as well.
// Teaches: a recursive_mutex lets its owner in again, and is free after as many unlocks. A mutex refuses that at once,
// with `deadlock`, instead of hanging. (A private execute that expects the lock to be held needs neither.)
#include <tutti/tutti.hpp>

#include <iostream>
#include <mutex>

namespace {

template <class Mutex>
class box {
 public:
  void execute(int n) {
    const std::lock_guard lock(mutex_);
    total_ += n;
  }
  void add() {
    const std::lock_guard lock(mutex_);
    execute(1);
  }
  void remove() {
    const std::lock_guard lock(mutex_);
    execute(-1);
  }
  int total() {
    const std::lock_guard lock(mutex_);
    return total_;
  }

 private:
  Mutex mutex_{"box"};
  int total_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  box<tutti::recursive_mutex> shared;
  tutti::thread adder("adder", [&] {
    for (int i = 0; i < 16'000; ++i) shared.add();
  });
  tutti::thread remover("remover", [&] {
    for (int i = 0; i < 1'000; ++i) shared.remove();
  });
  adder.join();
  remover.join();
  std::cout << "16000 added, 1000 removed: " << shared.total() << " in the box\n";

  bool refused = false;
  box<tutti::mutex> plain;
  try {
    plain.add();
  } catch (const tutti::deadlock& error) {
    std::cout << "with a plain mutex: " << error.what() << '\n';
    refused = plain.total() == 0;  // and not locked
  }
  return shared.total() == 15'000 && refused ? 0 : 1;
}
