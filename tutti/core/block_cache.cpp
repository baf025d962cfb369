#include <tutti/core/block_cache.hpp>

#include <tutti/base/at_fork.hpp>

#include <tutti/core/small_mutex.hpp>

#include <array>
#include <mutex>
#include <vector>

namespace tutti {

// Batches of blocks of one size, linked through their first words.
struct block_cache::shelf {
  shelf() { held_at_fork(mutex); }
  small_mutex mutex;
  std::vector<list> batches;
};

block_cache::shelf& block_cache::the_shelf(std::size_t size_class) noexcept {
  return process_wide<std::array<shelf, classes>>()[size_class];
}

// Gives what a thread kept to the others when it ends.
struct block_cache::at_thread_end {
  ~at_thread_end() {
    for (std::size_t i = 0; i < classes; ++i) put_back(lists[i], i, 0);
  }
};

void block_cache::flush_at_thread_end() noexcept {
  thread_local const at_thread_end flush;
  static_cast<void>(flush);
}

void block_cache::refill(list& mine, std::size_t size_class) {
  flush_at_thread_end();
  {
    shelf& shared = the_shelf(size_class);
    const std::lock_guard lock(shared.mutex);
    if (!shared.batches.empty()) {
      mine = shared.batches.back();
      shared.batches.pop_back();
      return;
    }
  }
  const std::size_t size = (size_class + 1) * step;
  // Kept for ever, in pieces of a few pages, aligned so that objects do not share cache lines.
  auto* const memory = static_cast<std::byte*>(::operator new(size * batch, std::align_val_t(step)));
  for (std::size_t i = batch; i != 0; --i) mine.head = ::new (memory + (i - 1) * size) block{mine.head};
  mine.count = batch;
}

void block_cache::put_back(list& mine, std::size_t size_class, std::size_t keep) noexcept {
  while (mine.count > keep) {
    list given{mine.head, 0};
    block* last = mine.head;
    for (given.count = 1; given.count < batch && given.count < mine.count - keep; ++given.count) last = last->next;
    mine.head = last->next;
    mine.count -= given.count;
    last->next = nullptr;
    shelf& shared = the_shelf(size_class);
    const std::lock_guard lock(shared.mutex);
    try {
      shared.batches.push_back(given);
    } catch (const std::bad_alloc&) {  // no room to remember them: they stay unused
    }
  }
}

}  // namespace tutti
