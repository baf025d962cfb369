// tutti: the command line.
#include <apps/tutti/command_line.hpp>
#include <apps/tutti/rank_keeper.hpp>
#include <tutti/base/init.hpp>

#include <unistd.h>

#include <iostream>

int main(int argc, char** argv) {
  if (tutti::app::is_rank_keeper(argc, argv)) return tutti::app::keep_rank(argc, argv);
  tutti::init(argc, argv);
  return tutti::app::run_command(argc, argv, std::cout, std::cerr, ::isatty(STDERR_FILENO) == 1);
}
