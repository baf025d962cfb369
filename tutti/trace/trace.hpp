// trace: recordings, timelines and their summaries; laws of scaling and their plots: all of tutti::trace.
#pragma once
#include <tutti/trace/plot_svg.hpp>
#include <tutti/trace/plot_text.hpp>
#include <tutti/trace/recorder.hpp>
#include <tutti/trace/sample_stats.hpp>
#include <tutti/trace/scaling.hpp>
#include <tutti/trace/scaling_doubts.hpp>
#include <tutti/trace/span.hpp>
#include <tutti/trace/timeline.hpp>
#include <tutti/trace/timeline_reader.hpp>
#include <tutti/trace/timeline_writer.hpp>
#include <tutti/trace/trace_summary.hpp>
