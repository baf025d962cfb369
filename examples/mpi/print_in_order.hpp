// print_in_order: what all ranks have to say, in the order of ranks.
#pragma once
#include <tutti/mpi/mpi.hpp>

#include <iostream>
#include <string>

/// Rank 0 prints the texts of all ranks; what each prints for itself would come in any order. Collective.
inline void print_in_order(const tutti::mpi::communicator& ranks, const std::string& text) {
  for (const std::string& one : ranks.gather(text)) std::cout << one;
}
