// commstime: four processes in a ring count up, one number at a time: the benchmark of Occam and its heirs.
// Teaches: processes are coroutines, wires are channels without room: a send is over when its receive is. Each process
// holds its ends of the wires; when one ends, they go with it, and its neighbours learn it: the whole network ends.
//
//            +--> delta --> consumer
//   prefix --+      |
//     ^             v
//     +--------- successor
#include <tutti/tutti.hpp>

#include <iostream>
#include <optional>
#include <utility>

namespace {

using in = tutti::reader<long>;
using out = tutti::writer<long>;

struct tally {
  long sent = 0;  // numbers that went over a wire
};

tutti::task<> send(out& to, long number, tally& count) {
  co_await to.send_async(number);
  ++count.sent;
}

// Sends 0, then whatever comes.
tutti::task<> prefix(in from, out to, tally& count) try {
  co_await send(to, 0, count);
  while (const std::optional<long> number = co_await from.next_async()) co_await send(to, *number, count);
} catch (const tutti::closed&) {  // nobody listens any more
}

// Sends each number both ways.
tutti::task<> delta(in from, out to_consumer, out to_successor, tally& count) try {
  while (const std::optional<long> number = co_await from.next_async()) {
    co_await send(to_consumer, *number, count);
    co_await send(to_successor, *number, count);
  }
} catch (const tutti::closed&) {
}

tutti::task<> successor(in from, out to, tally& count) try {
  while (const std::optional<long> number = co_await from.next_async()) co_await send(to, *number + 1, count);
} catch (const tutti::closed&) {
}

// Takes `rounds` numbers; how many of them were right.
tutti::task<long> consume(in from, long rounds) {
  long right = 0;
  for (long expected = 0; expected < rounds; ++expected) {
    const long number = co_await from.receive_async();
    if (number == expected) ++right;
  }
  co_return right;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  constexpr long rounds = 20'000;
  tally count;
  auto [to_delta, at_delta] = tutti::make_channel<long>(0, "prefix to delta");
  auto [to_consumer, at_consumer] = tutti::make_channel<long>(0, "delta to consumer");
  auto [to_successor, at_successor] = tutti::make_channel<long>(0, "delta to successor");
  auto [to_prefix, at_prefix] = tutti::make_channel<long>(0, "successor to prefix");
  const auto results = tutti::sync_wait(
      tutti::when_all(consume(std::move(at_consumer), rounds), prefix(std::move(at_prefix), std::move(to_delta), count),
                      delta(std::move(at_delta), std::move(to_consumer), std::move(to_successor), count),
                      successor(std::move(at_successor), std::move(to_prefix), count)));
  const long right = std::get<0>(results);
  std::cout << right << " of " << rounds << " numbers right, " << count.sent << " communications\n";
  // Four for each number. The last one may end with the consumer, or go around once more before the news does.
  return right == rounds && count.sent >= 4 * rounds - 2 && count.sent <= 4 * rounds + 1 ? 0 : 1;
}
