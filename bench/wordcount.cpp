// wordcount: megabytes of real text per second against Python, plain C++ and independent serial runs.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <set>
#include <stdexcept>

#include "harness/child.hpp"
#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/python.hpp"
#include "wordcount/systems.hpp"

namespace {

namespace fs = std::filesystem;
using bench::wordcount::file;
using bench::wordcount::totals;

// A folder that goes with its owner.
struct temporary_folder {
  temporary_folder() : path(fs::temp_directory_path() / ("tutti-wordcount-" + std::to_string(getpid()))) {
    fs::create_directories(path);
  }
  ~temporary_folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Text files below `root`, at most `limit` bytes of them: no links, nothing empty, no NUL in the first 8 KiB.
void add_texts(const fs::path& root, std::uint64_t limit, std::vector<file>& files) {
  std::uint64_t bytes = 0;
  std::error_code failed;
  auto options = fs::directory_options::skip_permission_denied;
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(root, options, failed)) {
    if (entry.is_regular_file(failed) && !entry.is_symlink(failed)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // the same choice every time
  for (const fs::path& path : paths) {
    if (bytes >= limit) return;
    std::uint64_t size = fs::file_size(path, failed);
    if (failed || size == 0) continue;
    std::ifstream in(path, std::ios::binary);
    char start[8192];
    in.read(start, sizeof start);
    auto got = static_cast<std::size_t>(in.gcount());
    if (got == 0 || std::find(start, start + got, '\0') != start + got) continue;
    files.push_back({path.string(), size});
    bytes += size;
  }
}

// Few distinct words: the licenses of this machine over and over, in files of 8 MB.
std::vector<file> license_text(const fs::path& folder, std::uint64_t bytes) {
  std::vector<file> licenses;
  add_texts("/usr/share/common-licenses", bytes, licenses);
  std::string text;
  for (const file& f : licenses) text += read_file(f.path) + "\n";
  if (text.empty()) return {};
  std::vector<file> files;
  for (std::uint64_t written = 0; written < bytes;) {
    fs::path path = folder / ("licenses-" + std::to_string(files.size()) + ".txt");
    std::ofstream out(path, std::ios::binary);
    std::uint64_t size = 0;
    for (; size < 8'000'000; size += text.size()) out << text;
    files.push_back({path.string(), size});
    written += size;
  }
  return files;
}

std::uint64_t bytes_of(const std::vector<file>& files) {
  std::uint64_t bytes = 0;
  for (const file& f : files) bytes += f.size;
  return bytes;
}

std::vector<file> read_list(const std::string& path) {
  std::ifstream in(path);
  std::vector<file> files;
  for (std::string line; std::getline(in, line);) files.push_back({line, fs::file_size(line)});
  return files;
}

void write_list(const std::vector<file>& files, const fs::path& path) {
  std::ofstream out(path);
  for (const file& f : files) out << f.path << '\n';
}

// One independent serial run: when it started and ended, on the clock that all processes share.
int serial_probe(const std::string& list) {
  std::vector<file> files = read_list(list);
  double start = bench::now_ns();
  totals found = bench::wordcount::count_tutti_serially(files);
  std::printf("%.0f\n%.0f\n%.0f\n", start, bench::now_ns(), static_cast<double>(found.words));
  return 0;
}

double joint_seconds(const std::vector<std::string>& lists) {
  std::vector<std::future<std::vector<double>>> runs;
  for (const std::string& list : lists) {
    runs.push_back(std::async(std::launch::async, [list] { return bench::probe({"serial", list}); }));
  }
  double start = HUGE_VAL, end = 0;
  for (auto& run : runs) {
    std::vector<double> times = run.get();
    start = std::min(start, times.at(0));
    end = std::max(end, times.at(1));
  }
  return (end - start) * 1e-9;
}

void measure(bench::session& session, bench::python& python, const std::string& name, const std::vector<file>& files,
             const fs::path& folder, int threads) {
  if (!session.wanted(name) || files.empty()) return;
  double megabytes = static_cast<double>(bytes_of(files)) * 1e-6;
  std::string list = (folder / "list").string();
  write_list(files, list);

  // As many lists of about equal size as there are threads: each file, largest first, to the smallest list.
  std::vector<file> by_size = files;
  std::sort(by_size.begin(), by_size.end(), [](const file& a, const file& b) { return a.size > b.size; });
  std::vector<std::vector<file>> shares(static_cast<std::size_t>(threads));
  std::vector<std::uint64_t> sizes(shares.size());
  for (const file& f : by_size) {
    auto smallest = static_cast<std::size_t>(std::min_element(sizes.begin(), sizes.end()) - sizes.begin());
    shares[smallest].push_back(f);
    sizes[smallest] += f.size;
  }
  std::vector<std::string> lists;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    lists.push_back((folder / ("list-" + std::to_string(threads) + "-" + std::to_string(i))).string());
    std::sort(shares[i].begin(), shares[i].end(), [](const file& a, const file& b) { return a.path < b.path; });
    write_list(shares[i], lists.back());
  }

  totals right = bench::wordcount::count_tutti_serially(files);
  auto timed = [megabytes](auto count) {
    return [=] {
      double start = bench::now_ns();
      count();
      return megabytes / ((bench::now_ns() - start) * 1e-9);
    };
  };
  std::vector<bench::subject> subjects;
  subjects.push_back(bench::single("tutti", timed([&files, right, threads] {
                                     totals found = bench::wordcount::count_tutti(files, threads);
                                     if (found.words != right.words || found.distinct != right.distinct)
                                       throw std::runtime_error("tutti miscounted");
                                   })));
  subjects.push_back(bench::single(threads == 1 ? "serial run" : std::to_string(threads) + " independent serial runs",
                                   [=] { return megabytes / joint_seconds(lists); }));
  subjects.push_back(
      bench::single("plain C++", timed([&files, right, threads] {
                      // Its idea of a letter beyond ASCII is coarser, so the totals may differ a little.
                      totals found = bench::wordcount::count_plain(files, threads);
                      if (std::abs(static_cast<double>(found.words) / static_cast<double>(right.words) - 1) > 0.05) {
                        throw std::runtime_error("plain C++ miscounted");
                      }
                    })));
  if (python.available()) {
    subjects.push_back(bench::single("Python mp.Pool", [&python, threads, list, megabytes] {
      return megabytes / python.ask("words " + std::to_string(threads) + " " + list).at(0);
    }));
  }
  std::printf("\n%s: %zu files, %.0f MB, %llu words, %llu of them different\n", name.c_str(), files.size(), megabytes,
              static_cast<unsigned long long>(right.words), static_cast<unsigned long long>(right.distinct));
  session.compare(bench::metric{name, "MB/s", bench::better::more}, threads, session.reps(3, 1), std::move(subjects),
                  false);
}

}  // namespace

int main(int argc, char** argv) {
  if (auto args = bench::probe_arguments(argc, argv); args.size() == 2) return serial_probe(args[1]);
  bench::session session("wordcount", argc, argv);
  bench::python python;
  temporary_folder folder;
  std::uint64_t limit = session.quick() ? 10'000'000 : 100'000'000;
  std::vector<file> licenses = license_text(folder.path, limit), real;
  add_texts("/usr/share/doc", limit / 2, real);
  add_texts("/usr/include", limit / 2, real);
  for (int threads : bench::thread_counts()) {
    measure(session, python, "text with few different words", licenses, folder.path, threads);
    measure(session, python, "headers and documentation", real, folder.path, threads);
  }
  return session.finish();
}
