// tutti's locks and signals, for threads.
#include <tutti/sync/barrier.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/sync/recursive_mutex.hpp>
#include <tutti/sync/semaphore.hpp>
#include <tutti/sync/shared_mutex.hpp>

#include <shared_mutex>

#include "loops.hpp"

namespace bench::sync {

namespace {

using read_guard = std::shared_lock<tutti::shared_mutex>;

// A semaphore's verbs for an event that its waiter takes down.
class turn {
 public:
  explicit turn(int) {}
  void release() { event_.set(); }
  void acquire() { event_.wait(); }

 private:
  tutti::event event_{tutti::event_reset::automatic};
};

}  // namespace

offers of_tutti() {
  return {
      {what::mutex, "tutti", lock_and_unlock<tutti::mutex>},
      {what::recursive, "tutti", lock_and_unlock<tutti::recursive_mutex>},
      {what::exclusive, "tutti", lock_and_unlock<tutti::shared_mutex>},
      {what::shared, "tutti", lock_and_unlock<tutti::shared_mutex, read_guard>},
      {what::contended, "tutti", contend<tutti::mutex>},
      {what::readers, "tutti", read_and_write<tutti::shared_mutex, std::lock_guard<tutti::shared_mutex>, read_guard>},
      {what::semaphore, "tutti", acquire_and_release<tutti::semaphore>},
      {what::semaphore_turns, "tutti", take_turns<tutti::semaphore>},
      {what::event, "tutti", set_and_wait<tutti::event>},
      {what::event_turns, "tutti", take_turns<turn>},
      {what::barrier, "tutti", meet<tutti::barrier>},
      {what::mutex_size, "tutti", size_of<tutti::mutex>},
      {what::shared_size, "tutti", size_of<tutti::shared_mutex>}};
}

}  // namespace bench::sync
