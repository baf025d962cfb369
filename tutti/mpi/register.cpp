// Makes this module's executor known to make_executor in every program that links it.
#include <tutti/core/make_executor.hpp>
#include <tutti/mpi/ranks_executor.hpp>

namespace tutti {
namespace {

std::unique_ptr<executor> make_ranks(std::string_view spec) {
  if (spec != "ranks")
    throw bad_spec("executor \"" + std::string(spec.substr(0, 80)) + "\": \"ranks\" takes no count; mpirun -n says it");
  return mpi::make_ranks_executor();
}

const bool registered = [] {
  register_executor({"ranks", "ranks", "tutti::mpi", "the ranks of an MPI program", make_ranks, nullptr});
  return true;
}();

}  // namespace
}  // namespace tutti
