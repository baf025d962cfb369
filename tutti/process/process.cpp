#include <tutti/process/process.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/core/time_limit.hpp>
#include <tutti/process/above_streams.hpp>
#include <tutti/process/launcher.hpp>
#include <tutti/process/machine_time.hpp>
#include <tutti/process/no_sigpipe.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/stream_plan.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <thread>

namespace tutti {
namespace {

std::string default_name() {
  static std::atomic<int> started{0};
  return "process-" + std::to_string(started.fetch_add(1, std::memory_order_relaxed) + 1);
}

// Variables of ours, with the given ones in their place.
std::vector<std::string> merged_environment(std::span<const std::pair<std::string, std::string>> given,
                                            const std::string& name) {
  std::vector<std::string> result = detail::current_environment();
  for (const auto& [variable, value] : given) {
    if (variable.empty() || variable.find('=') != variable.npos || (variable + value).find('\0') != variable.npos) {
      throw std::invalid_argument("process \"" + name + "\": the environment cannot have a variable \"" + variable +
                                  "\": a name is not empty and has no '=', and neither part a zero byte");
    }
    std::erase_if(result, [&](const std::string& old) { return old.starts_with(variable + '='); });
    result.push_back(variable + '=' + value);
  }
  return result;
}

detail::launch_request request_for(const process_options& options, const std::string& name) {
  detail::launch_request request;
  request.name = name;
  request.tree = options.tree;
  request.exec = options.start == start_method::exec;
  request.environment = merged_environment(options.environment, name);
  // Where we are now, not where the launcher process was started.
  std::error_code unknown;
  request.directory =
      options.directory.empty() ? std::filesystem::current_path(unknown).string() : std::string(options.directory);
  for (const resource_limit& limit : options.limits) request.limits.push_back({limit.resource, limit.value});
  request.cpus.assign(options.cpus.begin(), options.cpus.end());
  return request;
}

unique_fd file_with(const std::string& bytes, const std::string& name) {
  unique_fd file = detail::above_streams(unique_fd(::memfd_create("tutti call", MFD_CLOEXEC)));
  bool written = static_cast<bool>(file);
  for (std::size_t at = 0; written && at < bytes.size();) {
    const ::ssize_t n = ::write(file.get(), bytes.data() + at, bytes.size() - at);
    if (n > 0) at += static_cast<std::size_t>(n);
    written = n > 0 || errno == EINTR;
  }
  if (!written) throw os_error::of("cannot hand over the arguments of process \"" + name + '"', errno);
  return file;
}

// No process without an object.
void wait_started(detail::launched& starting) {
  try {
    starting.wait_started();
  } catch (...) {
    starting.signal(SIGKILL);  // if it is not that it could not be started
    throw;
  }
}

}  // namespace

void process::start(const process_options& options, const function_info& function, const std::string& arguments,
                    const detail::outgoing_handles& handles) {
  name_ = options.name.empty() ? default_name() : std::string(options.name);
  daemon_ = options.daemon;
  detail::launch_request request = request_for(options, name_);
  stream_plan streams(options.in, options.out, options.err, name_, request);
  std::vector<int> all = streams.handles();
  payload_ = file_with(
      encode(detail::function_call{std::string(function.name), function.signature, function.library, arguments}),
      name_);
  request.payload = static_cast<std::int32_t>(all.size());
  all.push_back(payload_.get());
  for (const unique_fd& handle : handles.all()) {
    request.handles.push_back(static_cast<std::int32_t>(all.size()));
    all.push_back(handle.get());
  }
  running_ = detail::launcher::of("")->start(std::move(request), all);
  wait_started(*running_);
  for (int n = 0; n < 3; ++n) pipes_[n] = streams.take_pipe(n);
}

process process::exec(const std::vector<std::string>& command, const process_options& options) {
  if (command.empty() || command.front().empty())
    throw std::invalid_argument("process::exec: no program is named; give its name or path first");
  for (const std::string& word : command) {
    if (word.find('\0') == word.npos) continue;
    throw std::invalid_argument("process::exec: an argument of \"" + command.front() +
                                "\" has a zero byte, where the system would cut it");
  }
  process result;
  result.name_ = options.name.empty() ? default_name() : std::string(options.name);
  result.daemon_ = options.daemon;
  detail::launch_request request = request_for(options, result.name_);
  request.kind = detail::launch_kind::program;
  request.arguments = command;
  stream_plan streams(options.in, options.out, options.err, result.name_, request);
  auto running = detail::launcher::of("")->start(std::move(request), streams.handles());
  wait_started(*running);
  result.running_ = std::move(running);
  for (int n = 0; n < 3; ++n) result.pipes_[n] = streams.take_pipe(n);
  return result;
}

process& process::operator=(process&& other) noexcept {
  if (this == &other) return *this;
  end();
  name_ = std::move(other.name_);
  daemon_ = other.daemon_;
  running_ = std::move(other.running_);
  for (int n = 0; n < 3; ++n) pipes_[n] = std::move(other.pipes_[n]);
  payload_ = std::move(other.payload_);
  return *this;
}

process::~process() { end(); }

void process::end() noexcept {
  if (running_ == nullptr || !running_->is_of_this_process()) return;
  if (daemon_) running_->signal(SIGKILL);
  for (unique_fd& pipe : pipes_) pipe.reset();  // who reads from us, or writes to us, need not wait
  while (!running_->is_over()) {
    try {
      running_->wait_over(wait_how{.what = "process::~process"});
    } catch (...) {  // pool_exhausted: then without a thread in our place
      std::this_thread::yield();
    }
  }
}

detail::launched& process::held(const char* what) const {
  if (running_ == nullptr) throw std::logic_error(std::string("process::") + what + ": it holds no process");
  if (!running_->is_of_this_process())
    throw std::logic_error("process \"" + name_ + "\": " + what +
                           " in a forked child: only its parent can wait for it");
  return *running_;
}

int process::pid() const noexcept { return running_ == nullptr ? 0 : running_->pid(); }

bool process::alive() const noexcept { return running_ != nullptr && !running_->is_over(); }

std::optional<exit_status> process::status() const noexcept {
  if (running_ == nullptr || !running_->is_over()) return std::nullopt;
  return running_->status();
}

std::exception_ptr process::failure() const {
  const auto ended = status();
  if (!ended || ended->code() != EXIT_FAILURE || !payload_) return nullptr;
  struct ::stat about{};
  if (::fstat(payload_.get(), &about) != 0 || about.st_size == 0) return nullptr;
  std::string words(static_cast<std::size_t>(about.st_size), '\0');
  const ::ssize_t n = ::pread(payload_.get(), words.data(), words.size(), 0);
  if (n != about.st_size) return nullptr;
  try {
    return decode_exception(words);
  } catch (const decode_error&) {  // it ended with that code by itself
    return nullptr;
  }
}

exit_status process::join(place here) {
  detail::launched& running = held("join");
  running.wait_over(wait_how{.here = here, .what = "process::join", .instead = "join_async()"});
  return running.status();
}

std::optional<exit_status> process::join(std::chrono::nanoseconds limit, place here) {
  detail::launched& running = held("join");
  const detail::time_limit until(limit);
  const wait_how how{.deadline = until.deadline(), .here = here, .what = "process::join", .instead = "join_async()"};
  if (running.wait_over(how) != wait_result::ready) return std::nullopt;
  return running.status();
}

process::join_awaiter process::join_async(place here) {
  held("join_async");
  return {running_, here};
}

process::join_awaiter::join_awaiter(std::shared_ptr<detail::launched> running, const place& here)
    : list_wait(running->waiters(), "process::join_async", here), running_(std::move(running)) {}

bool process::join_awaiter::ready() noexcept { return running_->is_over(); }

exit_status process::join_awaiter::await_resume() {
  finish();
  return running_->status();
}

void process::signal(int number) noexcept {
  if (running_ != nullptr) running_->signal(number);
}
void process::terminate() noexcept { signal(SIGTERM); }
void process::kill() noexcept { signal(SIGKILL); }

// Its time is up.
void process::too_long(std::chrono::nanoseconds limit) {
  const bool ended = running_->is_over();
  kill();
  join();
  for (unique_fd& pipe : pipes_) pipe.reset();
  const auto ms = std::to_string(std::chrono::ceil<std::chrono::milliseconds>(limit).count()) + " ms";
  throw timed_out("process::communicate: " +
                  (ended ? "after " + ms + " something that process \"" + name_ +
                               "\" has started still holds its output; with .tree it ends too"
                         : "process \"" + name_ + "\" was killed, as it took longer than " + ms));
}

process_output process::communicate(std::string_view input) {
  return communicate(input, std::chrono::nanoseconds::max());
}

process_output process::communicate(std::string_view input, std::chrono::nanoseconds limit) {
  held("communicate");
  const auto deadline = detail::machine_time_after(limit);
  const bool is_limited = limit != std::chrono::nanoseconds::max();
  if (!input.empty() && !in())
    throw std::logic_error("process::communicate: input, but its standard input is no pipe: give .in = stdio::pipe()");
  process_output result{{}, {}, exit_status::exited(0)};
  detail::no_sigpipe quiet;
  if (in()) ::fcntl(in().get(), F_SETFL, O_NONBLOCK);
  if (input.empty()) in().reset();
  std::string piece(64 * 1024, '\0');
  before_sleeping();
  while (in() || out() || err()) {
    ::pollfd polled[] = {{in().get(), POLLOUT, 0}, {out().get(), POLLIN, 0}, {err().get(), POLLIN, 0}};
    const int ready = ::poll(polled, 3, detail::milliseconds_until(deadline));
    if (ready < 0 && errno != EINTR) throw os_error::of("cannot wait for the pipes of process \"" + name_ + '"', errno);
    if (ready <= 0) {
      if (std::chrono::steady_clock::now() >= deadline) too_long(limit);
      continue;
    }
    if (polled[0].revents != 0) {
      const ::ssize_t n = ::write(in().get(), input.data(), input.size());
      if (n > 0) input.remove_prefix(static_cast<std::size_t>(n));
      const int error = n < 0 ? errno : 0;
      if (error == EPIPE) quiet.raised();  // it does not want the rest, which is its own business
      if (input.empty() || (error != 0 && error != EAGAIN && error != EINTR)) in().reset();
    }
    for (int stream = 1; stream < 3; ++stream) {
      if (polled[stream].revents == 0) continue;
      const ::ssize_t n = ::read(pipes_[stream].get(), piece.data(), piece.size());
      if (n > 0) {
        (stream == 1 ? result.out : result.err).append(piece, 0, static_cast<std::size_t>(n));
      } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        pipes_[stream].reset();
      }
    }
  }
  // Without its pipes it may go on.
  if (is_limited && !running_->ends_until(deadline)) too_long(limit);
  result.status = join();
  return result;
}

std::string to_string(const process& p) {
  if (!p) return "no process";
  const auto ended = p.status();
  return p.name() + " (pid " + std::to_string(p.pid()) + "): " + (ended ? to_string(*ended) : "running");
}

}  // namespace tutti
