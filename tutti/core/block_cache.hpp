// block_cache: memory for short-lived objects that one thread makes and another one frees, as tasks are.
//
// Each thread keeps freed blocks in lists of its own and uses them again; full lists go to a shared shelf and empty
// ones are filled from it, a batch at a time. malloc, whose blocks go home to the arena they came from, takes a lock
// for most of these instead (the idea is the magazine layer of Bonwick and Adams, USENIX 2001).
#pragma once
#include <cstddef>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TUTTI_BLOCK_CACHE 0  // so that the sanitizers see every object's own memory
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TUTTI_BLOCK_CACHE 0
#endif
#endif
#ifndef TUTTI_BLOCK_CACHE
#define TUTTI_BLOCK_CACHE 1
#endif

namespace tutti {

/// Gives and takes blocks of up to `largest` bytes; memory is kept for reuse, never returned to the system.
/// Thread-safe.
class block_cache {
 public:
  static constexpr std::size_t step = 64, classes = 8, largest = step * classes, batch = 64;

  static void* allocate(std::size_t size) {
    if (!TUTTI_BLOCK_CACHE || size > largest) return ::operator new(size);
    list& mine = lists[(size - 1) / step];
    if (mine.head == nullptr) [[unlikely]]
      refill(mine, (size - 1) / step);
    block* const taken = mine.head;
    mine.head = taken->next;
    --mine.count;
    return taken;
  }
  static void deallocate(void* memory, std::size_t size) noexcept {
    if (!TUTTI_BLOCK_CACHE || size > largest) return ::operator delete(memory, size);
    list& mine = lists[(size - 1) / step];
    if (mine.head == nullptr) [[unlikely]]
      flush_at_thread_end();
    mine.head = ::new (memory) block{mine.head};
    if (++mine.count == 2 * batch) [[unlikely]]
      put_back(mine, (size - 1) / step, batch);
  }

 private:
  struct block {
    block* next;
  };
  struct list {
    block* head;
    std::size_t count;
  };
  struct shelf;
  struct at_thread_end;

  static void flush_at_thread_end() noexcept;
  static void refill(list& mine, std::size_t size_class);
  static void put_back(list& mine, std::size_t size_class, std::size_t keep) noexcept;
  static shelf& the_shelf(std::size_t size_class) noexcept;

  static inline constinit thread_local list lists[classes]{};
};

/// Base of classes whose objects are made by `new` and live in the block cache.
struct pooled {
  static void* operator new(std::size_t size) { return block_cache::allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { block_cache::deallocate(memory, size); }
  static void* operator new(std::size_t size, std::align_val_t alignment) { return ::operator new(size, alignment); }
  static void operator delete(void* memory, std::size_t, std::align_val_t alignment) noexcept {
    ::operator delete(memory, alignment);
  }
};

}  // namespace tutti
