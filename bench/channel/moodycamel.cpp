// moodycamel's BlockingConcurrentQueue, which has no limit and so never lets a writer wait; with a token per thread.
#include <concurrentqueue/blockingconcurrentqueue.h>

#include "loops.hpp"

namespace bench::channel {

namespace {

using queue = moodycamel::BlockingConcurrentQueue<std::uint64_t>;

struct token_queue {
  struct writing {
    queue& to;
    moodycamel::ProducerToken token{to};
    void send(std::uint64_t value) { check(to.enqueue(token, value), "an element was refused"); }
  };
  struct reading {
    queue& from;
    moodycamel::ConsumerToken token{from};
    std::uint64_t receive() {
      std::uint64_t value;
      from.wait_dequeue(token, value);
      return value;
    }
  };

  explicit token_queue(std::size_t capacity) : all(capacity) {}
  writing writer() { return {all}; }
  reading reader() { return {all}; }

  queue all;
};

}  // namespace

streams of_moodycamel() {
  return {{"moodycamel BlockingConcurrentQueue",
           [](const traffic& t) { return t.by != sides::coroutines && t.capacity == no_limit; },
           run_stream<token_queue>}};
}

}  // namespace bench::channel
