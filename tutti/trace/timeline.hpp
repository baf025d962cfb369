// timeline: what happened in a program, thread by thread: made from a recording or read from a file, written, analysed.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tutti {

/// What a stretch of time on a thread was spent with.
enum class slice_kind : std::uint8_t {
  task,    ///< a task, or a stretch of a coroutine between two waits
  branch,  ///< a stolen branch of a fork_join, or half of a loop
  wait,    ///< the thread was blocked, or looked for what it waits for
  park,    ///< the worker had nothing to do
  span,    ///< a phase of the program's own
};

/// What happened at one moment, and is worth showing.
enum class mark_kind : std::uint8_t {
  publish,  ///< a forked branch was put on offer
  steal,    ///< a branch or a task was taken from another worker
  user,     ///< the program's own
};

/// Why something could begin or go on only after something else.
enum class flow_kind : std::uint8_t {
  submit,  ///< a task was handed in -> it began
  resume,  ///< a coroutine was told to go on -> it went on
  go_on,   ///< it had waited -> it went on
  fork,    ///< a branch was put on offer -> a thief began with it
  join,    ///< a task or branch ended -> who waited for it went on
  wake,    ///< somebody woke a thread -> its wait was over
};

std::string_view to_string(slice_kind kind) noexcept;
std::string_view to_string(mark_kind kind) noexcept;
std::string_view to_string(flow_kind kind) noexcept;

/// Everything that was recorded. Times are nanoseconds since the recording began. Plain data; not thread-safe.
struct timeline {
  using text = std::uint32_t;  ///< index into `texts`

  struct thread {
    std::string name;           ///< "default/0"
    bool is_worker = false;     ///< of a pool
    std::int64_t begin = 0;     ///< when it began, or the recording did, or what is known of it
    std::int64_t end = 0;       ///< when it ended, or the recording did; not a worker: its last event
    std::uint64_t dropped = 0;  ///< events that the memory did not hold
    std::int64_t kernel_id = 0;
  };
  /// Slices of one thread nest.
  struct slice {
    std::uint32_t thread = 0;  ///< index into `threads`
    slice_kind kind{};
    bool resumed = false;     ///< a coroutine that goes on
    bool unfinished = false;  ///< it was still going on at the end
    text name = 0;            ///< of the task, branch or phase; the function that waits
    text detail = 0;          ///< what is waited for: "task \"load\""; of a task: what the coroutine then waited for
    text where = 0;           ///< of a wait: "file:line"
    std::int64_t begin = 0, end = 0;
  };
  struct mark {
    std::uint32_t thread = 0;
    mark_kind kind{};
    text name = 0;
    std::uint64_t number = 0;
    std::int64_t at = 0;
  };
  struct counter {
    text name = 0;
    std::int64_t value = 0, at = 0;
  };
  struct flow {
    flow_kind kind{};
    std::uint32_t from_thread = 0, to_thread = 0;
    std::int64_t from = 0, to = 0;  ///< from <= to
  };

  std::string process;  ///< the program's name
  std::int64_t pid = 0;
  std::int64_t duration = 0;  ///< of the recording
  std::uint64_t dropped = 0;  ///< events of no thread: there was no room for theirs, or it was given to another
  std::vector<thread> threads;
  std::vector<slice> slices;      ///< by begin
  std::vector<mark> marks;        ///< by time
  std::vector<counter> counters;  ///< by time; "workers asleep" is the recorder's own
  std::vector<flow> flows;        ///< by `to`
  std::vector<std::string> texts{std::string()};

  /// The index of `value`, which is added when it is new.
  text add(std::string_view value);
  const std::string& operator[](text index) const { return texts[index]; }
  /// Of all threads.
  std::uint64_t all_dropped() const noexcept;
  /// Puts all vectors into their order.
  void sort();

 private:
  std::unordered_map<std::string, text> known_{{std::string(), 0}};
};

}  // namespace tutti
