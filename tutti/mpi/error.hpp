// error: what MPI refused, as an exception.
#pragma once
#include <tutti/base/error.hpp>

#include <string>

namespace tutti::mpi {

/// A call of MPI that failed, or would have. what() names the call, this rank, the communicator, the value that is
/// wrong, and the place of the call.
class error : public tutti::error {
 public:
  /// `code`: MPI's error class, such as MPI_ERR_TRUNCATE.
  error(const std::string& what, int code) : tutti::error(what), code_(code) {}
  /// MPI's error class.
  [[nodiscard]] int code() const noexcept { return code_; }

 private:
  int code_;
};

}  // namespace tutti::mpi
