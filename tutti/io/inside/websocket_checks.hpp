// websocket_checks: what may be asked of a websocket.
#pragma once
#include <tutti/io/websocket.hpp>

#include <cstdint>

namespace tutti::io::detail {

/// Throws std::invalid_argument for options that make no sense; `what`: whose they are.
void check_options(const char* what, const websocket_options& options);
/// The same for a code that may not be sent.
void check_close_code(std::uint16_t code);

}  // namespace tutti::io::detail
