// native_handle: <mpi.h>, its handles as numbers, which our headers hold, and its error codes as exceptions.
#pragma once
#define OMPI_SKIP_MPICXX 1  // the C++ bindings that were removed from the standard
#define MPICH_SKIP_MPICXX 1
#include <tutti/base/place.hpp>
#include <tutti/mpi/comm_state.hpp>
#include <tutti/mpi/element.hpp>
#include <tutti/mpi/error.hpp>
#include <tutti/mpi/status.hpp>

#include <mpi.h>

#include <cstring>
#include <limits>
#include <string>

namespace tutti::mpi::detail {

inline MPI_Comm comm_of(const comm_state& state) noexcept { return handle_of<MPI_Comm>(state.handle); }

/// Throws mpi::error: `code` is what MPI returned, `detail` what was tried, as ": to rank 9 of 0 to 3, tag 1".
[[noreturn]] void fail(int code, const comm_state& where, const char* call, const std::string& detail,
                       const place& here);
/// The same for what MPI was not even asked.
[[noreturn]] void refuse(int error_class, const comm_state& where, const char* call, const std::string& detail,
                         const place& here);
inline void check(int code, const comm_state& where, const char* call, const place& here) {
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, where, call, "", here);
}

/// The rank for MPI: in range, or one of the special ones. Throws mpi::error otherwise.
int special_target(const comm_state& where, int to, const char* call, const place& here);
inline int target_of(const comm_state& where, int to, const char* call, const place& here) {
  if (static_cast<unsigned>(to) < static_cast<unsigned>(where.size)) [[likely]]
    return to;
  return special_target(where, to, call, here);
}
int special_source(const comm_state& where, int from, const char* call, const place& here);
inline int source_of(const comm_state& where, int from, const char* call, const place& here) {
  if (static_cast<unsigned>(from) < static_cast<unsigned>(where.size)) [[likely]]
    return from;
  return special_source(where, from, call, here);
}
void check_root(const comm_state& where, int root, const char* call, const place& here);

inline status status_of(const MPI_Status& from) noexcept {
  static_assert(any_tag == MPI_ANY_TAG);
#ifdef OPEN_MPI
  const std::size_t bytes = from._ucount;  // asking for it costs a tenth of a short message
#else
  MPI_Count bytes = 0;
  MPI_Get_elements_x(&from, MPI_BYTE, &bytes);
#endif
  return {.source = from.MPI_SOURCE < 0 ? no_rank : from.MPI_SOURCE,
          .tag = from.MPI_TAG,
          .bytes = static_cast<std::size_t>(bytes)};
}

/// So many bytes as a count and a type: MPI counts in int, so what is longer than that is of a type of its own.
class byte_count {
 public:
  explicit byte_count(std::size_t bytes) {
    if (bytes <= static_cast<std::size_t>(std::numeric_limits<int>::max())) [[likely]] {
      count_ = static_cast<int>(bytes);
    } else {
      make_long(bytes);
    }
  }
  ~byte_count() {
    if (type_ != MPI_BYTE) [[unlikely]]
      MPI_Type_free(&type_);
  }
  byte_count(const byte_count&) = delete;
  byte_count& operator=(const byte_count&) = delete;
  [[nodiscard]] int count() const noexcept { return count_; }
  [[nodiscard]] MPI_Datatype type() const noexcept { return type_; }

 private:
  void make_long(std::size_t bytes);
  int count_ = 1;
  MPI_Datatype type_ = MPI_BYTE;
};

/// The type for reductions, and for counts of elements: MPI's own, or so many bytes. Lives until the end of MPI.
MPI_Datatype type_of(element what);

}  // namespace tutti::mpi::detail
