// redacted: a text that may be the URL of a server, without its password: for errors and logs.
#pragma once
#include <string>
#include <string_view>

namespace tutti::detail {

/// `word` with `**` for all that may be a password in it, whether it is a URL, nearly one, or has one in it: what
/// stands before an '@' (but for the scheme), behind a host where a port belongs, and behind a '?'. Other words are as
/// they were, also name@host, paths of files and JSON without "//". For a whole word of a command line, not for a
/// sentence. Thread-safe, does not block.
std::string redacted(std::string_view word);

/// `text`, a sentence in which `word` may stand, with redacted(word) in its place, wherever it is.
std::string redacted(std::string text, std::string_view word);

}  // namespace tutti::detail
