// recorder: a handle to the one recording of the process, and to files.
#include <tutti/trace/recorder.hpp>

#include <tutti/trace/output_file.hpp>
#include <tutti/trace/recording.hpp>
#include <tutti/trace/timeline_writer.hpp>

#include <ostream>

namespace tutti {

trace_recorder::~trace_recorder() {
  stop();
  detail::recording::instance().drop(session());
}

void trace_recorder::start() {
  session_.store(detail::recording::instance().start(options_), std::memory_order_relaxed);
}

void trace_recorder::stop() noexcept { detail::recording::instance().stop(session()); }

bool trace_recorder::is_recording() const noexcept { return detail::recording::instance().is_on(session()); }

timeline trace_recorder::collect() const { return detail::recording::instance().collect(session()); }

void trace_recorder::write(std::ostream& out) const { write_timeline(collect(), out); }

void trace_recorder::write(const std::filesystem::path& file) const {
  const timeline recorded = collect();
  detail::output_file out(file);
  write_timeline(recorded, out.begin());
  out.finish();
}

}  // namespace tutti
