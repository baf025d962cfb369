// rank_output: what ranks write and how they end, for people: whole lines with their rank in front.
#pragma once
#include <apps/tutti/rank_frames.hpp>

#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::app {

struct rank_output_options {
  bool prefix = true;
  bool keep_going = false;  ///< a failed rank does not fail the job, unless it is rank 0
};

/// Takes what a launcher writes; writes the ranks' lines, one on how a rank has failed, and of the launcher's own words
/// those that say more than that.
class rank_output {
 public:
  rank_output(std::ostream& out, std::ostream& err, rank_output_options options);

  /// From the stream that has the records.
  void records(std::string_view bytes) { from_records_.feed(bytes); }
  /// From the other one.
  void launcher_said(std::string_view bytes) { from_words_.feed(bytes); }
  void flush();
  /// All is said; `interrupted`: we have ended the job ourselves.
  void end(bool interrupted);

  /// A rank has failed, so that the job has to end.
  bool must_end() const noexcept { return failed_ && !options_.keep_going; }
  /// How many ranks have told how they ended.
  int ended() const noexcept { return ended_; }
  /// What the job's exit code is to be; nothing when no rank has told.
  std::optional<int> exit_code() const noexcept { return code_; }
  /// errno, when the program could not be started; else 0.
  int not_started() const noexcept { return not_started_; }
  int failed_rank() const noexcept { return failed_rank_; }
  const std::string& failed_host() const noexcept { return failed_host_; }

 private:
  void take(const rank_frame& frame);
  void take_text(const rank_frame& frame);
  void write_line(std::ostream& to, int rank, std::string_view line) const;
  void rank_ended(const rank_frame& frame);
  void take_words(std::string_view line);
  void write_held();

  std::ostream& out_;
  std::ostream& err_;
  const rank_output_options options_;
  rank_frame_reader from_records_, from_words_;
  std::map<std::pair<int, rank_news>, std::string> begun_;  // lines without their end
  bool in_banner_ = false;
  bool banner_is_known_ = false;
  std::vector<std::string> banner_;  // the launcher's, until its end
  std::vector<std::string> held_;    // words that only matter when no rank says better
  bool failed_ = false;
  int ended_ = 0;
  std::optional<int> code_;
  int not_started_ = 0;
  int failed_rank_ = 0;
  std::string failed_host_;
};

}  // namespace tutti::app
