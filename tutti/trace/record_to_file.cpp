// record_to_file: one recorder and one file for the life of the program.
#include <tutti/trace/record_to_file.hpp>

#include <tutti/base/init.hpp>
#include <tutti/trace/output_file.hpp>
#include <tutti/trace/recorder.hpp>
#include <tutti/trace/recording.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

namespace tutti::detail {
namespace {

// Never destroyed: threads may go on when it is written.
struct recording_of_program {
  trace_recorder recorder;
  std::unique_ptr<output_file> file;
  std::filesystem::path own_file;  // where that is, if it was not there before
  ::pid_t process = ::getpid();
};
constinit recording_of_program* whole = nullptr;

std::string with_process_number(std::string file) {
  for (std::size_t at = 0; (at = file.find("%p", at)) != file.npos;) file.replace(at, 2, std::to_string(::getpid()));
  return file;
}

void say(const char* what) noexcept { std::fprintf(stderr, "tutti: %s\n", what); }

void write_at_exit() {
  if (::getpid() != whole->process) return;  // of the parent
  try {
    whole->recorder.stop();
    whole->recorder.write(whole->file->begin());
    whole->file->finish();
  } catch (const std::bad_alloc&) {
    say("the timeline is not written: no memory");
  } catch (const std::exception& wrong) {
    say(wrong.what());
  }
}

}  // namespace

void record_to_file(const std::string& file) {
  namespace fs = std::filesystem;
  try {
    const std::string name = with_process_number(file);
    std::error_code unknown;
    const fs::path where = fs::absolute(name, unknown);  // programs change their folder
    const bool is_new = fs::symlink_status(name, unknown).type() == fs::file_type::not_found;
    auto opened = std::make_unique<output_file>(name);
    if (whole == nullptr) {
      auto made = std::make_unique<recording_of_program>();
      made->recorder.start();
      recording::instance().is_of_program();
      whole = made.release();
      std::atexit(write_at_exit);
    }
    // The flag comes after the environment, and is obeyed: nothing is left of the other.
    whole->file = std::move(opened);
    const fs::path before = std::exchange(whole->own_file, is_new ? where : fs::path());
    if (!before.empty() && !fs::equivalent(before, where, unknown)) fs::remove(before, unknown);
  } catch (const std::exception& wrong) {
    say(wrong.what());
    std::_Exit(2);
  }
}

void record_as_environment_says() {
  const char* const wanted = std::getenv("TUTTI_TRACE");
  if (wanted == nullptr || *wanted == '\0') return;
  const std::string file = wanted;
  if (file.find("%p") == file.npos) ::unsetenv("TUTTI_TRACE");
  record_to_file(file);
}

void record_as_flag_says(const std::string& file) {
  if (!init_flag("worker")) record_to_file(file);
}

}  // namespace tutti::detail
