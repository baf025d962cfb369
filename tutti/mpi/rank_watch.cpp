#include <tutti/mpi/inside/rank_watch.hpp>

namespace tutti::mpi::detail {

void watched_call::begin(const char*, const awaited*, std::size_t, bool, const place&) noexcept {}
void watched_call::end() noexcept {}
void note_sent_watched(const comm_state&, int, int) noexcept {}
void note_received_watched(const comm_state&, int, int) noexcept {}
void check_collective_watched(comm_state&, const collective_signature&, const place&) {}
void start_watch() {}
void stop_watch() {}

}  // namespace tutti::mpi::detail
