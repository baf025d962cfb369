// tutti's channel between threads, as an object that all use, or through ends.
#include <tutti/channel/channels.hpp>

#include "loops.hpp"

namespace bench::channel {

namespace {

class queue {
 public:
  explicit queue(std::size_t capacity = 0) : channel_(static_cast<std::ptrdiff_t>(capacity)) {}
  void send(std::uint64_t value) { channel_.send(value); }
  std::uint64_t receive() { return channel_.receive(); }

 private:
  tutti::channel<std::uint64_t> channel_;
};

// Each end belongs to the thread that uses it.
class queue_with_ends {
 public:
  explicit queue_with_ends(std::size_t capacity)
      : ends_(tutti::make_channel<std::uint64_t>(static_cast<std::ptrdiff_t>(capacity))) {}
  tutti::writer<std::uint64_t> writer() { return std::move(ends_.first); }
  tutti::reader<std::uint64_t> reader() { return std::move(ends_.second); }

 private:
  std::pair<tutti::writer<std::uint64_t>, tutti::reader<std::uint64_t>> ends_;
};

double run(const traffic& t, std::size_t count) {
  return t.by == sides::ends ? run_stream<queue_with_ends>(t, count) : run_stream<shared_by_all<queue>>(t, count);
}

}  // namespace

streams of_tutti() {
  return {{"tutti", [](const traffic& t) { return t.by != sides::coroutines; }, run}};
}

double tutti_commstime(std::size_t count, placement where) { return run_commstime<queue>(count, where); }

void tutti_idle(std::size_t count, std::size_t capacity, const std::function<void()>& made) {
  hold_idle<queue>(count, made, capacity);
}

}  // namespace bench::channel
