#include <tutti/mpi/point_to_point.hpp>

#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>
#include <tutti/mpi/value_request.hpp>

#include <string>
#include <utility>

namespace tutti::mpi::detail {
namespace {

std::string tag_text(int tag) { return ", tag " + (tag == any_tag ? "any" : std::to_string(tag)); }
std::string to_text(int to, int tag) { return ": to rank " + std::to_string(to) + ", tag " + std::to_string(tag); }
std::string from_text(int from, int tag) {
  return ": from rank " + (from == any_source ? "any" : std::to_string(from)) + tag_text(tag);
}

[[noreturn]] void fail_recv(int code, const comm_state& where, const memory& into, int from, int tag, const char* call,
                            const place& here) {
  int error_class = code;
  MPI_Error_class(code, &error_class);
  std::string text = from_text(from, tag);
  if (error_class == MPI_ERR_TRUNCATE) {
    text += ": the message is longer than the memory for it, " + std::to_string(into.bytes()) +
            " bytes; recv<T>() of a vector or string takes any length";
  }
  fail(code, where, call, text, here);
}

started begun(MPI_Request handle, const comm_state& where, const char* call, int peer, int tag, bool receives,
              const place& here) {
  return {.where = &where,
          .call = call,
          .file = here.file,
          .line = here.line,
          .peer = peer,
          .tag = tag,
          .receives = receives,
          .handle = number_of(handle)};
}

// Open MPI 4.1 writes behind the memory when a message of more than a few KiB is longer than that, as the C call does
// too. Who watches looks first.
status recv_found(const comm_state& where, const memory& into, int from, int tag, const char* call, const place& here) {
  found_message found = mprobe(where, from, tag, call, here);
  if (found.about.bytes <= into.bytes()) {
    mrecv(where, found, into.data, call, here);
    return found.about;
  }
  std::string dropped(found.about.bytes, '\0');
  mrecv(where, found, dropped.data(), call, here);
  refuse(MPI_ERR_TRUNCATE, where, call,
         from_text(found.about.source, found.about.tag) + ": the message has " + std::to_string(found.about.bytes) +
             " bytes, and the memory for it " + std::to_string(into.bytes()) +
             "; recv<T>() of a vector or string takes any length",
         here);
}

status recv_some(const comm_state& where, const memory& into, int from, int tag, const char* call, const place& here) {
  if (watching()) return recv_found(where, into, from, tag, call, here);
  enter(where, call, here);
  const int source = source_of(where, from, call, here);
  const byte_count length(into.bytes());
  MPI_Status native;
  int code = 0;
  {
    const watched_call waits(call, {.by = ended_by::message, .where = &where, .peer = from, .tag = tag}, here);
    code = MPI_Recv(into.data, length.count(), length.type(), source, tag, comm_of(where), &native);
  }
  if (code != MPI_SUCCESS) [[unlikely]]
    fail_recv(code, where, into, from, tag, call, here);
  const status came = status_of(native);
  note_received(where, came.source, came.tag);
  return came;
}

}  // namespace

// ---------------------------------------------------------------- the calls themselves

int send_at_once(const void* data, int bytes, int to, int tag, std::uintptr_t comm) noexcept {
  return MPI_Send(data, bytes, MPI_BYTE, to, tag, handle_of<MPI_Comm>(comm));
}

int recv_at_once(void* data, int bytes, int from, int tag, std::uintptr_t comm, status& came) noexcept {
  MPI_Status native;
  const int code = MPI_Recv(data, bytes, MPI_BYTE, from, tag, handle_of<MPI_Comm>(comm), &native);
  came = status_of(native);
  return code;
}

begun_at_once isend_at_once(const void* data, int bytes, int to, int tag, std::uintptr_t comm) noexcept {
  MPI_Request handle;
  const int code = MPI_Isend(data, bytes, MPI_BYTE, to, tag, handle_of<MPI_Comm>(comm), &handle);
  return {number_of(handle), code};
}

begun_at_once irecv_at_once(void* data, int bytes, int from, int tag, std::uintptr_t comm) noexcept {
  MPI_Request handle;
  const int code = MPI_Irecv(data, bytes, MPI_BYTE, from, tag, handle_of<MPI_Comm>(comm), &handle);
  return {number_of(handle), code};
}

void send_failed(int code, const comm_state& where, const char* call, int to, int tag, place here) {
  fail(code, where, call, to_text(to, tag), here);
}

void recv_failed(int code, const comm_state& where, memory into, int from, int tag, const char* call, place here) {
  fail_recv(code, where, into, from, tag, call, here);
}

// ---------------------------------------------------------------- with all that may belong to them

void send_slowly(const comm_state& where, const_memory what, int to, int tag, send_mode mode, place here) {
  const bool waits_for_receiver = mode == send_mode::synchronous;
  const char* const call = waits_for_receiver ? "ssend" : "send";
  enter(where, call, here);
  const int target = target_of(where, to, call, here);
  const byte_count length(what.bytes());
  note_sent(where, to, tag);
  const watched_call waits(call,
                           {.by = ended_by::receiver,
                            .where = &where,
                            .peer = to,
                            .tag = tag,
                            .standard = waits_for_receiver ? -1 : static_cast<std::int64_t>(what.bytes())},
                           here);
  const int code = (waits_for_receiver ? MPI_Ssend : MPI_Send)(what.data, length.count(), length.type(), target, tag,
                                                               comm_of(where));
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, where, call, to_text(to, tag), here);
}

begun_slowly isend_slowly(const comm_state& where, const_memory what, int to, int tag, send_mode mode, place here) {
  const bool waits_for_receiver = mode == send_mode::synchronous;
  const char* const call = waits_for_receiver ? "issend" : "isend";
  enter(where, call, here);
  const int target = target_of(where, to, call, here);
  const byte_count length(what.bytes());
  const std::uint64_t watched =
      begin_request({.by = ended_by::receiver,
                     .where = &where,
                     .peer = to,
                     .tag = tag,
                     .standard = waits_for_receiver ? -1 : static_cast<std::int64_t>(what.bytes()),
                     .call = call,
                     .begun = here});
  MPI_Request handle = MPI_REQUEST_NULL;
  const int code = (waits_for_receiver ? MPI_Issend : MPI_Isend)(what.data, length.count(), length.type(), target, tag,
                                                                 comm_of(where), &handle);
  if (code != MPI_SUCCESS) [[unlikely]] {
    end_request(watched);
    fail(code, where, call, to_text(to, tag), here);
  }
  return {number_of(handle), watched};
}

status recv_slowly(const comm_state& where, memory into, int from, int tag, const char* call, place here) {
  return recv_some(where, into, from, tag, call, here);
}

status recv_exactly(const comm_state& where, memory into, int from, int tag, const char* call, const place& here) {
  const status came = recv(where, into, from, tag, here, call);
  if (came.bytes != into.bytes() && came.source != no_rank) [[unlikely]]
    refuse_length(where, came, into.bytes(), "value", call, here);
  return came;
}

begun_slowly irecv_slowly(const comm_state& where, memory into, int from, int tag, place here) {
  enter(where, "irecv", here);
  const int source = source_of(where, from, "irecv", here);
  const byte_count length(into.bytes());
  const std::uint64_t watched = begin_request(
      {.by = ended_by::message, .where = &where, .peer = from, .tag = tag, .call = "irecv", .begun = here});
  MPI_Request handle = MPI_REQUEST_NULL;
  const int code = MPI_Irecv(into.data, length.count(), length.type(), source, tag, comm_of(where), &handle);
  if (code != MPI_SUCCESS) [[unlikely]] {
    end_request(watched);
    fail(code, where, "irecv", from_text(from, tag), here);
  }
  return {number_of(handle), watched};
}

status sendrecv(const comm_state& where, const_memory out, int to, int send_tag, memory in, int from, int recv_tag,
                const place& here) {
  enter(where, "sendrecv", here);
  const int target = target_of(where, to, "sendrecv", here);
  const int source = source_of(where, from, "sendrecv", here);
  const byte_count out_length(out.bytes());
  const byte_count in_length(in.bytes());
  MPI_Status native;
  int code = 0;
  note_sent(where, to, send_tag);
  {
    const awaited both[] = {{.by = ended_by::receiver,
                             .where = &where,
                             .peer = to,
                             .tag = send_tag,
                             .standard = static_cast<std::int64_t>(out.bytes())},
                            {.by = ended_by::message, .where = &where, .peer = from, .tag = recv_tag}};
    const watched_call waits("sendrecv", both, 2, true, here);
    code = MPI_Sendrecv(out.data, out_length.count(), out_length.type(), target, send_tag, in.data, in_length.count(),
                        in_length.type(), source, recv_tag, comm_of(where), &native);
  }
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, where, "sendrecv", to_text(to, send_tag) + ";" + from_text(from, recv_tag).substr(1), here);
  const status came = status_of(native);
  note_received(where, came.source, came.tag);
  return came;
}

status probe(const comm_state& where, int from, int tag, const place& here) {
  enter(where, "probe", here);
  const int source = source_of(where, from, "probe", here);
  MPI_Status native;
  const watched_call waits("probe",
                           {.by = ended_by::message, .where = &where, .peer = from, .tag = tag, .probes = true}, here);
  const int code = MPI_Probe(source, tag, comm_of(where), &native);
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, where, "probe", from_text(from, tag), here);
  return status_of(native);
}

std::optional<status> iprobe(const comm_state& where, int from, int tag, const place& here) {
  enter(where, "iprobe", here);
  const int source = source_of(where, from, "iprobe", here);
  MPI_Status native;
  int flag = 0;
  const int code = MPI_Iprobe(source, tag, comm_of(where), &flag, &native);
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, where, "iprobe", from_text(from, tag), here);
  return flag != 0 ? std::optional(status_of(native)) : std::nullopt;
}

started send_init(const comm_state& where, const_memory what, int to, int tag, const place& here) {
  enter(where, "send_init", here);
  const int target = target_of(where, to, "send_init", here);
  const byte_count length(what.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  const int code = MPI_Send_init(what.data, length.count(), length.type(), target, tag, comm_of(where), &handle);
  if (code != MPI_SUCCESS) fail(code, where, "send_init", to_text(to, tag), here);
  return begun(handle, where, "send_init", to, tag, false, here);
}

started recv_init(const comm_state& where, memory into, int from, int tag, const place& here) {
  enter(where, "recv_init", here);
  const int source = source_of(where, from, "recv_init", here);
  const byte_count length(into.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  const int code = MPI_Recv_init(into.data, length.count(), length.type(), source, tag, comm_of(where), &handle);
  if (code != MPI_SUCCESS) fail(code, where, "recv_init", from_text(from, tag), here);
  return begun(handle, where, "recv_init", from, tag, true, here);
}

// ---------------------------------------------------------------- messages of any length

void check_source(const comm_state& where, int from, const char* call, const place& here) {
  enter(where, call, here);
  static_cast<void>(source_of(where, from, call, here));
}

found_message mprobe(const comm_state& where, int from, int tag, const char* call, const place& here) {
  enter(where, call, here);
  const int source = source_of(where, from, call, here);
  MPI_Status native;
  MPI_Message found = MPI_MESSAGE_NULL;
  int code = 0;
  {
    const watched_call waits(call, {.by = ended_by::message, .where = &where, .peer = from, .tag = tag, .probes = true},
                             here);
    code = MPI_Mprobe(source, tag, comm_of(where), &found, &native);
  }
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, where, call, from_text(from, tag), here);
  return {.handle = number_of(found), .about = status_of(native)};
}

std::optional<found_message> improbe(const expected& what) {
  enter(*what.where, "irecv", what.here);
  const int source = source_of(*what.where, what.from, "irecv", what.here);
  MPI_Status native;
  MPI_Message found = MPI_MESSAGE_NULL;
  int flag = 0;
  const int code = MPI_Improbe(source, what.tag, comm_of(*what.where), &flag, &found, &native);
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, *what.where, "irecv", from_text(what.from, what.tag), what.here);
  if (flag == 0) return {};
  return found_message{.handle = number_of(found), .about = status_of(native)};
}

void mrecv(const comm_state& where, found_message& found, void* into, const char* call, const place& here) {
  const byte_count length(found.about.bytes);
  auto message = handle_of<MPI_Message>(found.handle);
  const watched_call comes(call, awaited{}, here);
  const int code = MPI_Mrecv(into, length.count(), length.type(), &message, MPI_STATUS_IGNORE);
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, where, call, from_text(found.about.source, found.about.tag), here);
  note_received(where, found.about.source, found.about.tag);
}

void refuse_bytes(const comm_state& where, const status& came, const decode_error& why, const char* call,
                  const place& here) {
  throw decode_error(std::string("mpi::") + call + " on rank " + std::to_string(where.rank) + " of " + where.name +
                         from_text(came.source, came.tag) + ": " + why.what() + " (" + to_string(here) + ")",
                     why.offset());
}

void refuse_length(const comm_state& where, const status& came, std::size_t unit, const char* type, const char* call,
                   const place& here) {
  refuse(MPI_ERR_TRUNCATE, where, call,
         from_text(came.source, came.tag) + ": a message of " + std::to_string(came.bytes) + " bytes is not " +
             (std::string_view(type) == "elements" ? "a whole number of elements of " : "a value of ") +
             std::to_string(unit) + " bytes",
         here);
}

}  // namespace tutti::mpi::detail
