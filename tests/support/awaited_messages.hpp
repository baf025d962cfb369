// awaited_messages: messages as coroutines, and the places where these run.
#pragma once
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <tests/support/ranks.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/task/sync_wait.hpp>
#include <tutti/task/task.hpp>

namespace tutti_test {

template <class T>
tutti::task<T> receive(const tutti::mpi::communicator& all, int from, int tag) {
  co_return co_await all.irecv<T>(from, tag);
}
inline tutti::task<tutti::mpi::status> receive_into(const tutti::mpi::communicator& all, int& into, int from, int tag) {
  tutti::mpi::request coming = all.irecv_into(into, from, tag);
  co_return co_await coming;
}
template <class T>
tutti::task<> send(const tutti::mpi::communicator& all, const T& value, int to, int tag) {
  tutti::mpi::request sent = all.isend(value, to, tag);
  co_await sent;
}
template <class T>
tutti::task<> send_synchronously(const tutti::mpi::communicator& all, const T& value, int to, int tag) {
  tutti::mpi::request sent = all.issend(value, to, tag);
  co_await sent;
}

// The three places where coroutines run.
template <class Make>
void everywhere(const char* name, Make make) {
  const tutti::mpi::communicator all = tutti::mpi::world().dup(name);
  {
    SCOPED_TRACE("mpi::run");
    tutti::mpi::run(make(all));
  }
  all.barrier();
  {
    SCOPED_TRACE("thread_pool");
    tutti::thread_pool pool(2);
    pool.submit(make(all)).get();
  }
  all.barrier();
  {
    SCOPED_TRACE("sync_wait");
    tutti::sync_wait(make(all));
  }
  all.barrier();
  EXPECT_FALSE(all.iprobe());
}

}  // namespace tutti_test
