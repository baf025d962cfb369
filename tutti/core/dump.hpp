// dump: what the program is doing right now, for a person: every pool, what each worker runs, who waits for what.
#pragma once
#include <csignal>
#include <iosfwd>

namespace tutti {

/// Writes a few lines per pool and per waiting thread, and for each coroutine task that waits, or has waited: its name,
/// what it awaits and since when, and the chain of coroutines that await that, innermost first, each with the place of
/// its await. Safe at any time from any thread; what it shows is gathered
/// while the program goes on, so the parts may be microseconds apart.
void dump(std::ostream& out);

/// From now on each `signal` that the process gets has dump() written to standard error, after a line with the process
/// id, by a thread of its own ("tutti/dump"), which sleeps until then: `kill -USR1 PID` shows why a program hangs.
/// Signals that come while it writes are answered once, together. May be called for several signals, and again; what
/// the program did on that signal before is replaced. A child made by fork() ignores the signal until it calls this
/// itself. Throws std::invalid_argument when `signal` cannot be handled, or is one after which the program cannot go on
/// (SIGSEGV and the like), std::system_error when the system refuses the thread or a descriptor: nothing has changed
/// then. Thread-safe.
void dump_on_signal(int signal = SIGUSR1);

}  // namespace tutti
