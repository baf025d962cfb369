#include <tutti/cluster/inside/worker/child_run.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/inside/worker/builtin_tasks.hpp>
#include <tutti/cluster/inside/worker/ending.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <utility>

namespace tutti::cluster::detail {
namespace {

// Of this process; null: nobody has prepared it.
struct child_state {
  child_setup setup;
  app where;
  shared_value<std::uint64_t> begun;
};
std::unique_ptr<const child_state> state_here;

void hear_nothing(int /*signal*/) {}

void load(const std::string& library) {
  if (::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return;
  const char* const why = ::dlerror();
  throw error("the library \"" + library + "\" of its tasks cannot be loaded: " + (why == nullptr ? "?" : why));
}

void update(const call_context& self, std::string_view status, std::string_view json) {
  const auto& request = *static_cast<const child_request*>(self.user);
  const ending_rules rules{{}, std::chrono::seconds(request.expires)};
  const stored_result kept = state_result(request.message, status, json, nullptr, rules);
  self.where->results()->store({&kept, 1});
}

// Null: there is none.
const registered_task* task_named(const child_request& request) {
  const std::string& name = request.message.task;
  if (const registered_task* const task = task_to_run(name)) return task;
  if (request.library.empty()) return nullptr;
  load(request.library);  // the worker has loaded it later than this process was made
  return find_task(name);
}

}  // namespace

void prepare_child(const child_setup& setup, const shared_value<std::uint64_t>& begun) {
  // With a handler, not ignored: that would hold for the programs, too, that a task runs.
  struct ::sigaction deaf{};
  deaf.sa_handler = hear_nothing;
  deaf.sa_flags = SA_RESTART;
  for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) ::sigaction(number, &deaf, nullptr);
  const app where({.broker = setup.broker,
                   .backend = setup.backend,
                   .queue = setup.queue,
                   .result_expires = std::chrono::seconds(setup.result_expires),
                   .lease = std::chrono::milliseconds(setup.lease),
                   .patience = std::chrono::milliseconds(setup.patience)});
  where.make_current();
  state_here = std::make_unique<const child_state>(setup, where, begun);
  for (const std::string& library : setup.libraries) load(library);
}

std::int32_t child_pid() { return ::getpid(); }

std::string run_in_child(const std::string& text) {
  const child_state& here = *state_here;
  here.begun.store(attempt_begun(here.begun.load(), ::getpid()));  // one process at a time runs one
  auto request = decode<child_request>(text);
  outcome ended;
  const registered_task* task = nullptr;
  try {
    task = task_named(request);
  } catch (const error& e) {
    ended.kind = outcome_kind::again;
    ended.text = e.what();
    return encode(ended);
  }
  if (task != nullptr) {
    const std::stop_source stop;
    call_context context;
    context.message = &request.message;
    context.where = &here.where;
    context.deadline = request.deadline;
    context.stop = stop.get_token();
    context.worker = here.setup.worker;
    if (!ignores_result(request.message, &task->settings)) context.update = update;
    context.user = &request;
    ended = run_task(*task, context, stop, std::chrono::nanoseconds(request.soft_limit));
  } else {
    ended.failure = celery_failure("NotRegistered", request.message.task);
  }
  return encode(ended);
}

}  // namespace tutti::cluster::detail
