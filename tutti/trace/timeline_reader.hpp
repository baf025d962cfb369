// timeline_reader: reads back what timeline_writer wrote.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/trace/timeline.hpp>

#include <cstddef>
#include <filesystem>
#include <iosfwd>
#include <string_view>

namespace tutti {

/// What a file may hold at most; more is refused.
struct timeline_limits {
  std::size_t events = 50'000'000;
  std::size_t threads = 100'000;
};

/// Reads a timeline of tutti, piece by piece. Events that it does not know are passed over: other programs may have
/// added some. Throws decode_error, with the byte offset, for what is not JSON, ends too early, is no timeline of
/// tutti, has values of the wrong kind or out of range, or more than `limits` allows.
timeline read_timeline(std::istream& in, const timeline_limits& limits = {});
/// The same from memory.
timeline read_timeline(std::string_view text, const timeline_limits& limits = {});
/// The same from a file. Throws std::system_error that names file and reason when it cannot be read.
timeline read_timeline_file(const std::filesystem::path& file, const timeline_limits& limits = {});

}  // namespace tutti
