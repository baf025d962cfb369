// shown_text: text from anywhere, fit for a terminal.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace tutti::detail {

/// `text` as one line that no terminal obeys: '?' stands for each control character (C0, DEL, and C1: U+0080 to U+009F)
/// and for each byte that is not UTF-8, "..." for what comes after the first `most` characters.
std::string shown(std::string_view text, std::size_t most = std::string_view::npos);

}  // namespace tutti::detail
