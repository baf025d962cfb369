// downloader: `downloader [--into FOLDER] URL...` loads files, in parts at once, and goes on where it was interrupted.
// Teaches: a stop is no failure but an order: what is under way ends at its next wait, and shield() lets the notes of
// what is there already be written all the same. Bars are drawn by a coroutine beside the work (on a terminal only).
#include <examples/downloader.hpp>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <memory>
#include <set>

#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using fetch::download;
namespace fs = std::filesystem;
namespace io = tutti::io;
namespace http = tutti::io::http;

tutti::task<> draw(const std::vector<std::unique_ptr<download>>& all) {
  for (;;) {
    for (const auto& d : all) std::cout << "\r\x1b[K" << fetch::bar(d->name(), d->done(), d->size(), 30) << '\n';
    std::cout << std::flush;
    co_await tutti::sleep_for(100ms);
    std::cout << "\x1b[" << all.size() << 'A';
  }
}

// How many have failed.
tutti::task<int> load_all(http::client& from, const std::vector<std::unique_ptr<download>>& all) {
  std::vector<tutti::task<>> work;
  work.reserve(all.size());
  for (const auto& d : all) work.push_back(d->run(from));
  const std::vector<tutti::outcome<void>> outcomes = co_await tutti::when_all_settled(std::move(work));
  int failed = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    try {
      static_cast<void>(outcomes[i].value());
      std::cout << all[i]->name() << ": " << all[i]->done() << " bytes in " << all[i]->parts() << " parts\n";
    } catch (const std::exception& e) {
      std::cout << all[i]->name() << ": " << e.what() << '\n';
      ++failed;
    }
  }
  co_return failed;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::vector<std::unique_ptr<download>> plan(const std::vector<std::string>& urls, const fs::path& folder) {
  std::vector<std::unique_ptr<download>> all;
  std::set<std::string> used;
  for (const std::string& url : urls) {
    const std::string path = http::url::parse(url).path();
    std::string name = http::percent_decode(path.substr(path.rfind('/') + 1));
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos) name = "index.html";
    std::replace_if(name.begin(), name.end(), is_control, '_');  // it will be shown on a terminal
    for (int i = 2; !used.insert(name).second; ++i) name = name + "." + std::to_string(i);
    all.push_back(std::make_unique<download>(url, folder, name));
  }
  return all;
}

tutti::task<int> load(std::vector<std::string> urls, fs::path folder) {
  fs::create_directories(folder);
  http::client from;
  const std::vector<std::unique_ptr<download>> all = plan(urls, folder);
  if (::isatty(STDOUT_FILENO) == 0) co_return co_await load_all(from, all) == 0 ? 0 : 1;
  int failed = 0;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(draw(all));
    failed = co_await load_all(from, all);
    group.stop();
  });
  co_return failed == 0 ? 0 : 1;
}

// ---- the test

int wrong = 0;
void check(bool right, const std::string& what) {
  std::cout << (right ? "" : "WRONG: ") << what << '\n';
  wrong += right ? 0 : 1;
}

std::string bytes_of(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525U + 1013904223U) >> 24U);
  return text;
}

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

constexpr std::uint64_t no_cut = std::numeric_limits<std::uint64_t>::max(), first_piece = 200'000;

// A file that can be had in parts, from a server that has its moods.
class shelf {
 public:
  explicit shelf(std::string text) : text_(std::move(text)) {}

  struct request {
    std::uint64_t from, to;
  };
  std::vector<request> asked;  // for parts
  std::string version = "\"1\"";
  std::uint64_t cut_after = no_cut;  // the first answer to each part breaks off
  bool stalls = false;               // behind that, it waits without end
  std::ptrdiff_t together = 0;       // it answers when so many have asked
  tutti::event stalled;

  void set(std::string text) { text_ = std::move(text); }
  [[nodiscard]] const std::string& text() const { return text_; }

  tutti::task<http::response> answer(http::request& r) {
    std::uint64_t from = 0, to = text_.size();
    const std::string_view range = r.headers().get("Range", "");
    const bool is_part = range.starts_with("bytes=") && r.headers().get("If-Range", version) == version;
    if (is_part) {
      const std::size_t dash = range.find('-');
      from = fetch::number(range.substr(6, dash - 6)).value();
      to = fetch::number(range.substr(dash + 1)).value() + 1;
      asked.push_back({from, to});
      if (--together == 0) all_here_.set();
      if (together >= 0) co_await all_here_.wait_async();
    }
    const bool breaks = is_part && asked.size() <= 4 && to - from > cut_after;
    auto source = [this, from, to, breaks](http::body_writer& out) -> tutti::task<> {
      const std::uint64_t end = breaks ? from + cut_after : to;
      for (std::uint64_t at = from; at < end;) {
        const std::uint64_t n = std::min<std::uint64_t>(50'000, end - at);
        co_await out.write(io::const_buffer(text_.data() + at, n));
        at += n;
      }
      if (breaks && stalls) {
        stalled.set();
        co_await tutti::sleep_for(std::chrono::hours(1));
      }
      if (breaks) throw tutti::closed("the server has enough of it");
    };
    http::response made = http::response::stream(source, "application/octet-stream", to - from);
    made.headers.set("Accept-Ranges", "bytes");
    made.headers.set("ETag", version);
    if (is_part) {
      made.status = 206;
      made.headers.set("Content-Range", "bytes " + std::to_string(from) + "-" + std::to_string(to - 1) + "/" +
                                            std::to_string(text_.size()));
    }
    co_return made;
  }

 private:
  std::string text_;
  tutti::event all_here_;
};

tutti::task<> try_parts(shelf& file, std::string url, fs::path folder) {
  http::client from;
  file.together = 4;  // it would hang if they came one after the other
  download four(url, folder, "four");
  co_await tutti::with_timeout(four.run(from), 60s);
  check(four.parts() == 4 && file.asked.size() == 4 && content(folder / "four") == file.text(), "4 parts at once");

  file.asked.clear();
  file.cut_after = first_piece;
  download broken(url, folder, "broken");
  co_await broken.run(from);
  bool went_on = file.asked.size() == 8;
  for (const shelf::request& r : file.asked) went_on &= r.from % 500'000 == 0 || r.from % 500'000 == first_piece;
  check(went_on && content(folder / "broken") == file.text(),
        "4 connections broke, and what was missing was asked for");
}

tutti::task<> interrupt(shelf& file, std::string url, fs::path folder) {
  http::client from;
  file.asked.clear();
  file.cut_after = first_piece;
  file.stalls = true;
  file.stalled.clear();
  download one(url, folder, "resumed");
  tutti::task<> work = one.run(from);
  const auto until_all_came = [&]() -> tutti::task<> {
    co_await file.stalled.wait_async();
    while (one.done() < 4 * first_piece) co_await tutti::yield_now();
  };
  tutti::task<> stop = until_all_came();
  co_await tutti::when_any(std::move(work), std::move(stop));
  file.stalls = false;
  file.cut_after = no_cut;
}

tutti::task<> try_resume(shelf& file, std::string url, fs::path folder) {
  http::client from;
  co_await interrupt(file, url, folder);
  check(fs::exists(folder / ".resumed.notes") && !fs::exists(folder / "resumed"), "it was stopped, and has made notes");
  file.asked.clear();
  download rest(url, folder, "resumed");
  co_await rest.run(from);
  std::uint64_t sum = 0;
  for (const shelf::request& r : file.asked) sum += r.to - r.from;
  check(sum == file.text().size() - 4 * first_piece, std::to_string(sum) + " bytes were asked for after that");
  check(content(folder / "resumed") == file.text() && !fs::exists(folder / ".resumed.notes"), "it is all there");

  fs::remove(folder / "resumed");
  co_await interrupt(file, url, folder);
  file.set(bytes_of(2'000'000, 2));
  file.version = "\"2\"";
  download other(url, folder, "resumed");
  co_await other.run(from);
  check(content(folder / "resumed") == file.text(), "the file has changed meanwhile: all of it was loaded again");
}

// Names that servers may choose freely.
tutti::task<> try_names(std::string base, fs::path folder) {
  http::client from;
  const std::vector<std::string> urls{base + "a",       base + "a.part",  base + ".a.part",
                                      base + "a%1b[2J", base + "b.notes", base + "b"};
  const std::vector<std::unique_ptr<download>> all = plan(urls, folder);
  check(co_await load_all(from, all) == 0, "all are there");
  bool right = true;
  for (const char* name : {"a", "a.part", "index.html", "a_[2J", "b.notes", "b"})
    right &= content(folder / name).starts_with("the file /names/");
  check(right && content(folder / "a") == "the file /names/a", "each under its own name, from a server without HEAD");
}

// Python's server knows no parts.
tutti::task<> try_python(fs::path folder) {
  fs::create_directories(folder / "from");
  std::ofstream(folder / "from/large%20") << bytes_of(3'000'000, 3);
  std::ofstream(folder / "from/small") << "small";
  std::ofstream(folder / "from/empty") << "";
  const std::string root = (folder / "from").string();
  const std::vector<std::string> command{"python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", root};
  tutti::process server;
  try {
    server = tutti::process::exec(command, {.daemon = true, .out = tutti::stdio::pipe(), .err = tutti::stdio::null()});
  } catch (const tutti::os_error& e) {
    std::cout << "not tried with Python's server: " << e.what() << '\n';
    co_return;
  }
  io::stream said = io::stream::adopt(std::move(server.out()));
  const std::string line = (co_await said.read_line(1000, 60s)).value_or("");
  const std::size_t at = line.find("(http://");
  check(at != std::string::npos, "Python's server says: " + line);
  if (at == std::string::npos) co_return;
  const std::string base = line.substr(at + 1, line.find(')') - at - 1);

  http::client from;
  const std::vector<std::string> urls{base + "large%2520", base + "small", base + "small", base + "empty",
                                      base + "none"};
  const std::vector<std::unique_ptr<download>> all = plan(urls, folder);
  const int failed = co_await load_all(from, all);
  check(failed == 1, "one of 5 is not there");
  check(content(folder / "large%20") == content(folder / "from/large%20") && content(folder / "small.2") == "small" &&
            fs::exists(folder / "empty") && fs::file_size(folder / "empty") == 0 && !fs::exists(folder / "none"),
        "the others are");
}

tutti::task<int> try_itself() {
  std::string folder = (fs::temp_directory_path() / "tutti-downloads-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) throw tutti::os_error::of("making " + folder, errno);
  shelf file(bytes_of(2'000'000, 1));
  http::routes routes;
  routes.get("/file", [&](http::request& r) { return file.answer(r); });
  routes.get("/names/{name}", [](http::request& r) -> tutti::task<http::response> {
    if (r.method() == "HEAD") co_return http::response(405, "", "text/plain");
    co_return http::response(200, "the file " + std::string(r.target()), "text/plain");
  });
  io::listener at = io::listen("127.0.0.1:0");
  const std::string base = "http://" + at.local().text(), url = base + "/file";
  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(http::serve(std::move(at), routes, {.drain = 0s, .stop = asked}));
    co_await try_parts(file, url, folder);
    co_await try_resume(file, url, folder);
    co_await try_names(base + "/names/", folder);
    quit.request_stop();
  });
  co_await try_python(folder);
  check(fetch::bar("a", 1'500'000, 3'000'000, 10) == "a                         [=====>    ]   50%  1.5 of 3.0 MB",
        "a bar");
  fs::remove_all(folder);
  co_return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  if (argc == 1) return io::run(try_itself());
  const bool into = argv[1] == std::string_view("--into") && argc > 3;
  return io::run(load({argv + (into ? 3 : 1), argv + argc}, into ? argv[2] : "."));
}
