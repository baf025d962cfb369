#include <apps/tutti/demo_fleet.hpp>

#include <unistd.h>
#include <tutti/base/error.hpp>
#include <tutti/core/concurrency.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ranges>
#include <string_view>
#include <utility>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

bool is_installed(std::string_view program) {
  const char* const path = std::getenv("PATH");
  return std::ranges::any_of(std::string_view(path != nullptr ? path : "/usr/bin") | std::views::split(':'),
                             [&](auto&& part) {
                               const fs::path file = fs::path(std::string_view(part.begin(), part.end())) / program;
                               return ::access(file.c_str(), X_OK) == 0;
                             });
}

}  // namespace

demo_fleet::~demo_fleet() {
  while (!running_.empty()) running_.pop_back();
  std::error_code ignored;
  if (!directory_.empty()) fs::remove_all(directory_, ignored);
}

std::vector<demo_fleet::place> demo_fleet::start() {
  std::string name = (fs::temp_directory_path() / "tutti-demo-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw os_error::of("cannot make the directory " + name, errno);
  directory_ = name;
  std::vector<place> places{{"sqlite", "sqlite:" + (directory_ / "demo.db").string()}};
  if (is_installed("redis-server")) {
    const std::string socket = (directory_ / "redis.sock").string();
    running_.push_back(
        process::exec({"redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", name},
                      {.daemon = true, .out = stdio::null()}));
    places.push_back({"redis", "redis+socket://" + socket});
  }
  for (const place& p : places) add_worker(p.spec);
  return places;
}

void demo_fleet::add_worker(const std::string& url) {
  running_.push_back(process::exec({"/proc/self/exe", "--tutti-worker", url, "-Q", "tutti", "-c",
                                    std::to_string(default_concurrency()), "-P", "threads", "-q"},
                                   {.daemon = true, .out = stdio::null()}));
}

}  // namespace tutti::app
