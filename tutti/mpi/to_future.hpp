// to_future: requests as futures, for then, when_all, as_completed and whatever else takes those.
#pragma once
#include <tutti/core/thread_pool.hpp>
#include <tutti/mpi/request.hpp>
#include <tutti/mpi/value_request.hpp>
#include <tutti/task/task.hpp>

#include <utility>

namespace tutti::mpi {

/// A future that is done when the request has ended. What the request reads from or writes to must stay until then: a
/// future that is dropped lets it go on, one that is cancelled gives a receive up, and is done when that has been;
/// anything else is waited for. Needs thread_level::multiple.
inline future<status> to_future(request what) {
  return default_pool().submit([](request r) -> task<status> { co_return co_await r; }(std::move(what)));
}

/// A future for the value that will be received. One that is dropped receives it all the same; cancel it first. The
/// communicator must stay until it is done.
template <class T>
future<T> to_future(value_request<T> what) {
  return default_pool().submit([](value_request<T> r) -> task<T> { co_return co_await r; }(std::move(what)));
}

}  // namespace tutti::mpi
