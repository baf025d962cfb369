#include <apps/tutti/terminal.hpp>

#include <apps/tutti/printable.hpp>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <string>

namespace tutti::app {

int terminal_columns() {
  winsize size = {};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? std::min<int>(size.ws_col, 160) : 80;
}

bool speaks_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    if (value == nullptr || *value == '\0') continue;
    std::string locale = value;
    std::ranges::transform(locale, locale.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

void run_counter::show(std::string_view what, int done, int all) {
  if (!shown_) return;
  out_ << fmt::format("\r\x1b[Krun {} of {}: {}", done + 1, all, printable(what, 40)) << std::flush;
  dirty_ = true;
}

void run_counter::clear() {
  if (dirty_) out_ << "\r\x1b[K" << std::flush;
  dirty_ = false;
}

}  // namespace tutti::app
