// process_queue_items: a producer and a consumer, each a process, and a queue with room for three items between them.
// Teaches: send() waits for room, task_done() and join() tell the producer that all was used, close() tells consumers
// that there is no more. (The book's consumer asks empty() instead: it ends early, or never, when others are at work.)
#include <tutti/process/process.hpp>
#include <tutti/process/process_channel.hpp>
#include <tutti/process/process_queue.hpp>
#include <tutti/tutti.hpp>

#include <cstddef>
#include <iostream>
#include <utility>
#include <vector>

namespace process_queue_items {

using item_queue = tutti::process_queue<int>;
constexpr std::size_t room = 3;

// What happens, told to main: who sent or received what, and how many items waited at that moment.
struct event {
  bool produced = false;
  int item = 0;
  std::size_t waiting = 0;
};
using events = tutti::process_writer<event>;

void produce(item_queue queue, const std::vector<int>& items, events tell) {
  for (const int item : items) {
    queue.send(item);
    tell.send({true, item, queue.size()});
  }
  queue.join();
  queue.close();
}

void consume(item_queue queue, events tell) {
  for (const int item : queue) {
    tell.send({false, item, queue.size()});
    queue.task_done();
  }
}

// Prints the items and gives them, in order.
std::vector<int> all_of(tutti::process_reader<event>& from, bool& within_room) {
  std::vector<int> items;
  for (const event& e : from) {
    std::cout << (e.produced ? "  producer appended " : "  consumer popped ") << e.item << ", size " << e.waiting
              << '\n';
    items.push_back(e.item);
    within_room = within_room && e.waiting <= room;
  }
  return items;
}

}  // namespace process_queue_items

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  namespace pq = process_queue_items;
  const std::vector<int> made{79, 50, 33, 57, 227, 98, 64, 182, 206, 214};
  const pq::item_queue queue(pq::room);
  auto [appended, to_appended] = tutti::process_channel<pq::event>::simplex();
  auto [popped, to_popped] = tutti::process_channel<pq::event>::simplex();
  const tutti::process producer({.name = "producer"}, tutti::fn<pq::produce>, queue, made, std::move(to_appended));
  const tutti::process consumer({.name = "consumer"}, tutti::fn<pq::consume>, queue, std::move(to_popped));

  bool within_room = true;
  const bool right = pq::all_of(appended, within_room) == made && pq::all_of(popped, within_room) == made;
  std::cout << "the queue is " << (queue.empty() ? "empty" : "not empty")
            << (queue.is_closed() ? " and closed\n" : "\n");
  return right && within_room && queue.empty() && queue.is_closed() ? 0 : 1;
}
