// rank_launcher: the program that starts ranks on this machine: Open MPI's mpirun, MPICH's, or srun, and how each
// wants to be told.
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::app {

enum class launcher_kind { open_mpi, mpich, slurm };

struct rank_launcher {
  launcher_kind kind = launcher_kind::open_mpi;
  std::string path;  ///< of its program
};

/// A host, and how many ranks it may have.
struct rank_host {
  std::string name;
  int ranks = 1;
};

/// What is to be run.
struct rank_job {
  int ranks = 1;
  std::vector<rank_host> hosts = {};        ///< empty: here
  bool keep_going = false;                  ///< when a rank dies
  std::vector<std::string> variables = {};  ///< names of environment variables that all ranks must have
};

/// Nothing here can start ranks; what() says how to get it.
struct no_launcher : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "a:4,b" as hosts; without a number one rank. Throws std::invalid_argument, which names what is wrong.
std::vector<rank_host> parse_hosts(std::string_view text);

/// srun in a Slurm allocation (SLURM_JOB_ID) where PATH has one, else `wanted`, or mpirun where that is empty, which is
/// asked whose it is. Throws no_launcher.
rank_launcher find_rank_launcher(std::string_view wanted = {});

/// The command line, up to where the rank's program begins.
std::vector<std::string> launcher_words(const rank_launcher& launcher, const rank_job& job);

/// The names of our TUTTI_ variables.
std::vector<std::string> tutti_variables();

/// Whether the launcher says nothing in `words`, one of its lines, that our own line on a rank that failed does not say
/// better. For lines outside a frame of dashes.
bool is_frame_line(std::string_view words);

/// The same of the lines within a frame, or of one line that stands alone.
bool tells_of_failed_rank(std::string_view words);

}  // namespace tutti::app
