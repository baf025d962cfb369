#include "python.hpp"

#include <unistd.h>

#include <cstdlib>

namespace bench {

std::string source_folder() {
  if (const char* set = std::getenv("TUTTI_BENCH_DIR")) return set;
  return TUTTI_BENCH_SOURCES;
}

std::string python_interpreter() {
  // Debian's own before another in PATH: it is built with all optimisations and sees Debian's packages. Python starts
  // its children by the name that it was given itself.
  return access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
}

// Isolated, and no caches beside the sources.
python::python() : line_child({python_interpreter(), "-IB", source_folder() + "/harness/peer.py"}) {}

}  // namespace bench
