// Makes this module's worker processes known to init in every program that links it.
#include <tutti/base/init.hpp>
#include <tutti/process/launcher_main.hpp>

namespace tutti {
namespace {

const worker_main launcher{"launcher", detail::run_launcher};
const worker_main new_image{"child", detail::run_new_image};

}  // namespace
}  // namespace tutti
