// process_squares: one process makes numbers, one squares them, main reads the squares to their end: two channels.
// Teaches: an end of a process_channel is given away to the process that uses it, so it has one owner. When that ends,
// the other side sees the end: nobody has to close what others hold. (In the book everybody must, or all wait.)
#include <tutti/process/process.hpp>
#include <tutti/process/process_channel.hpp>
#include <tutti/tutti.hpp>

#include <iostream>
#include <utility>
#include <vector>

namespace process_squares {

using in = tutti::process_reader<int>;
using out = tutti::process_writer<int>;

void numbers(out to) {
  for (int i = 0; i < 10; ++i) to.send(i);
}
void squares(in from, out to) {
  for (const int n : from) to.send(n * n);
}

}  // namespace process_squares

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  auto [items, to_items] = tutti::process_channel<int>::simplex();
  auto [results, to_results] = tutti::process_channel<int>::simplex();
  const tutti::process maker(tutti::fn<process_squares::numbers>, std::move(to_items));
  const tutti::process squarer(tutti::fn<process_squares::squares>, std::move(items), std::move(to_results));

  std::vector<int> received;
  for (const int square : results) {
    std::cout << square << '\n';
    received.push_back(square);
  }
  std::cout << "End\n";
  return received == std::vector<int>{0, 1, 4, 9, 16, 25, 36, 49, 64, 81} ? 0 : 1;
}
