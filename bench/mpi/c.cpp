// The C API.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <cstdlib>

#include "systems.hpp"

namespace bench::mpi {
namespace {

class c_system final : public system {
 public:
  c_system() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    other_ = 1 - rank_;
  }

  double ping_pong(std::size_t bytes, std::size_t count) override {
    char* const data = outgoing().data();
    const int size = static_cast<int>(bytes);
    return ns_per_round(count,
                        [&](std::size_t rounds) {
                          MPI_Status status;
                          for (std::size_t i = 0; i < rounds; ++i) {
                            if (rank_ == 0) MPI_Send(data, size, MPI_BYTE, other_, 0, MPI_COMM_WORLD);
                            MPI_Recv(data, size, MPI_BYTE, other_, 0, MPI_COMM_WORLD, &status);
                            if (rank_ == 1) MPI_Send(data, size, MPI_BYTE, other_, 0, MPI_COMM_WORLD);
                          }
                        }) /
           2;
  }

  double rate(std::size_t count) override {
    char* const data = outgoing().data();
    return ns_per_round(count,
                        [&](std::size_t rounds) {
                          MPI_Request requests[window];
                          for (std::size_t i = 0; i < rounds; ++i) {
                            if (rank_ == 0) {
                              for (std::size_t k = 0; k < window; ++k) {
                                MPI_Isend(data + 8 * k, 8, MPI_BYTE, other_, 0, MPI_COMM_WORLD, &requests[k]);
                              }
                              MPI_Waitall(window, requests, MPI_STATUSES_IGNORE);
                              MPI_Recv(data, 1, MPI_BYTE, other_, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                            } else {
                              for (std::size_t k = 0; k < window; ++k) {
                                MPI_Irecv(data + 8 * k, 8, MPI_BYTE, other_, 0, MPI_COMM_WORLD, &requests[k]);
                              }
                              MPI_Waitall(window, requests, MPI_STATUSES_IGNORE);
                              MPI_Send(data, 1, MPI_BYTE, other_, 1, MPI_COMM_WORLD);
                            }
                          }
                        }) /
           static_cast<double>(window);
  }

  double all(collective what, std::size_t bytes, std::size_t count) override {
    char* const out = outgoing().data();
    char* const in = incoming().data();
    const int size = static_cast<int>(bytes);
    return 1e-3 * ns_per_round(count, [&](std::size_t rounds) {
             for (std::size_t i = 0; i < rounds; ++i) {
               if (what == collective::bcast) {
                 MPI_Bcast(out, size, MPI_BYTE, static_cast<int>(i % 2), MPI_COMM_WORLD);
               } else if (what == collective::allreduce) {
                 MPI_Allreduce(out, in, size / 8, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
               } else {
                 MPI_Alltoall(out, size, MPI_BYTE, in, size, MPI_BYTE, MPI_COMM_WORLD);
               }
             }
           });
  }

  double structs(room where, std::size_t count) override {
    constexpr int size = particles * sizeof(particle);
    char* const out = outgoing().data();
    char* const in = incoming().data();
    return 1e-3 * ns_per_round(count, [&](std::size_t rounds) {
             for (std::size_t i = 0; i < rounds; ++i) {
               if (rank_ == 0) MPI_Send(out, size, MPI_BYTE, other_, 0, MPI_COMM_WORLD);
               if (where == room::known) {
                 MPI_Recv(in, size, MPI_BYTE, other_, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                 if (rank_ == 1) MPI_Send(in, size, MPI_BYTE, other_, 0, MPI_COMM_WORLD);
                 continue;
               }
               MPI_Message message;
               MPI_Status status;
               int bytes = 0;
               MPI_Mprobe(other_, 0, MPI_COMM_WORLD, &message, &status);
               MPI_Get_count(&status, MPI_BYTE, &bytes);
               if (where == room::vector) {
                 std::vector<particle> fresh(static_cast<std::size_t>(bytes) / sizeof(particle));
                 take_and_return(message, fresh.data(), bytes);
               } else {
                 void* const fresh = std::malloc(static_cast<std::size_t>(bytes));
                 take_and_return(message, fresh, bytes);
                 std::free(fresh);
               }
             }
           });
  }

  double overlap(way how, std::int64_t steps, std::size_t count) override {
    constexpr int size = static_cast<int>(overlapped);
    return 1e-6 * ns_per_round(count, [&](std::size_t rounds) {
             for (std::size_t i = 0; i < rounds; ++i) {
               MPI_Request both[2];
               MPI_Irecv(incoming().data(), size, MPI_BYTE, other_, 0, MPI_COMM_WORLD, &both[0]);
               MPI_Isend(outgoing().data(), size, MPI_BYTE, other_, 0, MPI_COMM_WORLD, &both[1]);
               if (how == way::plain) {
                 compute(steps);
               } else if (how == way::slices) {
                 for (int k = 0, done = 0; k < slices; ++k) {
                   compute(steps / slices);
                   if (done == 0) MPI_Testall(2, both, &done, MPI_STATUSES_IGNORE);
                 }
               }
               MPI_Waitall(2, both, MPI_STATUSES_IGNORE);
               if (how == way::after) compute(steps);
             }
           });
  }

 private:
  void take_and_return(MPI_Message& message, void* into, int bytes) const {
    MPI_Mrecv(into, bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE);
    if (rank_ == 1) MPI_Send(into, bytes, MPI_BYTE, other_, 0, MPI_COMM_WORLD);
  }

  int rank_ = 0, other_ = 0;
};

}  // namespace

void together() { MPI_Barrier(MPI_COMM_WORLD); }

std::unique_ptr<system> make_c() { return std::make_unique<c_system>(); }

}  // namespace bench::mpi
