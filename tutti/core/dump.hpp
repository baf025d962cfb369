// dump: what the program is doing right now, for a person: every pool, what each worker runs, who waits for what.
#pragma once
#include <iosfwd>

namespace tutti {

/// Writes a few lines per pool and per waiting thread. Safe at any time from any thread; what it shows is gathered
/// while the program goes on, so the parts may be microseconds apart.
void dump(std::ostream& out);

}  // namespace tutti
