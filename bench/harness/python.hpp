// python: a Python interpreter held ready beside the benchmark, so that Python peers take turns with the others.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <string>
#include <vector>

namespace bench {

/// A `python3 peer.py` child that answers requests over pipes. It sleeps between requests.
class python {
 public:
  python();
  ~python();
  python(const python&) = delete;
  python& operator=(const python&) = delete;

  /// False when there is no python3 here; a message was printed.
  bool available() const noexcept { return pid_ > 0; }

  /// Sends `request` (a case of peer.py and its arguments, separated by blanks) and returns the numbers answered.
  /// Throws std::runtime_error with Python's message when the case failed.
  std::vector<double> ask(const std::string& request);

  pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = 0;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

/// The folder of the benchmarks' sources: where peer.py lives. TUTTI_BENCH_DIR overrides it.
std::string source_folder();

/// The interpreter to start, by path or by name.
std::string python_interpreter();

}  // namespace bench
