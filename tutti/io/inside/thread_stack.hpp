// thread_stack: where another thread is.
#pragma once
#include <tutti/core/run_loop.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace tutti::io::detail {

/// While one lives, threads can be asked: a handler for a real-time signal is installed. Thread-safe.
class stack_asker {
 public:
  stack_asker();
  ~stack_asker();
  stack_asker(const stack_asker&) = delete;
  stack_asker& operator=(const stack_asker&) = delete;
};

struct thread_stack {
  const char* task = nullptr;  ///< the innermost task's name, null in none
  std::vector<void*> frames;   ///< return addresses, the innermost first, without those of the handler
};

/// How it went.
enum class asked : std::uint8_t {
  answered,
  went_on,   ///< it is in another call of the loop by now, or in none
  no_answer  ///< the system does not let it run the handler now, or there is none
};

/// Asks the thread that drives the loop of `poller`, unless it is no more in its call number `turn`. The poller must
/// live meanwhile. Blocks for a fifth of a second at most.
asked ask_stack(const tutti::detail::loop_poller& poller, std::uint64_t turn, thread_stack& answer);

}  // namespace tutti::io::detail
