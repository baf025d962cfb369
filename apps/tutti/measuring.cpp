#include <apps/tutti/measuring.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace tutti::app {
namespace {

constexpr const char* speedup_words = "-- PROGRAM ARGS";
constexpr const char* bench_words = "-- COMMAND ARGS [-- COMMAND ARGS]...";

// CLI11 does not know of the words that are another program's.
class with_program : public CLI::Formatter {
 public:
  explicit with_program(const char* words) : words_(words) {}
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string usage = Formatter::make_usage(app, std::move(name));
    return usage.insert(usage.find_last_not_of('\n') + 1, std::string(" ") + words_);
  }

 private:
  const char* words_;
};

// What both commands take.
template <class Options>
void add_common_options(CLI::App& command, Options& options) {
  command.add_option("--warmup", options.warmup, "rounds that are not counted; default: 1")->check(CLI::Range(0, 1000));
  command.add_option("--timeout", options.timeout, "the longest that a run may take")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 1e9));
  command.add_flag("--json", options.json, "write JSON, described in docs/tutti-cli.md");
}

}  // namespace

measuring::measuring(CLI::App& app, const std::string& footer, bool show_progress)
    : speedup_(app.add_subcommand("speedup", "how far a program gains from more workers, and where it stops")),
      bench_(app.add_subcommand("bench", "time commands side by side")) {
  speedup_options_.show_progress = show_progress;
  bench_options_.show_progress = show_progress;
  add_speedup_options(*speedup_, speedup_options_);
  add_common_options(*speedup_, speedup_options_);
  add_bench_options(*bench_, bench_options_);
  add_common_options(*bench_, bench_options_);
  speedup_->formatter(std::make_shared<with_program>(speedup_words));
  bench_->formatter(std::make_shared<with_program>(bench_words));
  for (CLI::App* command : {speedup_, bench_}) {
    // The first word that is no option ends ours; take_programs says what it means.
    command->prefix_command();
    command->footer(command->get_footer() + footer);
  }
}

int measuring::own_words(int argc, const char* const* argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command != "speedup" && command != "bench" && command != "run") return argc;
  return static_cast<int>(std::find(argv, argv + argc, std::string_view("--")) - argv);
}

void measuring::take_programs(int argc, const char* const* argv) {
  const CLI::App* command = speedup_->parsed() ? speedup_ : bench_->parsed() ? bench_ : nullptr;
  if (command == nullptr) return;
  const std::vector<std::string> before = command->remaining();
  if (!before.empty() && before.front().starts_with('-')) throw CLI::ExtrasError(command->get_name(), before);
  const int own = own_words(argc, argv);
  const std::vector<std::string> behind(argv + std::min(own + 1, argc), argv + argc);

  if (command == speedup_) {
    if (!before.empty()) {
      throw std::invalid_argument("the program comes behind \"--\": tutti speedup [OPTIONS] -- " + before.front() +
                                  " ARGS, with {} for the number of workers");
    }
    if (behind.empty() || behind.front().empty())
      throw std::invalid_argument(std::string("the program is missing: tutti speedup [OPTIONS] ") + speedup_words);
    speedup_options_.program = behind;
    return;
  }
  bench_options_.commands = split_commands(behind);
  if (!before.empty()) {
    if (own == argc) bench_options_.commands.clear();
    bench_options_.commands.insert(bench_options_.commands.begin(), before);
  }
  for (const std::vector<std::string>& words : bench_options_.commands) {
    if (words.empty() || words.front().empty())
      throw std::invalid_argument(std::string("a command is missing: tutti bench [OPTIONS] ") + bench_words);
  }
}

std::optional<exit_code> measuring::run(std::ostream& out, std::ostream& err) const {
  if (speedup_->parsed()) return run_speedup(speedup_options_, out, err);
  if (bench_->parsed()) return run_bench(bench_options_, out, err);
  return std::nullopt;
}

}  // namespace tutti::app
