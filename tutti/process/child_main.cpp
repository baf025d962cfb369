#include <tutti/process/child_main.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/base/demangle.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/init.hpp>
#include <tutti/base/throw_stack.hpp>
#include <tutti/process/find_loaded.hpp>
#include <tutti/process/handles.hpp>
#include <tutti/process/launcher_main.hpp>
#include <tutti/process/pool_worker.hpp>
#include <tutti/process/this_process.hpp>

#include <cxxabi.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <typeinfo>
#include <utility>

namespace tutti::detail {
namespace {

std::string read_all(int fd) {
  struct ::stat about{};
  if (::fstat(fd, &about) != 0) throw os_error::of("cannot read what is to be run", errno);
  std::string bytes(static_cast<std::size_t>(about.st_size), '\0');
  for (std::size_t at = 0; at < bytes.size();) {
    const ::ssize_t n = ::pread(fd, bytes.data() + at, bytes.size() - at, static_cast<::off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw os_error::of("cannot read what is to be run", errno);
    at += static_cast<std::size_t>(n);
  }
  return bytes;
}

// What an uncaught exception does to a process: its text on standard error, exit code 1. The last words are for who
// asks for process::failure.
int end_with_exception(const launch_request& request, const unique_fd& payload) {
  std::string text = "an exception that is not a std::exception";
  const std::type_info* const type = abi::__cxa_current_exception_type();
  try {
    throw;
  } catch (const std::exception& e) {
    const char* const what = e.what();
    text = what != nullptr ? what : "";
  } catch (...) {
  }
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s: %s\n", request.name.c_str(), type == nullptr ? "?" : demangle(type->name()).c_str(),
               text.c_str());
  const std::string words = encode_exception(std::current_exception(), &throw_stack);
  // If they cannot be written, the exit code says enough.
  if (::ftruncate(payload.get(), 0) == 0) {
    [[maybe_unused]] const ::ssize_t written = ::pwrite(payload.get(), words.data(), words.size(), 0);
  }
  return EXIT_FAILURE;
}

int run_function(const launch_request& request, const unique_fd& payload, std::vector<unique_fd> handles) {
  try {
    const auto call = decode<function_call>(read_all(payload.get()));
    if (::ftruncate(payload.get(), 0) != 0) throw os_error::of("cannot empty the file of a call", errno);
    const function_info& function = find_loaded(call.function, call.signature, call.library);
    std::string result;  // nobody asks for it
    const outgoing_handles with_result;
    const incoming_handles with_arguments(std::move(handles));
    noting_throws([&] { function.invoke(call.arguments, result); });
    return EXIT_SUCCESS;
  } catch (...) {
    return end_with_exception(request, payload);
  }
}

int run_worker(const launch_request& request, std::vector<unique_fd> handles) {
  try {
    return serve_pool(std::move(handles));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tutti: worker \"%s\" failed: %s\n", request.name.c_str(), e.what());
    return EXIT_FAILURE;
  }
}

}  // namespace

int run_child(const launch_request& request, unique_fd payload, std::vector<unique_fd> handles) noexcept {
  int code = EXIT_FAILURE;
  try {
    set_process_name(request.name);
    ::prctl(PR_SET_NAME, request.name.c_str());  // for ps and top; cut to 15 bytes
    code = request.kind == launch_kind::worker ? run_worker(request, std::move(handles))
                                               : run_function(request, payload, std::move(handles));
    std::cout.flush();
    std::clog.flush();
  } catch (...) {  // the streams may throw when they were told to
  }
  std::fflush(nullptr);
  return code;
}

// In a new image of the program: what become() has left for it.
int run_new_image() {
  const std::string given = init_flag("child").value_or("");
  int file = -1, notes = -1;
  const char* const end = given.data() + given.size();
  const auto comma = std::from_chars(given.data(), end, file);
  if (comma.ptr != end) std::from_chars(comma.ptr + 1, end, notes);
  const unique_fd request_file(file);
  const auto request = decode<launch_request>(read_all(file));
  // SIGINT is ignored already, and so is what else the launcher ignored.
  std::vector<unique_fd> handles;
  handles.reserve(request.handles.size());
  for (const std::int32_t handle : request.handles) handles.emplace_back(handle);
  for (const unique_fd& handle : handles) ::fcntl(handle.get(), F_SETFD, FD_CLOEXEC);
  unique_fd payload(request.payload);
  if (payload) ::fcntl(payload.get(), F_SETFD, FD_CLOEXEC);
  unique_fd(notes).reset();  // it has reached init
  return run_child(request, std::move(payload), std::move(handles));
}

}  // namespace tutti::detail
