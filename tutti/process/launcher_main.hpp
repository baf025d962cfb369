// launcher_main: the launcher process: one thread, inside init, that starts, signals and reaps processes for its
// program.
#pragma once

namespace tutti::detail {

/// What `--tutti-worker=launcher` runs: serves the program at the other end of descriptor `launcher_socket` until that
/// is gone, then ends all it has started, and itself. Does not return.
int run_launcher();

/// What `--tutti-worker=child` runs: a function or a worker in a new image of the program.
int run_new_image();

}  // namespace tutti::detail
