// worker_flags: the flags of a worker, one table.
#include <tutti/cluster/worker_flags.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/init.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/cluster/call_task.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/core/concurrency.hpp>

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>

namespace tutti::cluster {
namespace {

using tutti::detail::redacted;

constexpr std::string_view help =
    R"(  -b, --broker URL            where tasks wait: redis://host/0, sqlite:FILE; default:
                              TUTTI_BROKER, CELERY_BROKER_URL, else sqlite:tutti.db
      --backend URL           where results are kept; default: TUTTI_BACKEND,
                              CELERY_RESULT_BACKEND, else the broker
      --config FILE           settings in JSON: {"broker": "redis://host/0"}
  -Q, --queues A,B            queues to take tasks from, the first one first
  -c, --concurrency N         tasks at once; default: the processors
  -P, --pool POOL             threads, processes or inline
      --load LIBRARY          load a library that has tasks; may be repeated
  -n, --hostname NAME         its name, "NAME@HOST"; %h is this host
  -l, --loglevel LEVEL        debug, info, warning, error
  -E, --task-events           send events of tasks, too
      --prefetch N            messages held beyond those that run
      --max-tasks-per-child N   processes: a child is replaced after so many
      --max-memory-per-child N  processes: a child that has more KiB is replaced
  -q, --quiet                 no banner
)";

struct flag {
  char letter;  // 0: none
  std::string_view name;
  bool has_value;
  void (*apply)(worker_flags& to, const std::string& value);
};

std::vector<std::string> parts(const std::string& text) {
  std::vector<std::string> found;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    if (end > at) found.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (found.empty()) throw std::invalid_argument("no queue is named");
  return found;
}

template <class T>
T number(const std::string& text, T least) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [at, failed] = std::from_chars(text.data(), end, value);
  if (failed != std::errc() || at != end || value < least)
    throw std::invalid_argument(fmt::format("it must be a number, at least {}", least));
  return value;
}

log_level level_of(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (text == "warning") return log_level::warn;
  if (text == "critical" || text == "fatal") return log_level::error;
  for (const log_level level :
       {log_level::trace, log_level::debug, log_level::info, log_level::warn, log_level::error, log_level::off}) {
    if (text == to_string(level)) return level;
  }
  throw std::invalid_argument("known: trace, debug, info, warning, error, critical, off");
}

// Celery's %h is the host; its others mean processes of a `celery multi`.
std::string name_of(const std::string& text) {
  std::string name;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      name += text[i];
      continue;
    }
    const char what = i + 1 < text.size() ? text[++i] : '\0';
    if (what == '%') {
      name += '%';
    } else if (what == 'h') {
      char host[256] = {};
      if (::gethostname(host, sizeof host - 1) != 0) throw std::invalid_argument("this host has no name");
      name += host;
    } else {
      throw std::invalid_argument("known behind %: %h, this host, and %%");
    }
  }
  return name;
}

void set_config(worker_flags& to, const std::string& file) { to.app = app::options_from_file(file, std::move(to.app)); }

constexpr std::array all_flags = {
    flag{0, "config", true, set_config},
    flag{'b', "broker", true, [](worker_flags& to, const std::string& value) { to.app.broker = value; }},
    flag{0, "backend", true, [](worker_flags& to, const std::string& value) { to.app.backend = value; }},
    flag{'Q', "queues", true, [](worker_flags& to, const std::string& value) { to.worker.queues = parts(value); }},
    flag{'c', "concurrency", true,
         [](worker_flags& to, const std::string& value) { to.worker.concurrency = number(value, 1); }},
    flag{'P', "pool", true,
         [](worker_flags& to, const std::string& value) { to.worker.pool = parse_worker_pool(value); }},
    flag{0, "load", true, [](worker_flags& to, const std::string& value) { to.libraries.push_back(value); }},
    flag{'n', "hostname", true, [](worker_flags& to, const std::string& value) { to.worker.name = name_of(value); }},
    flag{'l', "loglevel", true, [](worker_flags& to, const std::string& value) { to.level = level_of(value); }},
    flag{'E', "task-events", false, [](worker_flags& to, const std::string&) { to.worker.task_events = true; }},
    flag{0, "prefetch", true,
         [](worker_flags& to, const std::string& value) { to.worker.prefetch = number(value, std::size_t{0}); }},
    flag{0, "max-tasks-per-child", true,
         [](worker_flags& to, const std::string& value) {
           to.worker.max_tasks_per_child = number(value, std::uint64_t{0});
         }},
    flag{0, "max-memory-per-child", true,
         [](worker_flags& to, const std::string& value) {
           to.worker.max_memory_per_child = number(value, std::uint64_t{0});
         }},
    flag{'q', "quiet", false, [](worker_flags& to, const std::string&) { to.quiet = true; }},
    flag{'h', "help", false, [](worker_flags& to, const std::string&) { to.help = true; }},
};

struct given_flag {
  const flag* known;
  std::string word, value;
};

const flag* find(std::string_view word) {
  const auto found = std::ranges::find_if(all_flags, [&](const flag& f) {
    return word.starts_with("--") ? word.substr(2) == f.name : f.letter != 0 && word[1] == f.letter;
  });
  return found == all_flags.end() ? nullptr : &*found;
}

std::vector<given_flag> split(std::span<const std::string> words) {
  std::vector<given_flag> found;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-')
      throw std::invalid_argument(fmt::format("unexpected argument \"{}\"", redacted(word)));
    const bool is_long = word.starts_with("--");
    const std::size_t end = is_long ? std::min(word.find('='), word.size()) : 2;
    const std::string name = word.substr(0, end);
    const flag* known = find(name);
    if (known == nullptr) {
      std::vector<std::string> names;
      names.reserve(std::size(all_flags));
      for (const flag& f : all_flags) names.push_back(fmt::format("--{}", f.name));
      throw std::invalid_argument(
          fmt::format("unknown option \"{}\"; known: {}", redacted(name), fmt::join(names, ", ")));
    }
    const bool has_value = end < word.size();
    if (!known->has_value && has_value) throw std::invalid_argument(fmt::format("{} has no value", name));
    if (known->has_value && !has_value && i + 1 == words.size())
      throw std::invalid_argument(fmt::format("{} needs a value", name));
    std::string value = !known->has_value ? "" : has_value ? word.substr(is_long ? end + 1 : end) : words[++i];
    if (known->has_value && value.empty()) throw std::invalid_argument(fmt::format("{} needs a value", name));
    found.push_back({known, name, std::move(value)});
  }
  return found;
}

void load(const std::string& library) {
  // Without a slash the system looks where it keeps its own libraries: what lies here is meant when it is here.
  const bool here = library.find('/') == library.npos && std::filesystem::exists(library);
  if (::dlopen(((here ? "./" : "") + library).c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return;
  const char* why = ::dlerror();
  throw os_error(fmt::format("the library \"{}\" cannot be loaded: {}", redacted(library),
                             redacted(why == nullptr ? std::string("?") : why, library)),
                 ELIBACC);
}

std::string listed(const std::vector<std::string>& names, std::size_t most) {
  if (names.size() <= most) return fmt::format("{}", fmt::join(names, ", "));
  return fmt::format("{} and {} more",
                     fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(most), ", "),
                     names.size() - most);
}

}  // namespace

std::string_view worker_flags_help() noexcept { return help; }

worker_flags parse_worker_flags(std::span<const std::string> words, app_options given) {
  worker_flags parsed{.app = std::move(given)};
  const std::vector<given_flag> found = split(words);
  for (const bool config : {true, false}) {  // the file is what the others change
    for (const given_flag& each : found) {
      if ((each.known->apply == &set_config) != config) continue;
      try {
        each.known->apply(parsed, each.value);
      } catch (const std::invalid_argument& bad) {
        throw std::invalid_argument(fmt::format("{} \"{}\": {}", each.word, redacted(each.value), bad.what()));
      }
    }
  }
  return parsed;
}

int run_worker(const worker_flags& flags) {
  if (flags.level) set_log_level(*flags.level);
  for (const std::string& library : flags.libraries) load(library);
  const app where(flags.app);
  where.make_current();
  worker works(where, flags.worker);

  std::vector<std::string> queues = flags.worker.queues;
  if (queues.empty()) queues = {where.options().queue};
  std::vector<std::string> tasks;
  for (const registered_task* task : registered_tasks()) {
    if (task->settings.name != call_task_name) tasks.push_back(task->settings.name);  // every worker has that one
  }
  const bool alone = flags.worker.pool == worker_pool::inline_;
  const int concurrency = alone ? 1 : flags.worker.concurrency > 0 ? flags.worker.concurrency : default_concurrency();
  const std::string broker = where.tasks()->name();
  const std::string_view pool = to_string(flags.worker.pool);
  log(log_level::info, "worker begins",
      {{"name", works.name()},
       {"broker", broker},
       {"queues", listed(queues, 20)},
       {"concurrency", concurrency},
       {"pool", pool},
       {"tasks", listed(tasks, 20)}});
  if (tasks.empty()) {
    log(log_level::warn,
        "no tasks are known: only calls of cluster_pools can run here, and what else comes is put aside in QUEUE.dead; "
        "for tasks give --load LIBRARY",
        {{"worker", works.name()}, {"queues", listed(queues, 20)}});
  }
  if (!flags.quiet) {
    fmt::print(stderr,
               "tutti worker {}\n  broker       {}\n  queues       {}\n  concurrency  {} ({})\n  tasks        {}\n",
               works.name(), broker, listed(queues, 20), concurrency, pool,
               tasks.empty() ? "none, only calls of cluster_pools" : listed(tasks, 20));
    std::fflush(stderr);
  }
  const int code = works.run();
  // It has ended: who asks for that again does not change how.
  for (const int number : {SIGTERM, SIGINT}) ::signal(number, SIG_IGN);
  return code;
}

int run_worker_from_flags() {
  const auto refuse = [](const std::exception& why, int code) {
    std::fprintf(stderr, "tutti: %s\n", why.what());
    return code;
  };
  try {
    std::vector<std::string> words = init_words();
    words.insert(words.begin(), "--broker=" + init_flag("worker").value_or(""));
    const worker_flags flags = parse_worker_flags(words, app::options_from_environment());
    if (flags.help) {
      fmt::print("{}", worker_flags_help());
      return 0;
    }
    return run_worker(flags);
  } catch (const std::invalid_argument& bad) {
    return refuse(bad, 2);
  } catch (const bad_spec& bad) {
    return refuse(bad, 2);
  } catch (const decode_error& bad) {
    return refuse(bad, 2);
  } catch (const std::exception& failed) {
    return refuse(failed, 1);
  }
}

}  // namespace tutti::cluster
