// Records every program that links this module when --tutti-trace or TUTTI_TRACE asks for it.
#include <tutti/base/init.hpp>
#include <tutti/trace/record_to_file.hpp>

namespace tutti {
namespace {

const init_option trace_flag{"trace", detail::record_as_flag_says};
const bool looked_at_environment = (detail::record_as_environment_says(), true);

}  // namespace
}  // namespace tutti
