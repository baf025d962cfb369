// tutti: memory that is there, requests, collectives.
#include <tutti/mpi/mpi.hpp>

#include <array>
#include <span>
#include <vector>

#include "objects.hpp"
#include "systems.hpp"

namespace bench::mpi {
namespace {

class tutti_system final : public system {
 public:
  double ping_pong(std::size_t bytes, std::size_t count) override {
    const std::span<char> data = outgoing().first(bytes);
    return ns_per_round(count,
                        [&](std::size_t rounds) {
                          for (std::size_t i = 0; i < rounds; ++i) {
                            if (rank_ == 0) world_.send(data, other_, 0);
                            world_.recv_into(data, other_, 0);
                            if (rank_ == 1) world_.send(data, other_, 0);
                          }
                        }) /
           2;
  }

  double rate(std::size_t count) override {
    const std::span<char> data = outgoing();
    return ns_per_round(count,
                        [&](std::size_t rounds) {
                          std::array<tutti::mpi::request, window> requests;
                          for (std::size_t i = 0; i < rounds; ++i) {
                            if (rank_ == 0) {
                              for (std::size_t k = 0; k < window; ++k) {
                                requests[k] = world_.isend(data.subspan(8 * k, 8), other_, 0);
                              }
                              tutti::mpi::wait_all(requests);
                              world_.recv_into(data.first(1), other_, 1);
                            } else {
                              for (std::size_t k = 0; k < window; ++k) {
                                requests[k] = world_.irecv_into(data.subspan(8 * k, 8), other_, 0);
                              }
                              tutti::mpi::wait_all(requests);
                              world_.send(data.first(1), other_, 1);
                            }
                          }
                        }) /
           static_cast<double>(window);
  }

  double all(collective what, std::size_t bytes, std::size_t count) override {
    const std::span<char> out = outgoing();
    const std::span<char> in = incoming();
    const std::span<const double> terms(reinterpret_cast<const double*>(out.data()), bytes / 8);
    const std::span<double> sums(reinterpret_cast<double*>(in.data()), bytes / 8);
    return 1e-3 * ns_per_round(count, [&](std::size_t rounds) {
             for (std::size_t i = 0; i < rounds; ++i) {
               if (what == collective::bcast) {
                 world_.bcast_into(out.first(bytes), static_cast<int>(i % 2));
               } else if (what == collective::allreduce) {
                 world_.allreduce_into(terms, sums, tutti::mpi::sum);
               } else {
                 world_.alltoall_into(out.first(2 * bytes), in.first(2 * bytes));
               }
             }
           });
  }

  double structs(room where, std::size_t count) override {
    const std::vector<particle> out(particles);
    std::vector<particle> in(particles);
    return 1e-3 * ns_per_round(count, [&](std::size_t rounds) {
             for (std::size_t i = 0; i < rounds; ++i) {
               if (rank_ == 0) world_.send(out, other_, 0);
               if (where == room::known) {
                 world_.recv_into(in, other_, 0);
                 if (rank_ == 1) world_.send(in, other_, 0);
               } else {
                 const auto fresh = world_.recv<std::vector<particle>>(other_, 0);
                 if (rank_ == 1) world_.send(fresh, other_, 0);
               }
             }
           });
  }

  double overlap(way how, std::int64_t steps, std::size_t count) override {
    return 1e-6 * ns_per_round(count, [&](std::size_t rounds) {
             for (std::size_t i = 0; i < rounds; ++i) overlap_once(how, steps);
           });
  }

  double objects(std::string_view what, std::string_view type, std::size_t count) override {
    return object_figure(what, type, count);
  }

 private:
  void overlap_once(way how, std::int64_t steps) {
    std::array<tutti::mpi::request, 2> both = {world_.irecv_into(incoming().first(overlapped), other_, 0),
                                               world_.isend(outgoing().first(overlapped), other_, 0)};
    if (how == way::futures) {
      auto received = tutti::mpi::to_future(std::move(both[0]));
      auto sent = tutti::mpi::to_future(std::move(both[1]));
      compute(steps);
      received.get();
      sent.get();
      return;
    }
    if (how == way::plain) {
      compute(steps);
    } else if (how == way::slices) {
      for (int k = 0; k < slices; ++k) {
        compute(steps / slices);
        tutti::mpi::test_all(both);
      }
    }
    tutti::mpi::wait_all(both);
    if (how == way::after) compute(steps);
  }

  tutti::mpi::communicator world_ = tutti::mpi::world();
  int rank_ = world_.rank(), other_ = 1 - rank_;
};

}  // namespace

std::unique_ptr<system> make_tutti() { return std::make_unique<tutti_system>(); }

}  // namespace bench::mpi
