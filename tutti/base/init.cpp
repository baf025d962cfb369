// init: the `--tutti-` flags and the workers.
#include <tutti/base/at_fork.hpp>
#include <tutti/base/init.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <mutex>

namespace tutti {
namespace {

constexpr std::string_view flag_prefix = "--tutti-";

struct worker {
  std::string_view name;
  int (*run)();
};

struct state {
  std::mutex mutex;
  std::vector<std::string> flags;  // whole, in order, each once
  std::vector<worker> workers;
  std::atomic<bool> done{false};
  bool worker_started = false;
};

state& current() { return process_wide<state>(); }

bool is_flag(std::string_view argument) noexcept {
  return argument.size() > flag_prefix.size() && argument.starts_with(flag_prefix);
}

std::optional<std::string> find_flag(const state& s, std::string_view name) {
  for (const std::string& flag : s.flags) {
    const auto rest = std::string_view(flag).substr(flag_prefix.size());
    if (!rest.starts_with(name)) continue;
    if (rest.size() == name.size()) return std::string();
    if (rest[name.size()] == '=') return std::string(rest.substr(name.size() + 1));
  }
  return std::nullopt;
}

void remember(state& s, std::string_view flag) {
  if (std::find(s.flags.begin(), s.flags.end(), flag) == s.flags.end()) s.flags.emplace_back(flag);
}

// Runs the worker that the flags name, if they do, and does not return from it.
void finish() {
  state& s = current();
  int (*run)() = nullptr;
  std::string name;
  std::string known;
  {
    const std::lock_guard guard(s.mutex);
    s.done = true;
    const auto wanted = find_flag(s, "worker");
    if (!wanted || s.worker_started) return;
    s.worker_started = true;  // a worker may call init too
    name = *wanted;
    for (const worker& w : s.workers) {
      if (w.name == name) run = w.run;
      known += (known.empty() ? "" : ", ") + std::string(w.name);
    }
  }
  // Beyond here without the lock: std::exit runs destructors that take it.
  if (run == nullptr) {
    std::fprintf(stderr, "tutti: unknown worker \"%s\"; this program has: %s\n", name.c_str(),
                 known.empty() ? "none (it links no module that starts workers)" : known.c_str());
    std::exit(2);
  }
  int code = EXIT_FAILURE;
  try {
    code = run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tutti: worker \"%s\" failed: %s\n", name.c_str(), e.what());
  } catch (...) {
    std::fprintf(stderr, "tutti: worker \"%s\" failed\n", name.c_str());
  }
  std::exit(code);
}

}  // namespace

void init(int& argc, char**& argv) {
  {
    state& s = current();
    const std::lock_guard guard(s.mutex);
    int kept = 0;
    bool ours = true;
    for (int i = 0; i < argc; ++i) {
      if (ours && i > 0 && std::string_view(argv[i]) == "--") ours = false;
      if (ours && i > 0 && is_flag(argv[i])) {
        remember(s, argv[i]);
      } else {
        argv[kept++] = argv[i];
      }
    }
    if (kept < argc) argv[kept] = nullptr;  // as the standard has it: argv[argc] is null
    argc = kept;
  }
  finish();
}

void init() {
  {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    state& s = current();
    const std::lock_guard guard(s.mutex);
    std::string_view rest = text;
    for (bool first = true; !rest.empty(); first = false) {
      const std::string_view argument = rest.substr(0, rest.find('\0'));
      rest.remove_prefix(std::min(rest.size(), argument.size() + 1));
      if (first) continue;
      if (argument == "--") break;
      if (is_flag(argument)) remember(s, argument);
    }
  }
  finish();
}

bool initialised() noexcept { return current().done; }

std::optional<std::string> init_flag(std::string_view name) {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  return find_flag(s, name);
}

std::vector<std::string> init_flags() {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  return s.flags;
}

worker_main::worker_main(std::string_view name, int (*run)()) : name_(name) {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  s.workers.push_back({name, run});
}

worker_main::~worker_main() {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  std::erase_if(s.workers, [this](const worker& w) { return w.name == name_; });
}

}  // namespace tutti
