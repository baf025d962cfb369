// ordered: what all ranks print, in the order of ranks.
#pragma once
#include <tutti/mpi/communicator.hpp>

#include <iostream>
#include <sstream>
#include <string_view>

namespace tutti::mpi {

/// Every rank's text appears on rank 0's `out`, its standard output if none is given, in the order of ranks; a text
/// that does not end its line has it ended, an empty one is nothing. Blocks until rank 0 has it. Collective. Throws
/// mpi::error.
void print_in_order(const communicator& ranks, std::string_view text, std::ostream& out = std::cout,
                    place here = place::current());

/// A stream for the same: what is written to it is printed when it is destroyed, by all ranks together. One that is
/// destroyed by an exception prints nothing, and waits for nobody.
class ordered : public std::ostringstream {
 public:
  explicit ordered(communicator ranks, std::ostream& into = std::cout, place here = place::current());
  ordered(const ordered&) = delete;
  ordered& operator=(const ordered&) = delete;
  ~ordered() override;

  /// Prints what was written so far. Collective. Throws mpi::error.
  void print(place here = place::current());

 private:
  communicator ranks_;
  std::ostream& out_;
  place here_;
  int exceptions_;
};

}  // namespace tutti::mpi
