#include <tutti/mpi/inside/native_handle.hpp>

#include <tutti/mpi/inside/end_of_mpi.hpp>

#include <array>
#include <map>
#include <mutex>

namespace tutti::mpi::detail {
namespace {

std::string begin_of(const comm_state& where, const char* call) {
  return std::string("mpi::") + call + " on rank " + std::to_string(where.rank) + " of " + where.name;
}

[[noreturn]] void refuse_rank(const comm_state& where, int rank, const char* call, const char* who, const place& here) {
  check_alive(where, call, here);
  refuse(MPI_ERR_RANK, where, call,
         std::string(": ") + who + ' ' + std::to_string(rank) + " is not one of 0 to " + std::to_string(where.size - 1),
         here);
}

}  // namespace

void fail(int code, const comm_state& where, const char* call, const std::string& detail, const place& here) {
  std::array<char, MPI_MAX_ERROR_STRING + 1> text{};
  int length = 0;
  int error_class = code;
  MPI_Error_string(code, text.data(), &length);
  MPI_Error_class(code, &error_class);
  throw error(begin_of(where, call) + detail + ": " + text.data() + " (" + to_string(here) + ")", error_class);
}

void refuse(int error_class, const comm_state& where, const char* call, const std::string& detail, const place& here) {
  throw error(begin_of(where, call) + detail + " (" + to_string(here) + ")", error_class);
}

int special_target(const comm_state& where, int to, const char* call, const place& here) {
  check_alive(where, call, here);
  if (to == no_rank) return MPI_PROC_NULL;
  refuse_rank(where, to, call, "to rank", here);
}

int special_source(const comm_state& where, int from, const char* call, const place& here) {
  check_alive(where, call, here);
  if (from == any_source) return MPI_ANY_SOURCE;
  if (from == no_rank) return MPI_PROC_NULL;
  refuse_rank(where, from, call, "from rank", here);
}

void check_root(const comm_state& where, int root, const char* call, const place& here) {
  if (static_cast<unsigned>(root) < static_cast<unsigned>(where.size)) return;
  refuse_rank(where, root, call, "root", here);
}

void byte_count::make_long(std::size_t bytes) {
  constexpr std::size_t block = std::size_t{1} << 24;
  const auto blocks = static_cast<int>(bytes / block);
  const auto rest = static_cast<int>(bytes % block);
  MPI_Datatype one = MPI_DATATYPE_NULL;
  MPI_Datatype whole = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(static_cast<int>(block), MPI_BYTE, &one);
  MPI_Type_contiguous(blocks, one, &whole);
  std::array<int, 2> counts{1, rest};
  std::array<MPI_Aint, 2> at{0, static_cast<MPI_Aint>(bytes - static_cast<std::size_t>(rest))};
  std::array<MPI_Datatype, 2> types{whole, MPI_BYTE};
  MPI_Type_create_struct(2, counts.data(), at.data(), types.data(), &type_);
  MPI_Type_commit(&type_);
  MPI_Type_free(&whole);
  MPI_Type_free(&one);
  count_ = 1;
}

MPI_Datatype type_of(element what) {
  switch (what.is) {
    case kind::boolean: return MPI_C_BOOL;
    case kind::int8: return MPI_INT8_T;
    case kind::int16: return MPI_INT16_T;
    case kind::int32: return MPI_INT32_T;
    case kind::int64: return MPI_INT64_T;
    case kind::uint8: return MPI_UINT8_T;
    case kind::uint16: return MPI_UINT16_T;
    case kind::uint32: return MPI_UINT32_T;
    case kind::uint64: return MPI_UINT64_T;
    case kind::float32: return MPI_FLOAT;
    case kind::float64: return MPI_DOUBLE;
    case kind::complex64: return MPI_C_FLOAT_COMPLEX;
    case kind::complex128: return MPI_C_DOUBLE_COMPLEX;
    case kind::other: break;
  }
  if (what.size == 1) return MPI_BYTE;
  static std::mutex mutex;
  static std::map<std::uint32_t, MPI_Datatype>& made = *new std::map<std::uint32_t, MPI_Datatype>;
  const std::lock_guard lock(mutex);
  const auto found = made.find(what.size);
  if (found != made.end()) return found->second;
  MPI_Datatype type = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(static_cast<int>(what.size), MPI_BYTE, &type);
  MPI_Type_commit(&type);
  return made.emplace(what.size, type).first->second;
}

}  // namespace tutti::mpi::detail
