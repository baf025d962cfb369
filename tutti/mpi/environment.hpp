// environment: from the beginning of MPI to its end.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/mpi/communicator.hpp>

#include <cstdint>
#include <string>

namespace tutti::mpi {

/// Which threads of a rank may call MPI. Names and order are the standard's.
enum class thread_level : std::uint8_t {
  single,      ///< there is only one
  funneled,    ///< the one that made the environment
  serialized,  ///< all, one at a time
  multiple,    ///< all, at any time; what awaiting requests outside mpi::run needs
};

/// How MPI is begun. Designated initialisers, in this order.
struct environment_options {
  /// `multiple` lets everything work. The lower levels save some 50 ns per message.
  thread_level threads = thread_level::multiple;
};

/// MPI is there while it lives: one per process, made first in main, by every rank. Its end waits for all ranks; when
/// it ends because of an exception, or one is caught by nobody, the other ranks would wait in vain, so the job is
/// ended, with a line that names this rank. Not for several threads at once.
class environment {
 public:
  /// Throws std::logic_error when there is, or was, one; mpi::error when MPI has fewer threads to offer than asked for.
  explicit environment(environment_options options = {}, place here = place::current());
  ~environment();
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

  /// Whether one lives.
  static bool is_on() noexcept;
  /// What this MPI was begun with. Throws std::logic_error when there is none.
  static thread_level threads();

 private:
  int exceptions_;
  place made_at_;  // for who watches
};

/// How the whole job ends when the watch (TUTTI_WATCH=deadlock) has found that some ranks wait for ever.
inline constexpr int deadlock_exit_code = 86;

/// All ranks of the job. Throws std::logic_error without an environment. Thread-safe.
communicator world(place here = place::current());
/// This rank alone.
communicator self(place here = place::current());
/// The name of this machine, as MPI has it.
std::string processor_name();
/// Seconds since some moment in the past; for differences.
double wtime();
/// Ends the job, all ranks, now, with this exit code; a line on standard error names this rank.
[[noreturn]] void abort(int exit_code);

}  // namespace tutti::mpi
