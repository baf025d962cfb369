// tutti's mutex while a deadlock watch lives: what looking on costs.
#include <tutti/sync/mutex.hpp>
#include <tutti/sync/watch.hpp>

#include "loops.hpp"

namespace bench::sync {

namespace {

template <values (*run)(std::size_t, placement)>
values watched(std::size_t count, placement where) {
  tutti::watch watching;
  return run(count, where);
}

}  // namespace

offers of_watched_tutti() {
  return {{what::mutex, "tutti, watched", watched<lock_and_unlock<tutti::mutex>>},
          {what::contended, "tutti, watched", watched<contend<tutti::mutex>>}};
}

}  // namespace bench::sync
