#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <tutti/cluster/inside/brokers/sqlite_leases.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

namespace tutti::cluster::detail {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// These two are empty when they cannot be read, which says nothing about others.
std::string this_boot() {
  std::string id = text_of("/proc/sys/kernel/random/boot_id");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

std::string this_space() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/ns/pid", ignored).string();
}

// When the process was started, in the kernel's ticks since boot: 0 when that cannot be seen, -1 when it has ended.
std::int64_t start_of(std::int64_t pid) {
  const std::string place = "/proc/" + std::to_string(pid);
  const std::string stat = text_of(place + "/stat");
  std::size_t at = stat.rfind(')');  // its name may contain anything
  if (at == std::string::npos || at + 2 >= stat.size()) {
    // Only when both say so: a look may fail for want of descriptors, and a /proc may hide those of others.
    struct ::stat nothing{};
    const bool unlisted = ::stat(place.c_str(), &nothing) != 0 && errno == ENOENT;
    return unlisted && ::kill(static_cast<::pid_t>(pid), 0) != 0 && errno == ESRCH ? -1 : 0;
  }
  const char state = stat[at + 2];
  if (state == 'Z' || state == 'X') return -1;
  for (int field = 2; field < 22; ++field) {
    at = stat.find(' ', at + 1);
    if (at == std::string::npos) return 0;
  }
  std::int64_t ticks = 0;
  std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), ticks);
  return ticks;
}

// Whether the process that was started then has ended, as far as that can be seen.
bool has_ended(std::int64_t pid, std::int64_t started) {
  const std::int64_t found = start_of(pid);
  return found < 0 || (found > 0 && started > 0 && found != started);
}

}  // namespace

std::int64_t milliseconds_since_boot() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::int64_t take_lease(sqlite_database& database, const std::string& name, std::chrono::milliseconds lease) {
  const std::string boot = this_boot(), space = this_space();
  const std::int64_t pid = ::getpid();
  database.run("INSERT INTO consumer(name, boot, space, pid, started, lease_end) VALUES(?, ?, ?, ?, ?, ?)", name, boot,
               space, pid, std::max<std::int64_t>(start_of(pid), 0), milliseconds_since_boot() + lease.count());
  return database.last_id();
}

bool renew_lease(sqlite_database& database, std::int64_t consumer, std::chrono::milliseconds lease) {
  return database.run("UPDATE consumer SET lease_end = ? WHERE id = ?", milliseconds_since_boot() + lease.count(),
                      consumer) == 1;
}

std::chrono::milliseconds lease_left(sqlite_database& database, std::int64_t consumer) {
  return std::chrono::milliseconds(database.number("SELECT lease_end FROM consumer WHERE id = ?", consumer) -
                                   milliseconds_since_boot());
}

void end_lease(sqlite_database& database, std::int64_t consumer, bool died) {
  if (died)
    database.run("UPDATE message SET returned = returned + 1 WHERE id IN (SELECT id FROM held WHERE consumer = ?)",
                 consumer);
  database.run(
      "INSERT INTO ready SELECT m.queue, 9 - min(max(coalesce(m.priority, 9), 0), 9), m.id"
      " FROM held h JOIN message m ON m.id = h.id WHERE h.consumer = ?",
      consumer);
  database.run("DELETE FROM held WHERE consumer = ?", consumer);
  database.run("DELETE FROM consumer WHERE id = ?", consumer);
}

bool end_dead_leases(sqlite_database& database, bool by_lease) {
  struct found {
    std::int64_t id;
    bool is_dead;
  };
  std::vector<found> all;
  {
    const std::string boot = this_boot(), space = this_space();
    const std::int64_t now = milliseconds_since_boot();
    sqlite_rows rows = database.query("SELECT id, boot, space, pid, started, lease_end FROM consumer");
    while (rows.next()) {
      const std::string its_boot = rows.text(1);
      const bool other_boot = !boot.empty() && !its_boot.empty() && its_boot != boot;
      const bool seen = !boot.empty() && its_boot == boot && !space.empty() && rows.text(2) == space;
      const bool is_over = by_lease && rows.number(5) < now;
      all.push_back({rows.number(0), other_boot || is_over || (seen && has_ended(rows.number(3), rows.number(4)))});
    }
  }
  bool any = false;
  for (const found& one : all) {
    if (!one.is_dead) continue;
    end_lease(database, one.id, true);
    any = true;
  }
  return any;
}

}  // namespace tutti::cluster::detail
