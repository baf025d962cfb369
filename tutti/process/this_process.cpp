#include <tutti/process/this_process.hpp>

namespace tutti {
namespace {

// Never destroyed: threads may ask while statics are.
std::string& own_name() {
  static std::string& name = *new std::string("main");
  return name;
}

}  // namespace

const std::string& this_process::name() noexcept { return own_name(); }
void detail::set_process_name(const std::string& name) { own_name() = name; }

}  // namespace tutti
