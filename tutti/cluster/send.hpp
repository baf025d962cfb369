// send: puts tasks on their way.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/arguments.hpp>
#include <tutti/cluster/async_result.hpp>
#include <tutti/cluster/canvas_plan.hpp>
#include <tutti/cluster/send_options.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster {

struct task_settings;

namespace detail {

/// The app that `options` name, or the current one.
[[nodiscard]] app app_for(const send_options& options);
/// A message for one task, as `options` and `settings` (null: as they are registered here, if they are) say; a task of
/// the one that runs on this thread, if any. Throws std::invalid_argument for options that make no sense.
[[nodiscard]] task_message make_message(const app& where, std::string_view task, call_arguments arguments,
                                        const send_options& options, const task_settings* settings);
/// Sends it, or runs it in an eager app. Blocks for a round trip to the broker; throws broker_error.
void send_message(const app& where, const task_message& message);
/// The same for all that a plan says.
void send_all(const app& where, const send_plan& plan);

}  // namespace detail

/// Sends a task by its name, which need not be known here. Arguments are of any type that can be JSON, `json` for JSON
/// as it is, or kw("name", value): they are not checked. Blocks for a round trip to the broker. Throws broker_error
/// when it does not take the message, std::invalid_argument, encode_error.
template <class R = json, class... A>
async_result<R> send_task(std::string_view task, const send_options& options, const A&... arguments) {
  const app where = detail::app_for(options);
  task_message message = detail::make_message(where, task, detail::encode_arguments(arguments...), options, nullptr);
  detail::send_message(where, message);
  return result_access::task<R>(where, std::move(message.id), std::move(message.task), message.ignore_result);
}

}  // namespace tutti::cluster
