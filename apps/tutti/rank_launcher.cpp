#include <apps/tutti/rank_launcher.hpp>

#include <apps/tutti/printable.hpp>
#include <apps/tutti/run_program.hpp>
#include <tutti/base/redacted.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

constexpr std::array default_names = {"mpirun", "mpiexec", "mpirun.openmpi", "mpirun.mpich"};

std::optional<std::string> on_path(std::string_view name) {
  const auto is_program = [](const fs::path& file) {
    std::error_code ignored;
    return fs::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string_view::npos)
    return is_program(name) ? std::optional<std::string>(name) : std::nullopt;
  const char* const path = std::getenv("PATH");
  std::string_view left = path == nullptr ? "" : path;
  while (!left.empty()) {
    const std::string_view folder = left.substr(0, left.find(':'));
    left.remove_prefix(std::min(left.size(), folder.size() + 1));
    const fs::path file = fs::path(folder.empty() ? "." : folder) / name;
    if (is_program(file)) return file.string();
  }
  return std::nullopt;
}

std::string version_text(const std::string& path) {
  const std::string command = quoted({path}) + " --version 2>&1 </dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  if (pipe == nullptr) return {};
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), pipe.get()));
  return text;
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string host_list(const std::vector<rank_host>& hosts, char between) {
  std::string text;
  for (const rank_host& host : hosts)
    text += fmt::format("{}{}{}{}", text.empty() ? "" : ",", host.name, between, host.ranks);
  return text;
}

}  // namespace

std::vector<rank_host> parse_hosts(std::string_view text) {
  const auto refuse = [&](std::string_view part, const char* why) {
    throw std::invalid_argument(fmt::format("--hosts \"{}\": \"{}\" {}; give NAME[:RANKS],..., such as a:4,b:8",
                                            printable(detail::redacted(text), 80),
                                            printable(detail::redacted(part), 80), why));
  };
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  std::vector<rank_host> hosts;
  std::string_view left = text;
  for (bool more = true; more;) {
    const std::size_t comma = left.find(',');
    const std::string_view part = left.substr(0, comma);
    more = comma != std::string_view::npos;
    left.remove_prefix(more ? comma + 1 : left.size());
    const std::size_t colon = part.find(':');
    rank_host host{.name = std::string(part.substr(0, colon))};
    if (host.name.empty()) refuse(part, "has no name");
    if (host.name.find_first_not_of(letters) != std::string::npos || host.name.front() == '-')
      refuse(part, "is no name of a host");
    if (colon != std::string_view::npos) {
      const std::string_view digits = part.substr(colon + 1);
      const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), host.ranks);
      if (failed != std::errc() || end != digits.data() + digits.size() || host.ranks < 1 || host.ranks > 1'000'000)
        refuse(part, "has no number of ranks from 1 to 1000000 behind its colon");
    }
    hosts.push_back(std::move(host));
  }
  return hosts;
}

rank_launcher find_rank_launcher(std::string_view wanted) {
  if (wanted.empty() && std::getenv("SLURM_JOB_ID") != nullptr) {
    if (auto srun = on_path("srun")) return {launcher_kind::slurm, std::move(*srun)};
  }
  std::optional<std::string> path;
  if (!wanted.empty()) {
    path = on_path(wanted);
    if (!path) throw no_launcher(fmt::format("--launcher \"{}\" is no program here", printable(wanted)));
    if (fs::path(*path).filename() == "srun") return {launcher_kind::slurm, std::move(*path)};
  }
  for (const char* name : default_names) {
    if (!path) path = on_path(name);
  }
  if (!path) {
    throw no_launcher(
        "no mpirun on PATH, which starts ranks; install one, such as Open MPI: apt-get install openmpi-bin");
  }
  const std::string version = version_text(*path);
  if (has(version, "Open MPI") || has(version, "OpenRTE") || has(version, "Open RTE"))
    return {launcher_kind::open_mpi, std::move(*path)};
  if (has(version, "HYDRA") || has(version, "Hydra")) return {launcher_kind::mpich, std::move(*path)};
  throw no_launcher(fmt::format(
      "{} is neither Open MPI's nor MPICH's, by what it says of its version; apt-get install openmpi-bin brings Open "
      "MPI's, and --launcher names another one",
      printable(*path)));
}

std::vector<std::string> launcher_words(const rank_launcher& launcher, const rank_job& job) {
  const std::string ranks = std::to_string(job.ranks);
  std::vector<std::string> words = {launcher.path};
  const auto add = [&](std::initializer_list<std::string> more) { words.insert(words.end(), more); };
  switch (launcher.kind) {
    case launcher_kind::open_mpi:
      add({"--oversubscribe", "-n", ranks});
      if (!job.hosts.empty()) add({"--host", host_list(job.hosts, ':')});
      if (job.keep_going) add({"--enable-recovery"});
      for (const std::string& name : job.variables) add({"-x", name});  // the others do that unasked
      break;
    case launcher_kind::mpich:
      add({"-n", ranks});
      if (!job.hosts.empty()) add({"-hosts", host_list(job.hosts, ':')});
      if (job.keep_going) add({"-disable-auto-cleanup"});
      break;
    case launcher_kind::slurm:
      add({"--ntasks=" + ranks, "--overcommit", "--input=0", "--export=ALL",
           job.keep_going ? "--kill-on-bad-exit=0" : "--kill-on-bad-exit=1"});
      if (job.keep_going) add({"--no-kill"});
      // So many on each, in this order: that is what a list with repetitions means for an arbitrary distribution.
      if (!job.hosts.empty()) add({"--distribution=arbitrary", "--nodelist=" + host_list(job.hosts, '*')});
      break;
  }
  return words;
}

std::vector<std::string> tutti_variables() {
  std::vector<std::string> names;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (text.starts_with("TUTTI_")) names.emplace_back(text.substr(0, text.find('=')));
  }
  return names;
}

bool is_frame_line(std::string_view words) {
  return words.size() >= 40 && (words.find_first_not_of('-') == std::string_view::npos ||
                                words.find_first_not_of('=') == std::string_view::npos);
}

bool tells_of_failed_rank(std::string_view words) {
  constexpr std::array known = {
      // Open MPI
      "Primary job  terminated normally", "detected that one or more processes exited", "noticed that process rank",
      "has exited due to process rank", "total processes failed to start", "PMIX ERROR: BAD-PARAM in file",
      "Forwarding signal", "total processes killed",
      // MPICH
      "BAD TERMINATION OF ONE OF YOUR APPLICATION", "YOUR APPLICATION TERMINATED WITH THE EXIT",
      "This typically refers to a problem with your", "Please see the FAQ page for debugging", "APPLICATION TERMINATED",
      "HYDT_bscu_wait_for_completion", "HYD_pmci_wait_for_completion", "HYDU_sock_write", "HYD_pmcd_pmip",
      "HYDT_dmxu_poll_wait_for_event", "[mpiexec@", "Sending Ctrl-C to processes", "Press Ctrl-C again to force abort",
      // Slurm
      "srun: error: ", "srun: Terminating", "srun: launch/slurm", "slurmstepd: error: *** STEP"};
  return std::ranges::any_of(known, [&](const char* part) { return has(words, part); });
}

}  // namespace tutti::app
