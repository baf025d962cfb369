// round_trip: a value that goes to a process and comes back, as an argument and a result of this one.
#pragma once
#include <tutti/base/codec.hpp>
#include <tutti/process/handles.hpp>

#include <string>
#include <utility>
#include <vector>

namespace tutti_test {

/// What arrives where `To` is expected and `from` was sent.
template <class To, class From>
To sent_as(const From& from) {
  std::string bytes;
  std::vector<tutti::unique_fd> handles;
  {
    tutti::detail::outgoing_handles out;
    bytes = tutti::encode(from);
    handles = out.take();
  }
  const tutti::detail::incoming_handles in(std::move(handles));
  return tutti::decode<To>(bytes);
}
template <class T>
T round_trip(const T& value) {
  return sent_as<T>(value);
}

}  // namespace tutti_test
