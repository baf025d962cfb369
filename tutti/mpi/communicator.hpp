// communicator: ranks that can reach each other, and this one among them.
#pragma once
#include <tutti/mpi/collectives.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tutti::mpi {

/// A handle to a group of ranks with messages of their own: what is sent in one communicator is received in it. Point
/// to point: point_to_point.hpp; what all ranks do together: collectives.hpp. Copies are handles to the same one. The
/// last handle must be gone before or with the environment, on all ranks; afterwards calls throw std::logic_error.
/// Thread-safe with thread_level::multiple, but for collectives: one at a time per communicator, all ranks in the same
/// order.
class communicator : public collectives {
 public:
  /// A new communicator of the same ranks, whose messages do not meet those of this one. Collective.
  [[nodiscard]] communicator dup(std::string_view name = {}, place here = place::current()) const;
  /// One communicator for each `color`, its ranks ordered by `key`, then by their rank here. No color: this rank is in
  /// none, and gets nothing. Collective.
  [[nodiscard]] std::optional<communicator> split(std::optional<int> color, int key = 0,
                                                  place here = place::current()) const;
  /// One communicator for each machine: of ranks that can share memory. Collective.
  [[nodiscard]] communicator split_shared(place here = place::current()) const;
  /// A communicator of these ranks, in this order; nothing for ranks that are not among them. Collective: all ranks
  /// give the same list. Throws mpi::error for ranks out of range or given twice.
  [[nodiscard]] std::optional<communicator> group(std::span<const int> ranks, place here = place::current()) const;

 protected:
  friend struct detail::access;
  using collectives::collectives;
};

namespace detail {
// How the library makes handles, and reaches what is behind them.
struct access {
  static communicator make(std::shared_ptr<comm_state> state) { return communicator(std::move(state)); }
  static const std::shared_ptr<comm_state>& state(const comm_handle& of) noexcept { return of.state_; }
};
}  // namespace detail

}  // namespace tutti::mpi
