// launch_request: what the launcher is asked, and what it reports.
//
// The launcher is a process of the same program that stays inside init: it has no thread that main would start, so it
// may fork at any time. It is connected with the program by a message_socket: requests go there, reports come back.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace tutti::detail {

enum class launch_kind : std::uint8_t {
  function,  ///< calls a portable function
  worker,    ///< serves a process_pool
  program    ///< executes another program
};

/// A resource limit, as setrlimit has it.
struct launch_limit {
  std::int32_t resource = 0;
  std::uint64_t value = 0;
};

/// A process to be started. What names a descriptor is its position among those that come along (in a new image of this
/// program: its number); -1: none.
struct launch_request {
  std::uint64_t id = 0;
  launch_kind kind = launch_kind::function;
  bool exec = false;         ///< a function or worker begins with a new image of the program, not with a fork
  bool tree = false;         ///< ends together with all its descendants
  bool merge_error = false;  ///< standard error goes where standard output goes
  std::string name;
  std::vector<std::string> arguments;    ///< of a program, its name first
  std::vector<std::string> environment;  ///< all of it: "NAME=value"
  std::string directory;                 ///< to begin in
  std::vector<launch_limit> limits;
  std::vector<std::int32_t> cpus;                      ///< may run on these; empty: as the launcher
  std::array<std::int32_t, 3> streams = {-1, -1, -1};  ///< standard input, output, error; -1: the launcher's
  std::int32_t payload = -1;                           ///< of a function: a file with its function_call
  std::vector<std::int32_t> handles;                   ///< what came along with the arguments; a worker's own
};

/// In the payload. What the function throws is written there in its place (encode_exception).
struct function_call {
  std::string function;
  std::uint64_t signature = 0;
  std::string library;  ///< that has the function, if the launcher does not know it yet
  std::string arguments;
};

/// A signal for a process that was started. To a tree, SIGKILL goes to all of it.
struct signal_request {
  std::uint64_t id = 0;
  std::int32_t signal = 0;
};

using launcher_request = std::variant<launch_request, signal_request>;

/// The launcher has reached init, and takes requests.
struct hello {
  std::int32_t pid = 0;
};

/// Where a start failed.
enum class launch_stage : std::uint8_t { fork, streams, directory, limits, cpus, program, init };

/// It runs, or never will: then `pid` is 0, and nothing follows.
struct start_report {
  std::uint64_t id = 0;
  std::int32_t pid = 0;
  launch_stage stage = launch_stage::fork;
  std::int32_t error = 0;  ///< an errno
};

/// It has ended.
struct exit_report {
  std::uint64_t id = 0;
  std::int32_t status = 0;  ///< as waitpid gives it
};

using launcher_report = std::variant<hello, start_report, exit_report>;

/// The descriptor on which the launcher process finds its socket.
inline constexpr int launcher_socket = 3;

}  // namespace tutti::detail
