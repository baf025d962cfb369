#include <tutti/mpi/rank_pool.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/pool_core.hpp>
#include <tutti/mpi/inside/pool_worker.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace tutti::mpi {
namespace {

using host_name = std::array<char, 256>;

// Collective.
bool are_on_one_machine(const detail::comm_state& members) {
  host_name mine{};
  ::gethostname(mine.data(), mine.size() - 1);
  std::vector<host_name> all(static_cast<std::size_t>(members.size));
  const int size = static_cast<int>(mine.size());
  detail::check(MPI_Allgather(mine.data(), size, MPI_BYTE, all.data(), size, MPI_BYTE, detail::comm_of(members)),
                members, "rank_pool", place::current());
  return std::ranges::all_of(all, [&](const host_name& one) { return one == mine; });
}

}  // namespace

rank_pool::rank_pool() : rank_pool(world()) {}

rank_pool::rank_pool(const communicator& members) : rank_(members.rank()) {
  const detail::comm_state& state = *detail::access::state(members);
  detail::check_alive(state, "rank_pool", place::current());
  detail::enter(state, "rank_pool", place::current());
  if (members.size() == 1) {
    alone_ = std::make_unique<thread_pool>(1);
    return;
  }
  const bool one_machine = are_on_one_machine(state);
  detail::open_doors doors;
  if (is_caller()) doors = detail::open_meeting_place(one_machine);
  detail::check(MPI_Bcast(&doors.place, sizeof doors.place, MPI_BYTE, 0, detail::comm_of(state)), state, "rank_pool",
                place::current());
  if (is_caller()) {
    core_ = std::make_shared<detail::pool_core>("rank_pool over " + members.name(),
                                                detail::meet_workers(doors, members.size() - 1));
    core_->open();
  } else {
    detail::serve_rank_pool(detail::meet_caller(doors.place, rank_, processor_name()));
  }
}

rank_pool::rank_pool(std::uint64_t id, const rank_pool& other)
    : executor(id), rank_(other.rank_), core_(other.core_), alone_(other.alone_ ? other.alone_->share() : nullptr) {
  if (core_ != nullptr) core_->retain_handle();
}

rank_pool::~rank_pool() {
  if (core_ != nullptr) core_->release_handle();
}

int rank_pool::concurrency() const { return core_ != nullptr ? std::max(core_->workers(), 1) : 1; }

void rank_pool::shutdown(shutdown_mode mode) {
  if (core_ != nullptr) core_->shutdown(mode);
  if (alone_ != nullptr) alone_->shutdown(mode);
}

std::unique_ptr<executor> rank_pool::share() { return std::unique_ptr<executor>(new rank_pool(id(), *this)); }

bool rank_pool::has_lost_any() const noexcept { return core_ != nullptr && core_->has_lost_any(); }

void rank_pool::start(call work) {
  if (core_ != nullptr) return core_->start(std::move(work));
  if (alone_ != nullptr) return executor_access::start(*alone_, std::move(work));
  throw closed("rank_pool on rank " + std::to_string(rank_) + ": only rank 0 submits, and the pool is over here");
}

}  // namespace tutti::mpi
