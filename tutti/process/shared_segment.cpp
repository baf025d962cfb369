#include <tutti/process/shared_segment.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/cpu.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

namespace tutti::detail {
namespace {

// At the front of each segment; never changes once others see it.
struct segment_header {
  std::uint64_t magic;
  std::uint64_t kind;
  std::uint64_t element;
  std::uint64_t alignment;
  std::uint64_t count;
  std::uint64_t bytes_each;
};
constexpr std::uint64_t magic = 0x3130'6d68'7374'7574;  // "tutshm01"; another number when the layout changes

// The header on a cache line of its own; the segment is page aligned, so what follows is aligned as asked.
std::size_t offset_of_body(std::size_t alignment) { return std::max(cpu::cache_line, alignment); }
static_assert(sizeof(segment_header) <= cpu::cache_line);

std::size_t bytes_of(const segment_form& form, std::size_t count, std::size_t bytes_each) {
  const std::size_t front = offset_of_body(form.alignment);
  if (count > (static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) - front) / bytes_each) {
    throw std::length_error(std::string(form.what) + ": " + std::to_string(count) + " elements of " +
                            std::to_string(bytes_each) + " bytes are more than memory can ever be");
  }
  return front + count * bytes_each;
}

}  // namespace

shared_segment::shared_segment(const segment_form& form, std::size_t count, std::size_t bytes_each)
    : memory_(std::make_shared<const shared_memory>(bytes_of(form, count, bytes_each), form.what)),
      body_(memory_->data() + offset_of_body(form.alignment)),
      count_(count) {
  const segment_header header{magic, form.kind, form.element, form.alignment, count, bytes_each};
  std::memcpy(memory_->data(), &header, sizeof header);
}

shared_segment::shared_segment(unique_fd fd, const segment_form& form, std::size_t bytes_each)
    : memory_(std::make_shared<const shared_memory>(std::move(fd), form.what)) {
  const std::size_t front = offset_of_body(form.alignment);
  segment_header header{};
  // A copy: another process could change it between a check and its use.
  if (memory_->size() >= front) std::memcpy(&header, memory_->data(), sizeof header);
  const std::size_t room = memory_->size() - std::min(front, memory_->size());
  if (header.magic != magic || header.kind != form.kind || header.element != form.element ||
      header.alignment != form.alignment || header.bytes_each != bytes_each || room % bytes_each != 0 ||
      room / bytes_each != header.count) {
    throw decode_error("not the memory of a " + std::string(form.what) + " with elements of " +
                       std::to_string(form.element) + " bytes: the types differ, or the programs do");
  }
  body_ = memory_->data() + front;
  count_ = header.count;
}

void shared_segment::throw_empty(const char* what) {
  throw std::logic_error(
      std::string(what) +
      ": used while it refers to nothing, as a default-constructed one does; make it with arguments, "
      "or take it from another process");
}

}  // namespace tutti::detail
