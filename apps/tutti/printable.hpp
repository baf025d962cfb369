// printable: text from elsewhere as a terminal may have it: one line, no escape sequences.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace tutti::app {

/// `text` with '?' for each control character (C0, DEL, C1; new lines and tabs are such too) and for each byte that is
/// not UTF-8. Of more than `most` code points (at least 3) the first are kept, and "..." ends what are then `most`.
/// Thread-safe, does not block.
std::string printable(std::string_view text, std::size_t most = std::string_view::npos);

/// The code points of UTF-8.
std::size_t code_points(std::string_view text);

}  // namespace tutti::app
