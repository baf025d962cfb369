#include <tutti/mpi/ordered.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace tutti::mpi {

void print_in_order(const communicator& ranks, std::string_view text, std::ostream& out, place here) {
  for (const std::string& one : ranks.gather(std::string(text), 0, here)) {
    out << one;
    if (!one.empty() && one.back() != '\n') out << '\n';
  }
  if (ranks.rank() == 0) out.flush();
}

ordered::ordered(communicator ranks, std::ostream& into, place here)
    : ranks_(std::move(ranks)), out_(into), here_(here), exceptions_(std::uncaught_exceptions()) {}

ordered::~ordered() {
  if (std::uncaught_exceptions() > exceptions_) return;
  try {
    print(here_);
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "tutti: %s\n", failed.what());
  }
}

void ordered::print(place here) {
  print_in_order(ranks_, view(), out_, here);
  str({});
}

}  // namespace tutti::mpi
