// tutti: the command line.
#include <apps/tutti/command_line.hpp>
#include <tutti/base/init.hpp>

#include <unistd.h>

#include <iostream>

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  return tutti::app::run_command(argc, argv, std::cout, std::cerr, ::isatty(STDERR_FILENO) == 1);
}
