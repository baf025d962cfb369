// queues: `queues [BROKER]`: square roots, Fibonacci numbers and web pages, each kind with a queue and a worker of its
// own.
// Teaches: `.queue` sends a task where its kind waits, and `worker_options::queues` says who takes it: slow tasks hold
// up no quick ones, and each kind can have the machines that it needs. send_task calls by name what this program need
// not know. Results come in whatever order; ids tell them apart.
#include <examples/cluster/fleet.hpp>
#include <examples/web_crawler_text.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/tutti.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <future>
#include <iostream>
#include <map>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tasks {

namespace io = tutti::io;

double square_root(double x) {
  if (x < 0) throw std::invalid_argument("there is no square root of " + std::to_string(x));
  return std::sqrt(x);
}

std::pair<int, std::uint64_t> fibonacci(int n) {
  std::uint64_t a = 0, b = 1;
  for (int i = 0; i < n; ++i) a = std::exchange(b, a + b);
  return {n, a};
}

// The first `most` links of a page: a coroutine, as it waits for the server.
tutti::task<std::vector<std::string>> links(std::string url, int most) {
  io::http::client client;
  const io::http::response page = co_await client.get(url);
  if (!page.ok()) throw std::runtime_error(url + ": " + std::to_string(page.status));
  std::vector<std::string> found;
  crawl::for_each_attribute(page.body, [&](std::string_view tag, std::string_view name, std::string_view value) {
    if (tag == "a" && name == "href" && found.size() < static_cast<std::size_t>(most)) found.emplace_back(value);
  });
  co_return found;
}

std::vector<std::string> crawl_page(std::string url, int most) { return io::run(links(std::move(url), most)); }

}  // namespace tasks

namespace {

using namespace std::chrono_literals;
namespace cluster = tutti::cluster;
namespace http = tutti::io::http;

const cluster::function square_root{tutti::fn<tasks::square_root>, {.name = "tasks.sqrt_task", .queue = "sqrt_queue"}};
const cluster::function fibonacci{tutti::fn<tasks::fibonacci>, {.name = "tasks.fibo_task", .queue = "fibo_queue"}};
const cluster::function crawl_page{tutti::fn<tasks::crawl_page>,
                                   {.name = "tasks.crawl_task", .queue = "webcrawler_queue"}};

constexpr auto patience = 30s;

// Pages /1 to /5, served by a loop on a thread of its own; page n has n links.
class web {
 public:
  web() : thread_([this] { tutti::io::run(serve()); }), url_(told_.get_future().get()) {}
  ~web() {
    stop_.request_stop();
    thread_.join();
  }
  web(const web&) = delete;
  web& operator=(const web&) = delete;

  [[nodiscard]] std::string url(int n) const { return url_ + std::to_string(n); }

 private:
  tutti::task<> serve() {
    http::routes pages;
    pages.get("/{n}", [](http::request& r) {
      std::string page = "<html><!-- <a href=\"/hidden\"> -->";
      for (int i = 1; i <= std::stoi(std::string(r.param("n"))); ++i)
        page += "<a href=\"/" + std::to_string(i) + "\">" + std::to_string(i) + "</a>";
      return http::response(200, page, "text/html");
    });
    tutti::io::listener at = tutti::io::listen("127.0.0.1:0");
    told_.set_value("http://" + at.local().text() + "/");
    co_await http::serve(std::move(at), pages, {.stop = stop_.get_token()});
  }

  std::stop_source stop_;
  std::promise<std::string> told_;
  std::thread thread_;
  const std::string url_;
};

bool check(bool right, const std::string& what) {
  std::cout << (right ? "" : "WRONG: ") << what << '\n';
  return right;
}

}  // namespace

int main(int argc, char** argv) try {
  tutti::init(argc, argv);
  fleet here(argc, argv);
  for (const char* queue : {"sqrt_queue", "fibo_queue", "webcrawler_queue"})
    here.hire({.queues = {queue}, .concurrency = 2});

  // By name: this much is all that a client needs to know.
  const auto root = cluster::send_task<double>("tasks.sqrt_task", {.queue = "sqrt_queue"}, 4);
  bool right = check(root.get(patience) == 2.0, "the square root of 4 is " + std::to_string(root.get()));
  try {
    square_root.delay(-1).get(patience);
    right = check(false, "there is a square root of -1");
  } catch (const std::invalid_argument& e) {
    std::cout << e.what() << '\n';  // the exception that the task has thrown
  }

  std::map<int, cluster::async_result<std::pair<int, std::uint64_t>>> terms;
  for (const int n : {4, 3, 8, 6, 10}) terms.emplace(n, fibonacci.delay(n));
  const std::map<int, std::uint64_t> expected = {{3, 2}, {4, 3}, {6, 8}, {8, 21}, {10, 55}};
  for (const auto& [n, result] : terms) {
    const auto [of, term] = result.get(patience);
    right &= check(of == n && term == expected.at(n),
                   "F(" + std::to_string(n) + ") = " + std::to_string(term) + " by task " + result.id());
  }

  const web pages;
  std::vector<cluster::async_result<std::vector<std::string>>> crawled;
  for (int n = 1; n <= 5; ++n) crawled.push_back(crawl_page.delay(pages.url(n), 2));
  for (int n = 1; n <= 5; ++n) {
    const std::vector<std::string> links = crawled[static_cast<std::size_t>(n - 1)].get(patience);
    const std::vector<std::string> first =
        n == 1 ? std::vector<std::string>{"/1"} : std::vector<std::string>{"/1", "/2"};
    right &= check(links == first, pages.url(n) + ": " + std::to_string(links.size()) + " links");
  }
  return right ? 0 : 1;
} catch (const std::exception& e) {  // no broker there
  std::cerr << e.what() << '\n';
  return 1;
}
