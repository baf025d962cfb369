#include <tutti/process/message_forms.hpp>

#include <tutti/process/process_futex.hpp>

#include <algorithm>
#include <cstring>

namespace tutti::detail {
namespace {

constinit thread_local giving* open_giving = nullptr;
thread_local std::string spare_bytes;
thread_local byte_buffer spare_room;

}  // namespace

message_wait message_wait::within(std::chrono::nanoseconds limit, const char* what, const place& here) noexcept {
  if (limit <= std::chrono::nanoseconds::zero()) return never(what, here);
  const auto until = machine_time_after(limit);
  if (until == clock::time_point::max()) return endless(what, here);
  return {what, here, false, until};
}

message_wait message_wait::at_most(std::chrono::nanoseconds limit) const noexcept {
  message_wait result = *this;
  const auto until_then = machine_time_after(limit);
  result.until = until ? std::min(*until, until_then) : until_then;
  return result;
}

std::chrono::nanoseconds message_wait::left() const noexcept {
  if (waits_not) return std::chrono::nanoseconds::zero();
  if (!until) return std::chrono::nanoseconds::max();
  return std::max(std::chrono::nanoseconds::zero(), std::chrono::nanoseconds(*until - clock::now()));
}

void byte_buffer::reserve(std::size_t size, std::size_t kept) {
  if (size <= size_) return;
  auto bytes = std::make_unique_for_overwrite<char[]>(size);
  if (kept != 0) std::memcpy(bytes.get(), bytes_.get(), kept);
  bytes_ = std::move(bytes);
  size_ = size;
}

char* arrived_message::room(std::size_t size) {
  if (storage_.size() == 0) storage_ = std::move(spare_room);
  storage_.reserve(size);
  return storage_.data();
}

arrived_message::~arrived_message() {
  if (storage_.size() != 0 && storage_.size() <= byte_buffer::usual) spare_room = std::move(storage_);
}

giving::giving() noexcept : outer_(std::exchange(open_giving, this)) {}
giving::~giving() { open_giving = outer_; }

void giving::done() noexcept {
  for (giveable* one : given_) one->given();
}

void giving::encoded(giveable& given) {
  if (open_giving == nullptr) {
    given.given();
  } else {
    open_giving->given_.push_back(&given);
  }
}

encode_buffer::encode_buffer() noexcept : bytes(std::move(spare_bytes)) { bytes.clear(); }
encode_buffer::~encode_buffer() {
  if (bytes.capacity() <= byte_buffer::usual) spare_bytes = std::move(bytes);
}

}  // namespace tutti::detail
