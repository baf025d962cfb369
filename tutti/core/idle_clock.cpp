#include <tutti/core/idle_clock.hpp>
namespace tutti::detail {
bool advance_idle_clock(bool (*)(void*), void*) { return false; }
}  // namespace tutti::detail
