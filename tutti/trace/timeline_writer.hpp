// timeline_writer: a timeline as JSON in the Trace Event Format, for Perfetto and chrome://tracing.
#pragma once
#include <tutti/trace/timeline.hpp>

#include <iosfwd>

namespace tutti {

/// Writes piece by piece, so the text is never in memory as a whole. Bytes in names that are not UTF-8 become U+FFFD.
/// When `out` fails, it stops; look at its state.
void write_timeline(const timeline& recorded, std::ostream& out);

}  // namespace tutti
