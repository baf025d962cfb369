// python: a Python interpreter held ready beside the benchmark, so that Python peers take turns with the others.
#pragma once

#include <string>

#include "line_child.hpp"

namespace bench {

/// A `python3 peer.py` child: requests are a case of peer.py and its arguments, separated by blanks.
class python : public line_child {
 public:
  python();
};

/// The folder of the benchmarks' sources: where peer.py lives. TUTTI_BENCH_DIR overrides it.
std::string source_folder();

/// The interpreter to start, by path or by name.
std::string python_interpreter();

}  // namespace bench
