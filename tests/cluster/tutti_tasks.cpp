// tutti_tasks: the tasks in C++ that the tests with real peers call, as a part of a program and as a library.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/this_call.hpp>
#include <vector>

namespace interop {

namespace this_call = tutti::cluster::this_call;
using namespace std::chrono_literals;

// One line more, in one write: whoever writes at the same time, lines stay whole.
void append(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) throw std::runtime_error("cannot open " + path + ": " + std::strerror(errno));
  const std::string line = text + '\n';
  const bool whole = ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  ::close(file);
  if (!whole) throw std::runtime_error("cannot write to " + path);
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// Until somebody makes the file, or two minutes have passed.
template <class Stop>
bool wait_for_file(const std::string& path, Stop stop) {
  const auto end = std::chrono::steady_clock::now() + 2min;
  while (!exists(path)) {
    if (stop()) return false;
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("nobody came");
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

bool never() { return false; }
bool asked_to_stop() { return this_call::stop_token().stop_requested(); }

std::int64_t add(std::int64_t a, std::int64_t b) { return a + b; }
std::int64_t mul(std::int64_t a, std::int64_t b) { return a * b; }

std::int64_t xsum(const std::vector<std::int64_t>& numbers) {
  std::int64_t sum = 0;
  for (const std::int64_t number : numbers) sum += number;
  return sum;
}

using table = std::map<std::string, std::vector<std::optional<double>>>;
std::string echo_text(std::string value) { return value; }
std::int64_t echo_int(std::int64_t value) { return value; }
std::uint64_t echo_unsigned(std::uint64_t value) { return value; }
double echo_double(double value) { return value; }
std::vector<double> echo_doubles(std::vector<double> value) { return value; }
table echo_table(table value) { return value; }
void nothing() {}

std::string join(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += text;
  return all;
}

struct strange : std::exception {
  explicit strange(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

void fail(const std::string& text) { throw std::invalid_argument(text); }

void fail_as(const std::string& kind, const std::string& text) {
  if (kind == "out_of_range") throw std::out_of_range(text);
  if (kind == "runtime_error") throw std::runtime_error(text);
  if (kind == "bad_alloc") throw std::bad_alloc();
  if (kind == "strange") throw strange(text);
  throw std::logic_error("fail_as knows no " + kind);
}

void throw_int() { throw 42; }  // NOLINT: that is what is tested

void nap(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void work(const std::string& path, const std::string& text, double seconds) {
  nap(seconds);
  append(path, text);
}

void mark(const std::string& path, const std::string& text) { append(path, text); }
void note(const std::string& value, const std::string& path) { append(path, value); }
void failed(const std::string& number) { append("failed.txt", "tasks.failed " + number); }

std::string hold(const std::string& started, const std::string& released) {
  append(started, "started");
  return wait_for_file(released, asked_to_stop) ? "released" : "stopped";
}

// Says that it has not done its work when it is asked to stop.
std::string yielding(const std::string& started, const std::string& released) {
  append(started, "started");
  if (!wait_for_file(released, asked_to_stop)) throw tutti::cancelled("yielding: asked to stop");
  return "released";
}

// Asks nobody whether it should stop.
std::string deaf(const std::string& started, const std::string& released) {
  append(started, "started");
  wait_for_file(released, never);
  return "released";
}

int flaky(int times) {
  if (this_call::retries() < times) this_call::retry({.countdown = 0s, .reason = "not yet", .max_retries = times});
  return this_call::retries();
}

std::string progress(const std::string& path) {
  this_call::update_state(std::map<std::string, int>{{"done", 1}, {"of", 2}});
  wait_for_file(path, never);
  return "done";
}

void killer(const std::string& path) {
  append(path, "killed");
  ::kill(::getpid(), SIGKILL);
  ::pause();
}

std::string killer_once(const std::string& path) {
  if (!exists(path)) killer(path);
  return "survived";
}

// Keeps the memory for ever.
int hog(int mebibytes) {
  const std::size_t bytes = static_cast<std::size_t>(mebibytes) << 20;
  static std::vector<std::vector<char>> hoard;
  hoard.emplace_back(bytes, 'x');
  return ::getpid();
}

int pid() { return ::getpid(); }

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

void log_id(const std::string& path) { append(path, this_call::id()); }

std::string header(const std::string& name) {
  const auto json = this_call::header(name);
  return json && json->size() >= 2 ? json->substr(1, json->size() - 2) : "";
}

void say(const std::string& text) { this_call::log(tutti::log_level::warn, text); }

namespace {

using tutti::fn;
using tutti::cluster::function;

const function add_task{fn<add>, {.name = "tasks.add", .params = {"a", "b"}}};
const function mul_task{fn<mul>, {.name = "tasks.mul", .params = {"a", "b"}}};
const function xsum_task{fn<xsum>, {.name = "tasks.xsum", .params = {"numbers"}}};
const function echo_text_task{fn<echo_text>, {.name = "tasks.echo_text"}};
const function echo_int_task{fn<echo_int>, {.name = "tasks.echo_int"}};
const function echo_unsigned_task{fn<echo_unsigned>, {.name = "tasks.echo_unsigned"}};
const function echo_double_task{fn<echo_double>, {.name = "tasks.echo_double"}};
const function echo_doubles_task{fn<echo_doubles>, {.name = "tasks.echo_doubles"}};
const function echo_table_task{fn<echo_table>, {.name = "tasks.echo_table"}};
const function nothing_task{fn<nothing>, {.name = "tasks.nothing"}};
const function join_task{fn<join>, {.name = "tasks.join"}};
const function fail_task{fn<fail>, {.name = "tasks.fail"}};
const function fail_as_task{fn<fail_as>, {.name = "tasks.fail_as"}};
const function throw_int_task{fn<throw_int>, {.name = "tasks.throw_int"}};
const function nap_task{fn<nap>, {.name = "tasks.nap", .params = {"seconds"}}};
const function work_task{fn<work>, {.name = "tasks.work"}};
const function mark_task{fn<mark>, {.name = "tasks.mark", .params = {"path", "text"}}};
const function note_task{fn<note>, {.name = "tasks.note"}};
const function failed_task{fn<failed>, {.name = "tasks.failed"}};
const function hold_task{fn<hold>, {.name = "tasks.hold"}};
const function yielding_task{fn<yielding>, {.name = "tasks.yielding"}};
const function deaf_task{fn<deaf>, {.name = "tasks.deaf"}};
const function flaky_task{fn<flaky>, {.name = "tasks.flaky"}};
const function progress_task{fn<progress>, {.name = "tasks.progress"}};
const function killer_task{fn<killer>, {.name = "tasks.killer"}};
const function killer_once_task{fn<killer_once>, {.name = "tasks.killer_once"}};
const function hog_task{fn<hog>, {.name = "tasks.hog"}};
const function pid_task{fn<pid>, {.name = "tasks.pid"}};
const function now_task{fn<now>, {.name = "tasks.now"}};
const function log_id_task{fn<log_id>, {.name = "tasks.log_id"}};
const function header_task{fn<header>, {.name = "tasks.header"}};
const function say_task{fn<say>, {.name = "tasks.say"}};

}  // namespace
}  // namespace interop
