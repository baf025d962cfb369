// comm_handle: which rank of how many this is, in one communicator.
#pragma once
#include <tutti/mpi/comm_state.hpp>

#include <memory>
#include <string>
#include <utility>

namespace tutti::mpi {

class comm_handle;
namespace detail {
struct access;
comm_state& state_of(const comm_handle& of) noexcept;
}  // namespace detail

/// The part of a communicator that says who is who.
class comm_handle {
 public:
  /// This rank, 0 to size() - 1.
  [[nodiscard]] int rank() const noexcept { return state_->rank; }
  /// How many ranks there are.
  [[nodiscard]] int size() const noexcept { return state_->size; }
  /// For errors and reports: "world", "world.split(1)".
  [[nodiscard]] const std::string& name() const noexcept { return state_->name; }
  /// Whether both are handles to one communicator.
  friend bool operator==(const comm_handle& a, const comm_handle& b) noexcept { return a.state_ == b.state_; }

 protected:
  friend struct detail::access;
  friend detail::comm_state& detail::state_of(const comm_handle& of) noexcept;
  explicit comm_handle(std::shared_ptr<detail::comm_state> state) noexcept : state_(std::move(state)) {}
  [[nodiscard]] detail::comm_state& state() const noexcept { return *state_; }

 private:
  std::shared_ptr<detail::comm_state> state_;
};

namespace detail {
inline comm_state& state_of(const comm_handle& of) noexcept { return of.state(); }
}  // namespace detail

}  // namespace tutti::mpi
