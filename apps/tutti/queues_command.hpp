// queues_command: `tutti queues` and `tutti purge`: what waits, and dropping it.
#pragma once
#include <apps/tutti/broker_choice.hpp>
#include <apps/tutti/demo.hpp>

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace tutti::app {

struct queues_options {
  broker_choice at = {};
  std::vector<std::string> names = {};   ///< `queues`: none means all
  std::optional<std::size_t> show = {};  ///< `queues`: so many messages of each
  bool force = false;                    ///< `purge`: without asking
  bool json = false;
};

CLI::App* add_queues_command(CLI::App& app, queues_options& options);
CLI::App* add_purge_command(CLI::App& app, queues_options& options);

/// Throw bad_spec and broker_error; run_purge std::invalid_argument when it would have to ask and `in` is no terminal.
exit_code run_queues(const queues_options& options, std::ostream& out);
exit_code run_purge(const queues_options& options, std::istream& in, bool terminal, std::ostream& out,
                    std::ostream& err);

}  // namespace tutti::app
