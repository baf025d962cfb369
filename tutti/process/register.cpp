// Makes this module's executor known to make_executor, and its worker processes to init, in every program that links
// it.
#include <tutti/base/init.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/process/launcher_main.hpp>
#include <tutti/process/process_pool.hpp>

namespace tutti {
namespace {

std::unique_ptr<executor> make_processes(std::string_view spec) {
  return std::make_unique<process_pool>(count_in_spec(spec, process_pool::most_workers));
}

const bool registered = [] {
  register_executor({"processes", "processes[:N]", "tutti::process", "worker processes, isolated from this one",
                     make_processes, nullptr});
  return true;
}();

const worker_main launcher{"launcher", detail::run_launcher};
const worker_main new_image{"child", detail::run_new_image};

}  // namespace
}  // namespace tutti
