// no_memory: a process in which nothing more can be allocated.
#pragma once
#include <sys/resource.h>

#include <cstddef>
#include <cstdlib>

namespace tutti_test {

/// From now on each `new` of this process throws; for a child with one thread, which is about to end. Exceptions have
/// some memory in reserve. Does not go with sanitizers, which need memory of their own.
inline void use_up_memory() {
  const ::rlimit none{0, 0};
  ::setrlimit(RLIMIT_AS, &none);
  void* volatile last = nullptr;  // or the compiler would allocate none of it
  const auto take_all_of = [&](std::size_t size) {
    do last = std::malloc(size);
    while (last != nullptr);
  };
  // What is left of the heap, down to the smallest pieces; each size has a store of its own.
  for (std::size_t size = std::size_t{1} << 20; size > 4096; size /= 2) take_all_of(size);
  for (std::size_t size = 4096; size > 0; size -= 8) take_all_of(size);
}

}  // namespace tutti_test
