#include <tutti/process/child_setup.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/process/child_main.hpp>
#include <tutti/process/tree_keeper.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace tutti::detail {
namespace {

[[noreturn]] void give_up(const unique_fd& notes, launch_stage stage, int error) {
  const setup_note note{0, stage, error};
  // If the launcher is gone there is nobody to tell.
  [[maybe_unused]] const ::ssize_t written = ::write(notes.get(), &note, sizeof note);
  ::_exit(127);
}

// An exec must not close it.
bool keep_at_exec(int fd) noexcept { return ::fcntl(fd, F_SETFD, 0) == 0; }

void set_streams(const launch_request& request, const std::vector<unique_fd>& handles, const unique_fd& notes) {
  for (int to = 0; to < 3; ++to) {
    const std::int32_t from = request.streams[static_cast<std::size_t>(to)];
    // Descriptors that came along are never 0 to 2: the launcher keeps those open.
    if (from >= 0 && ::dup2(handles[static_cast<std::size_t>(from)].get(), to) < 0)
      give_up(notes, launch_stage::streams, errno);
  }
  if (request.merge_error && ::dup2(1, 2) < 0) give_up(notes, launch_stage::streams, errno);
}

void set_limits(const launch_request& request, const unique_fd& notes) {
  for (const launch_limit& limit : request.limits) {
    const ::rlimit both{limit.value, limit.value};
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &both) != 0)
      give_up(notes, launch_stage::limits, errno);
  }
  if (request.cpus.empty()) return;
  ::cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (const std::int32_t cpu : request.cpus) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) give_up(notes, launch_stage::cpus, EINVAL);
    CPU_SET(static_cast<std::size_t>(cpu), &cpus);
  }
  if (::sched_setaffinity(0, sizeof cpus, &cpus) != 0) give_up(notes, launch_stage::cpus, errno);
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

// Where execute() looks for the program is its own PATH.
void take_over_environment(const launch_request& request) {
  ::clearenv();
  for (const std::string& variable : request.environment) {
    const std::size_t equals = variable.find('=');
    if (equals != variable.npos) ::setenv(variable.substr(0, equals).c_str(), variable.c_str() + equals + 1, 1);
  }
}

// What execvp does, but that one has a shell read what the system cannot execute. Returns why it failed.
int execute_found(const std::string& program, char* const* arguments) {
  if (program.find('/') != program.npos) {
    ::execv(program.c_str(), arguments);
    return errno;
  }
  if (program.size() > NAME_MAX) return ENAMETOOLONG;
  const char* const given = std::getenv("PATH");
  std::string_view folders = given != nullptr ? given : "/bin:/usr/bin";
  bool denied = false;
  for (;;) {
    const std::size_t end = folders.find(':');
    std::string path(folders.substr(0, end));
    if (!path.empty()) path += '/';  // nothing is the current directory
    ::execv((path + program).c_str(), arguments);
    switch (errno) {
      case EACCES: denied = true; break;
      case ENOENT:
      case ENOTDIR:
      case ENODEV:
      case ESTALE:
      case ETIMEDOUT:
      case ENAMETOOLONG: break;
      default: return errno;
    }
    if (end == folders.npos) return denied ? EACCES : ENOENT;
    folders.remove_prefix(end + 1);
  }
}

[[noreturn]] void execute(const launch_request& request, const unique_fd& notes, const launcher_traits& launcher) {
  ::sigaction(SIGINT, &launcher.on_interrupt, nullptr);
  ::sigaction(SIGCHLD, &launcher.on_child, nullptr);
  // Whatever libraries have opened here: a program gets its three streams and nothing else.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  std::vector<char*> arguments = pointers_to(request.arguments);
  give_up(notes, launch_stage::program, execute_found(request.arguments.front(), arguments.data()));
}

// A new image of this program: what it is to become lies in a file whose number is its argument.
[[noreturn]] void begin_anew(launch_request request, std::vector<unique_fd> handles, unique_fd notes) {
  const auto number_of = [&](std::int32_t& position) {
    if (position >= 0) position = handles[static_cast<std::size_t>(position)].get();
  };
  number_of(request.payload);
  for (std::int32_t& handle : request.handles) number_of(handle);
  const unique_fd file(::memfd_create("tutti request", 0));
  const std::string bytes = encode(request);
  if (!file || ::write(file.get(), bytes.data(), bytes.size()) != static_cast<::ssize_t>(bytes.size()))
    give_up(notes, launch_stage::program, errno);
  bool kept = keep_at_exec(notes.get()) && (request.payload < 0 || keep_at_exec(request.payload));
  for (const std::int32_t handle : request.handles) kept = kept && keep_at_exec(handle);
  if (!kept) give_up(notes, launch_stage::program, errno);
  std::string arguments[] = {request.name, "--tutti-worker=child",
                             "--tutti-child=" + std::to_string(file.get()) + ',' + std::to_string(notes.get())};
  char* const pointers[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), nullptr};
  ::execv("/proc/self/exe", pointers);
  give_up(notes, launch_stage::program, errno);
}

}  // namespace

void become(const launch_request& request, std::vector<unique_fd> handles, unique_fd notes,
            const launcher_traits& launcher) {
  try {
    // Whoever is killed, nobody is left behind. The launcher may be gone before this.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != launcher.pid) ::_exit(127);
    if (request.tree) keep_tree(notes);  // returns in the process of the tree
    set_streams(request, handles, notes);
    if (!request.directory.empty() && ::chdir(request.directory.c_str()) != 0)
      give_up(notes, launch_stage::directory, errno);
    take_over_environment(request);
    set_limits(request, notes);
    if (request.kind == launch_kind::program) execute(request, notes, launcher);
    if (request.exec) begin_anew(request, std::move(handles), std::move(notes));
    notes.reset();  // it runs
    std::vector<unique_fd> arguments;
    arguments.reserve(request.handles.size());
    for (const std::int32_t at : request.handles) arguments.push_back(std::move(handles[static_cast<std::size_t>(at)]));
    unique_fd payload;
    if (request.payload >= 0) payload = std::move(handles[static_cast<std::size_t>(request.payload)]);
    handles.clear();  // the streams are where they belong
    // Not exit: what static objects would do there, they have to do in the program, and it only.
    ::_exit(run_child(request, std::move(payload), std::move(arguments)));
  } catch (const std::exception&) {
    give_up(notes, launch_stage::fork, ENOMEM);
  }
}

}  // namespace tutti::detail
