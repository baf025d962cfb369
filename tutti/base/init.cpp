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

// Options of modules that a program may lack without noticing.
struct module_option {
  std::string_view flag, module;
};
constexpr module_option module_options[] = {{"--tutti-trace", "tutti::trace"}};

struct option {
  std::string_view name;
  void (*given)(const std::string& value);
  bool told = false;
};

struct state {
  std::mutex mutex;
  std::vector<std::string> flags;  // whole, in order, each once
  std::vector<std::string> words;  // what the first call left of its command line
  std::vector<worker> workers;
  std::vector<option> options;
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

// Workers of ours are names; what has a ':' is the URL of a broker, which a person has written.
constexpr std::string_view cluster_worker = "cluster";
bool is_url(std::string_view worker) noexcept { return worker.find(':') != worker.npos; }

// Whether another program of ours has started this one, and handed its own flags on.
bool is_own_worker(const state& s) {
  const auto wanted = find_flag(s, "worker");
  return wanted && !is_url(*wanted);
}

// Whether `flag` is an option of a module that is there. Without `=` its value is the next argument.
bool is_option(const state& s, std::string_view flag) {
  return std::any_of(s.options.begin(), s.options.end(),
                     [&](const option& o) { return flag.substr(flag_prefix.size()) == o.name; });
}

// Two values of one option, or "". A worker may be handed both.
std::string contradiction(const state& s, const std::vector<std::string>& given) {
  if (is_own_worker(s)) return {};
  for (const std::string& first : given) {
    const std::string_view name = std::string_view(first).substr(0, first.find('='));
    if (!is_option(s, name)) continue;
    for (const std::string& second : given) {
      if (second != first && second.substr(0, second.find('=')) == name) return first + " and " + second;
    }
  }
  return {};
}

// Why a flag of a module that is not there cannot be obeyed, or "". A worker is given the flags of another program.
std::string missing_module(const state& s, const std::vector<std::string>& given) {
  if (is_own_worker(s)) return {};
  for (const std::string& flag : given) {
    const std::string name = flag.substr(0, flag.find('='));
    for (const module_option& known : module_options) {
      if (name == known.flag && !is_option(s, name))
        return name + " is for programs that link " + std::string(known.module) + "; this one does not";
    }
  }
  return {};
}

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "tutti: %s\n", why.c_str());
  std::exit(2);
}

// Tells the modules what was given. Without the lock, as they may ask for flags, or exit.
void tell_options() {
  for (;;) {
    void (*given)(const std::string&) = nullptr;
    std::string value;
    {
      state& s = current();
      const std::lock_guard guard(s.mutex);
      for (option& o : s.options) {
        const auto found = find_flag(s, o.name);
        if (!found || o.told) continue;
        o.told = true;
        given = o.given;
        value = *found;
        break;
      }
    }
    if (given == nullptr) return;
    given(value);
  }
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
    name = is_url(*wanted) ? std::string(cluster_worker) : *wanted;
    for (const worker& w : s.workers) {
      if (w.name == name) run = w.run;
      known += (known.empty() ? "" : ", ") + std::string(w.name);
    }
  }
  // Beyond here without the lock: std::exit runs destructors that take it.
  if (run == nullptr && name == cluster_worker) {
    refuse("--tutti-worker URL is for programs that link tutti::cluster; this one does not");
  }
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
  std::string_view incomplete;
  std::string contradicting, missing;
  {
    state& s = current();
    const std::lock_guard guard(s.mutex);
    std::vector<std::string> given;  // to this call: to another one, all of them may be given again
    int kept = 0;
    bool ours = true;
    for (int i = 0; i < argc; ++i) {
      const std::string_view argument = argv[i];
      if (ours && i > 0 && argument == "--") ours = false;
      if (!ours || i == 0 || !is_flag(argument)) {
        argv[kept++] = argv[i];
      } else if (!is_option(s, argument) && argument != "--tutti-worker") {
        given.emplace_back(argument);
      } else if (i + 1 < argc && std::string_view(argv[i + 1]) != "--") {
        given.push_back(std::string(argument) + '=' + argv[++i]);
      } else {
        incomplete = argument;
      }
    }
    if (kept < argc) argv[kept] = nullptr;  // as the standard has it: argv[argc] is null
    argc = kept;
    for (const std::string& flag : given) remember(s, flag);
    if (!s.done) s.words.assign(argv + std::min(argc, 1), argv + argc);
    contradicting = contradiction(s, given);
    missing = missing_module(s, given);
  }
  if (!incomplete.empty()) refuse(std::string(incomplete) + " needs a value: " + std::string(incomplete) + "=VALUE");
  if (!missing.empty()) refuse(missing);
  if (!contradicting.empty()) refuse("only one of these can be obeyed: " + contradicting);
  tell_options();
  finish();
}

void init() {
  // One parser for both: the other form is given what the kernel has.
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<char*> arguments;
  for (std::size_t at = 0; at < text.size(); at = text.find('\0', at) + 1) {
    arguments.push_back(text.data() + at);
    if (text.find('\0', at) == text.npos) break;
  }
  auto count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  char** first = arguments.data();
  init(count, first);
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

std::vector<std::string> init_words() {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  return s.words;
}

init_option::init_option(std::string_view name, void (*given)(const std::string& value)) : name_(name) {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  s.options.push_back({name, given});
}

init_option::~init_option() {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  std::erase_if(s.options, [this](const option& o) { return o.name == name_; });
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
