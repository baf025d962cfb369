// Abseil: its mutex is one for readers and writers too. It has no semaphore, and its barrier serves one phase only.
#include <absl/synchronization/mutex.h>

#include "loops.hpp"

namespace bench::sync {

namespace {

// absl's guards take pointers.
template <class Guard>
struct by_reference : Guard {
  explicit by_reference(absl::Mutex& lock) : Guard(&lock) {}
};
using write_guard = by_reference<absl::WriterMutexLock>;
using read_guard = by_reference<absl::ReaderMutexLock>;
using guard = by_reference<absl::MutexLock>;

}  // namespace

offers of_absl() {
  return {{what::mutex, "absl::Mutex", lock_and_unlock<absl::Mutex, guard>},
          {what::exclusive, "absl::Mutex", lock_and_unlock<absl::Mutex, write_guard>},
          {what::shared, "absl::Mutex", lock_and_unlock<absl::Mutex, read_guard>},
          {what::contended, "absl::Mutex", contend<absl::Mutex, guard>},
          {what::readers, "absl::Mutex", read_and_write<absl::Mutex, write_guard, read_guard>},
          {what::mutex_size, "absl::Mutex", size_of<absl::Mutex>},
          {what::shared_size, "absl::Mutex", size_of<absl::Mutex>}};
}

}  // namespace bench::sync
