// output_file: a file that says why it cannot be written.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <array>
#include <filesystem>
#include <ostream>
#include <streambuf>
#include <string>

namespace tutti::detail {

/// A file opened for writing, and a stream into it that is given to who writes. Not thread-safe.
class output_file {
 public:
  /// Opens or makes it; what is in it stays until begin(). Throws std::system_error that names file and reason.
  explicit output_file(const std::filesystem::path& file);

  /// Empties the file.
  std::ostream& begin() noexcept;
  /// Closes it. Throws std::system_error that names file and reason when not everything could be written.
  void finish();

 private:
  class buffer final : public std::streambuf {
   public:
    explicit buffer(int file) noexcept : file_(file) { setp(bytes_.data(), bytes_.data() + bytes_.size()); }
    int error() const noexcept { return error_; }

   private:
    int_type overflow(int_type next) override;
    int sync() override;

    const int file_;
    int error_ = 0;
    std::array<char, 16384> bytes_;
  };
  [[noreturn]] void fail(int error) const;

  const std::string name_;
  unique_fd file_;
  buffer buffer_;
  std::ostream stream_;
};

}  // namespace tutti::detail
