// file_calls: what the system does with files while the caller waits; for helper threads.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/file.hpp>

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace tutti::io::detail {

/// Throws os_error of errno: "reading /etc/hosts: ...".
[[noreturn]] void fail(const char* tried, const std::string& path);
/// A path as the system takes it. Throws std::invalid_argument for one that it cannot take.
std::string name_of(const std::filesystem::path& path);
/// Writes all, from `at` on or where the descriptor is. Throws os_error.
void write_all(int fd, std::string_view bytes, std::optional<::off_t> at, const std::string& path);
/// Returns when all is on the disk. Throws os_error.
void sync_all(int fd, const std::string& path);
/// Opens what can be read and written without waiting for others. Throws os_error.
unique_fd open_file(const std::string& path, file_mode mode, int permissions);

}  // namespace tutti::io::detail
