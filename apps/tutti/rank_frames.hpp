// rank_frames: how the output of a rank travels through a launcher: in records that no launcher tears or mistakes for
// its own words.
//
// mpirun's own labels cannot be trusted: Open MPI's --tag-output and -xml drop text where lines are short, and all
// launchers run the ends of lines of different ranks together. So whoever watches a rank (rank_keeper) wraps what it
// writes. A record is one line of `rank_frame_size` bytes. Launchers forward lines, or what they read of a pipe, which
// holds whole records as all have one size, a divisor of a page. Its first byte occurs nowhere else in it: a damaged
// record costs that record only.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace tutti::app {

inline constexpr std::size_t rank_frame_size = 512;

/// What a record is about.
enum class rank_news : char {
  output = 'o',       ///< bytes for standard output
  errors = 'e',       ///< bytes for standard error
  exited = 'x',       ///< "CODE HOST": the program has ended
  signalled = 's',    ///< "SIGNAL HOST": a signal has ended it
  ended_by_us = 't',  ///< "0 HOST": it has ended after the launcher had asked for that
  not_started = 'n',  ///< "ERRNO HOST": it is no program
};

struct rank_frame {
  rank_news news = rank_news::output;
  int rank = 0;
  std::string bytes = {};
};

/// Appends `bytes` to `out`, in as many records as that takes; at least one.
void append_frames(std::string& out, rank_news news, int rank, std::string_view bytes);

/// Takes a launcher's output apart again, however it was cut.
class rank_frame_reader {
 public:
  /// `on_words`: what is no record, line by line, without their ends: the launcher's own words.
  rank_frame_reader(std::function<void(rank_frame)> on_frame, std::function<void(std::string_view)> on_words)
      : on_frame_(std::move(on_frame)), on_words_(std::move(on_words)) {}
  void feed(std::string_view bytes);
  /// The end of the stream: what is left is words.
  void end();

 private:
  bool take_one();
  void words(std::string_view text);

  std::function<void(rank_frame)> on_frame_;
  std::function<void(std::string_view)> on_words_;
  std::string rest_;
  std::size_t at_ = 0;  // of rest_, before which all is done
};

}  // namespace tutti::app
