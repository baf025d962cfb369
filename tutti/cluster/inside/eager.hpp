// eager: tasks that run where they are sent, at once, with all that comes after them.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/canvas_plan.hpp>

namespace tutti::cluster::detail {

/// Runs what the plan sends on this thread, retries, chains, callbacks and chords included, without waiting for any
/// delay, 1000 attempts of one task at most; results are kept in the app. Never throws what a task throws.
void run_eagerly(const app& where, const send_plan& plan);

}  // namespace tutti::cluster::detail
