#include <tutti/cluster/inside/worker/child_run.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/cluster/inside/worker/builtin_tasks.hpp>
#include <tutti/cluster/inside/worker/ending.hpp>
#include <tutti/cluster/result_store.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <mutex>
#include <utility>

namespace tutti::cluster::detail {
namespace {

// This process' own connection: one for each store that it was told of.
std::shared_ptr<result_store> store_at(const std::string& url) {
  static std::mutex mutex;
  static std::pair<std::string, std::shared_ptr<result_store>> last;
  const std::lock_guard lock(mutex);
  if (!last.second || last.first != url) last = {url, open_result_store(broker_url::parse(url))};
  return last.second;
}

void update(const call_context& self, std::string_view status, std::string_view json) {
  const auto& request = *static_cast<const child_request*>(self.user);
  const ending_rules rules{{}, std::chrono::seconds(request.expires)};
  const stored_result kept = state_result(request.message, status, json, nullptr, rules);
  store_at(request.backend)->store({&kept, 1});
}

const registered_task* task_named(const child_request& request) {
  const std::string& name = request.message.task;
  const registered_task* task = find_builtin(name);
  if (task == nullptr) task = find_task(name);
  // The worker may have loaded it later than this process was made.
  if (task == nullptr && !request.library.empty() && ::dlopen(request.library.c_str(), RTLD_NOW) != nullptr) {
    task = find_task(name);
  }
  return task;
}

}  // namespace

void prepare_child() {
  for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) ::signal(number, SIG_IGN);
}

std::int32_t child_pid() { return ::getpid(); }

std::string run_in_child(const std::string& text) {
  auto request = decode<child_request>(text);
  outcome ended;
  if (const registered_task* const task = task_named(request)) {
    const std::stop_source stop;
    call_context context;
    context.message = &request.message;
    context.deadline = request.deadline;
    context.stop = stop.get_token();
    context.worker = request.worker;
    if (!ignores_result(request.message, &task->settings)) context.update = update;
    context.user = &request;
    ended = run_task(*task, context, stop, std::chrono::nanoseconds(request.soft_limit));
  } else {
    ended.failure = celery_failure("NotRegistered", request.message.task);
  }
  return encode(ended);
}

}  // namespace tutti::cluster::detail
