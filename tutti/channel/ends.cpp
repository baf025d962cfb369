#include <tutti/channel/ends.hpp>

#include <string>

namespace tutti::detail {

void throw_no_end(const char* kind) {
  throw std::logic_error(std::string(kind) + " used after it was moved away or closed; share() makes another end");
}

void end_holder::tell_used(const wait_target& resource, const place& here) {
  const void* const self = wait_graph::self_id();
  if (id_ == self) return;
  wait_observer* const o = wait_graph::observer();
  if (o == nullptr) return;
  o->releases(id_, resource.resource);
  o->holds(wait_graph::self(), resource, here, false);
  id_ = self;
}

void end_holder::made(const wait_target& resource) noexcept {
  if (wait_observer* const o = wait_graph::observer(); o != nullptr) o->holds({}, resource, {}, false);
}

void end_holder::moved(const wait_target& resource) noexcept {
  if (id_ == nullptr) return;
  if (wait_observer* const o = wait_graph::observer(); o != nullptr) {
    o->releases(id_, resource.resource);
    o->holds({}, resource, {}, false);
  }
  id_ = nullptr;
}

void end_holder::dropped(const wait_target& resource) noexcept {
  if (wait_observer* const o = wait_graph::observer(); o != nullptr) o->releases(id_, resource.resource);
  id_ = nullptr;
}

}  // namespace tutti::detail
