#include <apps/tutti/run_ranks.hpp>

#include <apps/tutti/printable.hpp>
#include <apps/tutti/rank_frames.hpp>
#include <apps/tutti/rank_keeper.hpp>
#include <apps/tutti/rank_output.hpp>
#include <apps/tutti/run_program.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/concurrency.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <ostream>
#include <system_error>

namespace tutti::app {
namespace {

constexpr std::array ending_signals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
constexpr int patience_ms = 10'000;  // from our request to end the job until the launcher is killed

constexpr const char* help = R"(Runs PROGRAM on N ranks by mpirun (Open MPI's or MPICH's), or by srun inside a Slurm
allocation. Each line of output has its rank in front, "[2] text"; lines are never
torn, standard output and standard error stay apart, and rank 0 has our standard
input. When a rank fails the job is ended, and its exit code is ours, or 128 + the
signal that ended it. A signal that ends us ends the job first.

Examples:
  tutti run -n 4 ./solve --size 1000
  tutti run -n 12 --hosts a:4,b:8 ./solve      this program must be there too

)";

constexpr const char* usage_words = "tutti run [-n N] [OPTIONS] PROGRAM ARGS";

// CLI11 does not know of the words that are another program's.
class with_program : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string usage = Formatter::make_usage(app, std::move(name));
    return usage.insert(usage.find_last_not_of('\n') + 1, " PROGRAM ARGS");
  }
};

[[noreturn]] void fail(const char* what, int error = errno) {
  throw std::system_error(error, std::generic_category(), what);
}

// While it lives, the signals that end us are read from a descriptor; those that are ignored (nohup) stay so.
class heard_signals {
 public:
  heard_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : ending_signals) {
      struct sigaction now = {};
      ::sigaction(signal, nullptr, &now);
      if (now.sa_handler != SIG_IGN) sigaddset(&set, signal);
    }
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    struct sigaction kept = {};
    kept.sa_handler = SIG_DFL;  // where it is ignored, which is inherited, there would be no exit code
    sigemptyset(&kept.sa_mask);
    ::sigaction(SIGCHLD, &kept, &child_before_);
    fd_ = unique_fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd_) fail("signalfd");
  }
  ~heard_signals() {
    ::sigaction(SIGCHLD, &child_before_, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  heard_signals(const heard_signals&) = delete;
  heard_signals& operator=(const heard_signals&) = delete;

  int fd() const noexcept { return fd_.get(); }
  const sigset_t& before() const noexcept { return before_; }

 private:
  sigset_t before_{};
  struct sigaction child_before_ = {};
  unique_fd fd_;
};

std::vector<std::string> launcher_environment(const rank_launcher& launcher) {
  std::vector<std::string> result;
  for (char** entry = ::environ; *entry != nullptr; ++entry) result.emplace_back(*entry);
  if (launcher.kind == launcher_kind::open_mpi && ::geteuid() == 0) {  // it refuses root otherwise
    result.emplace_back("OMPI_ALLOW_RUN_AS_ROOT=1");
    result.emplace_back("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1");
  }
  return result;
}

struct launched_job {
  pid_t pid = 0;
  unique_fd process, output, errors;
};

launched_job launch(std::vector<std::string> words, std::vector<std::string> environment, const sigset_t& mask) {
  std::array<int, 2> out{}, err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) fail("no pipe for the ranks' output");
  launched_job job;
  job.output = unique_fd(out[0]);
  job.errors = unique_fd(err[0]);
  const unique_fd out_end(out[1]), err_end(err[1]);
  ::fcntl(err[1], F_SETPIPE_SZ, 1 << 20);  // records; as far as the system allows
  std::vector<char*> argv, envp;
  for (std::string& word : words) argv.push_back(word.data());
  for (std::string& entry : environment) envp.push_back(entry.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  const pid_t parent = ::getpid();
  job.pid = ::fork();
  if (job.pid < 0) fail("no process for the launcher");
  if (job.pid == 0) {  // only what a signal handler may do
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  // By number: the C library's header for it does not say that its functions are C.
  job.process = unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, job.pid, 0)));
  return job;
}

// A job from its launcher's start to its end.
class running_job {
 public:
  running_job(launched_job job, const rank_launcher& launcher, rank_output& output, const heard_signals& signals,
              int ranks_that_stay)
      : job_(std::move(job)),
        launcher_(launcher),
        output_(output),
        signals_(signals),
        ranks_that_stay_(ranks_that_stay) {}

  void wait() {
    std::array<pollfd, 4> wanted = {{{signals_.fd(), POLLIN, 0},
                                     {job_.output.get(), POLLIN, 0},
                                     {job_.errors.get(), POLLIN, 0},
                                     {job_.process.get(), POLLIN, 0}}};
    for (bool over = false; !over;) {
      const int ready = ::poll(wanted.data(), wanted.size(), asked_ ? patience_ms : -1);
      if (ready == 0) ::kill(job_.pid, SIGKILL);
      if (ready <= 0) continue;
      if (wanted[1].revents != 0 && !take(job_.output, &rank_output::launcher_said)) wanted[1].fd = -1;
      if (wanted[2].revents != 0 && !take(job_.errors, &rank_output::records)) wanted[2].fd = -1;
      if (wanted[0].revents != 0) hear();
      output_.flush();
      // Open MPI and srun do that by themselves.
      if (output_.must_end() && launcher_.kind == launcher_kind::mpich) ask_to_end();
      if (ranks_that_stay_ != 0 && output_.ended() >= ranks_that_stay_) ask_to_end();
      over = wanted[3].revents != 0;
    }
    for (const unique_fd* fd : {&job_.output, &job_.errors}) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
    while (take(job_.output, &rank_output::launcher_said)) {
    }
    while (take(job_.errors, &rank_output::records)) {
    }
    while (::waitpid(job_.pid, &status_, 0) < 0 && errno == EINTR) {
    }
  }
  int status() const noexcept { return status_; }
  int signal() const noexcept { return signal_; }

 private:
  bool take(const unique_fd& from, void (rank_output::*what)(std::string_view)) {
    std::array<char, 65536> bytes;
    const ssize_t got = ::read(from.get(), bytes.data(), bytes.size());
    if (got > 0) (output_.*what)({bytes.data(), static_cast<std::size_t>(got)});
    return got > 0;
  }
  void hear() {
    signalfd_siginfo heard{};
    while (::read(signals_.fd(), &heard, sizeof heard) == sizeof heard) {
      if (signal_ == 0) signal_ = static_cast<int>(heard.ssi_signo);
      // Ctrl-C reaches all processes of the terminal, and a second request makes launchers hasty.
      if (heard.ssi_code == SI_KERNEL && heard.ssi_signo == SIGINT) {
        asked_ = true;
      } else {
        ask_to_end();
      }
    }
  }
  void ask_to_end() {
    if (!asked_) ::kill(job_.pid, SIGTERM);
    asked_ = true;
  }

  launched_job job_;
  const rank_launcher& launcher_;
  rank_output& output_;
  const heard_signals& signals_;
  const int ranks_that_stay_;  // when they have failed, until all have ended; 0: they do not
  bool asked_ = false;         // the launcher, to end the job
  int status_ = 0;
  int signal_ = 0;  // that we are to end by
};

[[noreturn]] void end_by(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  ::raise(signal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  std::_Exit(128 + signal);
}

}  // namespace

CLI::App* add_run_command(CLI::App& app, run_ranks_options& options) {
  CLI::App* command = app.add_subcommand("run", "run a program on several ranks");
  command->add_option("-n,--ranks", options.ranks, "how many ranks; default: as many as --hosts have, or processors")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->allow_extra_args(false);
  command->add_option("--hosts", options.hosts, "where: NAME[:RANKS],...; default: here")
      ->type_name("HOSTS")
      ->allow_extra_args(false);
  command->add_option("--launcher", options.launcher, "the mpirun to take, or srun; default: as PATH has it")
      ->type_name("PROGRAM")
      ->allow_extra_args(false);
  command->add_flag("--no-prefix", options.no_prefix, "do not put ranks in front of lines");
  command->add_flag("--keep-going", options.keep_going,
                    "do not end the job when a rank dies; our exit code is rank 0's");
  command->prefix_command();
  command->formatter(std::make_shared<with_program>());
  command->footer(help);
  return command;
}

void take_ranks_program(const CLI::App& command, run_ranks_options& options, std::vector<std::string> behind) {
  options.program = command.remaining();
  if (!options.program.empty() && options.program.front().starts_with('-'))
    throw CLI::ExtrasError(command.get_name(), options.program);
  options.program.insert(options.program.end(), behind.begin(), behind.end());
  if (options.program.empty() || options.program.front().empty())
    throw std::invalid_argument(std::string("the program is missing: ") + usage_words);
}

int run_ranks(const run_ranks_options& options, std::ostream& out, std::ostream& err) {
  rank_job job{.keep_going = options.keep_going, .variables = tutti_variables()};
  if (options.hosts) job.hosts = parse_hosts(*options.hosts);
  job.ranks = options.ranks.value_or(
      job.hosts.empty() ? default_concurrency()
                        : std::accumulate(job.hosts.begin(), job.hosts.end(), 0,
                                          [](int sum, const rank_host& host) { return sum + host.ranks; }));
  const rank_launcher launcher = find_rank_launcher(options.launcher.value_or(""));
  std::vector<std::string> words = launcher_words(launcher, job);
  words.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  words.emplace_back(rank_keeper_word);
  const bool stay = options.keep_going && launcher.kind != launcher_kind::open_mpi;
  words.emplace_back(stay ? "stay" : options.keep_going ? "keep-going" : "-");
  words.insert(words.end(), options.program.begin(), options.program.end());

  rank_output output(out, err, {.prefix = !options.no_prefix, .keep_going = options.keep_going});
  int signal = 0;
  int status = 0;
  {
    const heard_signals signals;
    running_job running(launch(words, launcher_environment(launcher), signals.before()), launcher, output, signals,
                        stay ? job.ranks : 0);
    running.wait();
    signal = running.signal();
    status = running.status();
  }
  output.end(signal != 0);
  if (signal != 0) end_by(signal);
  if (const int why = output.not_started(); why != 0) {
    throw not_a_program(fmt::format("\"{}\" cannot be started on rank {} ({}): {}", printable(options.program.front()),
                                    output.failed_rank(), printable(output.failed_host()), std::strerror(why)));
  }
  if (const auto code = output.exit_code()) return *code;
  const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  if (code != 0) err << fmt::format("tutti: {} failed with exit code {}\n", printable(launcher.path), code);
  return code;
}

}  // namespace tutti::app
