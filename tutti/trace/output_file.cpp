// output_file: plain POSIX underneath, as its errors have reasons.
#include <tutti/trace/output_file.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace tutti::detail {

output_file::output_file(const std::filesystem::path& file)
    : name_(file.string()),
      file_(::open(name_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666)),
      buffer_(file_.get()),
      stream_(&buffer_) {
  if (file_.get() < 0) fail(errno);
}

void output_file::fail(int error) const {
  throw std::system_error(error, std::generic_category(), "the timeline cannot be written to \"" + name_ + '"');
}

std::ostream& output_file::begin() noexcept {
  [[maybe_unused]] const int emptied = ::ftruncate(file_.get(), 0);  // pipes and devices have nothing to empty
  return stream_;
}

void output_file::finish() {
  stream_.flush();
  if (buffer_.error() != 0) fail(buffer_.error());
  if (::close(file_.release()) != 0) fail(errno);  // some file systems say only now that there was no room
}

int output_file::buffer::sync() {
  const char* at = pbase();
  while (at != pptr() && error_ == 0) {
    const ::ssize_t written = ::write(file_, at, static_cast<std::size_t>(pptr() - at));
    if (written >= 0) {
      at += written;
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  setp(bytes_.data(), bytes_.data() + bytes_.size());
  return error_ == 0 ? 0 : -1;
}

output_file::buffer::int_type output_file::buffer::overflow(int_type next) {
  if (sync() != 0) return traits_type::eof();
  if (traits_type::eq_int_type(next, traits_type::eof())) return traits_type::not_eof(next);
  return sputc(traits_type::to_char_type(next));
}

}  // namespace tutti::detail
