// web_crawler: `web_crawler [--depth N] [--at-most N] [--json FILE] URL...` follows links; without URLs it tries
// itself. Teaches: thousands of small pieces of work as coroutines in a task_group, held back by semaphores (so many in
// all, so many for a host) and nothing else: no queue, no levels, so that it takes as long as the slowest chain of
// links.
#include <examples/web_crawler.hpp>
#include <examples/web_crawler_site.hpp>
#include <tutti/base/json.hpp>

#include <charconv>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using crawl::crawler, crawl::page, crawl::site;
namespace io = tutti::io;

void show(const std::map<std::string, page>& pages, std::chrono::nanoseconds time) {
  std::map<std::string, int> errors;
  std::uint64_t bytes = 0;
  int cut_off = 0, requests = 0;
  const page* last = nullptr;
  for (const auto& [url, p] : pages) {
    bytes += p.bytes;
    cut_off += p.cut_off ? 1 : 0;
    requests += p.tries;
    if (!p.error.empty()) ++errors[p.error];
    if (last == nullptr || p.path > last->path) last = &p;
  }
  std::cout << std::fixed << std::setprecision(1) << pages.size() << " pages, " << requests << " requests, "
            << static_cast<double>(bytes) / 1e6 << " MB, " << cut_off << " cut off, in " << time / 1.0s
            << " s: " << static_cast<double>(pages.size()) / (time / 1.0s) << " pages/s\n";
  for (const auto& [kind, count] : errors) std::cout << "  " << count << " x " << kind << '\n';
  std::cout << "slowest path:\n";
  for (const page* p = last; p != nullptr; p = p->found_on)
    std::cout << "  " << p->took / 1.0ms << " ms  " << p->url << '\n';
}

// Counts what is not as it should be.
class checks {
 public:
  void check(bool right, const std::string& what) {
    if (right) return;
    ++wrong_;
    std::cout << "WRONG: " << what << '\n';
  }
  [[nodiscard]] int wrong() const noexcept { return wrong_; }

 private:
  int wrong_ = 0;
};

void compare(checks& all, const site& served, const crawl::options& how, const std::map<std::string, page>& pages) {
  const site::expected expected = served.should_find(how);
  for (const auto& [url, known] : expected.pages) {
    const auto found = pages.find(url);
    all.check(found != pages.end(), "not found: " + url);
    if (found == pages.end()) continue;
    all.check(found->second.depth == known.first, url + ": depth " + std::to_string(found->second.depth));
    all.check(found->second.error == known.second, url + ": \"" + found->second.error + '"');
    all.check(found->second.bytes <= how.max_body, url + ": too many bytes");
  }
  for (const auto& [url, p] : pages) all.check(expected.pages.contains(url), "not to be found: " + url);

  const auto graph = tutti::decode_json<crawl::graph>(tutti::encode_json(crawl::graph_of(pages)));
  std::set<std::pair<std::string, std::string>> edges;
  for (const crawl::edge& e : graph.edges) edges.emplace(graph.nodes.at(e.from).url, graph.nodes.at(e.to).url);
  all.check(graph.edges.size() == edges.size(), "an edge is there twice");
  for (const auto& [from, to] : expected.edges)
    all.check(edges.contains({from, to}), "no edge from " + from + " to " + to);
  for (const auto& [from, to] : edges)
    all.check(expected.edges.contains({from, to}), "an edge from " + from + " to " + to);
  all.check(graph.beyond == 3, "links too deep: " + std::to_string(graph.beyond));
}

void check_sights(checks& right, site& served, const crawl::options& how) {
  for (int i = 0; i < site::hosts; ++i) {
    const site::sight& seen = served.seen(i);
    std::cout << seen.origin << ": " << seen.requests << " requests, at most " << seen.most << " at once\n";
    right.check(seen.most <= how.per_host, "too many requests at once");
    right.check(served.most_in_all <= how.at_most, "too many requests at once, in all");
    right.check(seen.robots == 1, "robots.txt was asked for " + std::to_string(seen.robots) + " times");
    right.check(seen.forbidden == 0, "pages were read that are forbidden, or are no links");
    for (const auto& [target, count] : seen.asked)
      right.check(count <= how.retries.attempts, target + " was asked for " + std::to_string(count) + " times");
  }
}

void check_robots(checks& right) {
  const auto rules = crawl::robots::parse(
      "User-agent: other\nSitemap: /x\nuser-agent: me # and me\r\nDisallow: /a\nAllow: /a/b\nDisallow: /*.cgi$\n"
      "Disallow: /c*d*e\nDisallow:\nAllow: /same\nDisallow: /same\n\nUser-agent: *\nDisallow: /",
      "me");
  for (const char* target : {"/", "/a/b/c", "/x.cgi?1", "/cd", "/same/1", "/robots.txt", "/x.cgi/y"})
    right.check(rules.allows(target), std::string("not allowed: ") + target);
  for (const char* target : {"/a", "/ab", "/a/x", "/x.cgi", "/a.cgi.cgi", "/c1d2e3", "/cdde"})
    right.check(!rules.allows(target), std::string("allowed: ") + target);
  right.check(!crawl::robots::parse("User-agent: me/1.0\nDisallow: /", "me").allows("/"), "a version does not matter");
  right.check(crawl::robots::parse("User-agent: mean\nDisallow: /", "me").allows("/"),
              "another one with that beginning");
  right.check(!crawl::robots::parse("User-agent: *\nDisallow: /", "me").allows("/"), "\"*\" means all");
  right.check(crawl::robots::parse("<html>404", "me").allows("/"), "what is no robots.txt says nothing");
}

void check_same(checks& right) {
  const auto same = [](std::string_view url) { return crawl::normalised(crawl::io::http::url::parse(url)); };
  right.check(same("http://h/a/%2e%2e/b?%2e%2e/") == same("http://h/b?../"), "dots in other words lead elsewhere");
  right.check(same("http://u:p@H/%7ex%2f#y") == "http://h/~x%2F", "the same page has two names");
}

tutti::task<> crawl_a_part(site& served, checks& right) {
  crawler few({.depth = 13, .pause = 0ns, .max_pages = 5});
  std::vector<std::string> start_at{served.url(0)};
  co_await few.run(std::move(start_at));
  right.check(few.pages().size() == 5, "not as many pages as there may be");
}

// A few pages again, from hosts that want to be left alone for a while after each request.
tutti::task<> crawl_slowly(site& served, checks& right) {
  served.crawl_delay = "0.04";
  for (int i = 0; i < site::hosts; ++i) served.seen(i).requests = 0;
  crawler all({.depth = 2, .pause = 0ns});
  std::vector<std::string> start_at{served.url(5)};
  const auto start = tutti::now();
  co_await all.run(std::move(start_at));
  const std::chrono::nanoseconds time = tutti::now() - start;
  int most = 0;
  for (int i = 0; i < site::hosts; ++i)
    if (i != 2) most = std::max(most, served.seen(i).requests);
  std::cout << most << " requests to a host with a Crawl-delay of 40 ms took " << time / 1.0ms << " ms\n";
  right.check(most > 3 && time >= (most - 1) * 40ms, "the pauses were too short");
}

tutti::task<int> try_itself() {
  const crawl::options how{.depth = 13,
                           .at_most = 10,
                           .per_host = 4,
                           .pause = 500us,
                           .page_limit = 2s,
                           .max_body = 100'000,
                           .retries = {.attempts = 2, .first_delay = 50ms, .jitter = 0}};
  site served;
  crawler all(how);
  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  std::chrono::nanoseconds time{};
  checks right;
  check_robots(right);
  check_same(right);
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    for (int host = 0; host < site::hosts; ++host) group.spawn(served.serve(host, asked));
    const auto start = tutti::now();
    std::vector<std::string> start_at{served.url(0)};
    co_await all.run(std::move(start_at));
    time = tutti::now() - start;
    check_sights(right, served, how);
    co_await crawl_slowly(served, right);
    served.crawl_delay.clear();
    co_await crawl_a_part(served, right);
    quit.request_stop();
  });
  show(all.pages(), time);
  compare(right, served, how, all.pages());
  const std::chrono::nanoseconds slowest = served.slowest_path(how);
  std::cout << std::setprecision(3) << "the crawl took " << time / 1.0s << " s, the slowest path takes "
            << slowest / 1.0s << " s: " << time / (1.0 * slowest) << " times that\n";
  co_return right.wrong() == 0 ? 0 : 1;
}

tutti::task<int> crawl_all(crawl::options how, std::vector<std::string> urls, std::string json) {
  crawler all(how);
  const auto start = tutti::now();
  co_await all.run(std::move(urls));
  show(all.pages(), tutti::now() - start);
  if (!json.empty()) co_await io::write_file(json, tutti::encode_json(crawl::graph_of(all.pages())));
  co_return 0;
}

bool parse(std::string_view text, int& number, int least) {
  return std::from_chars(text.data(), text.data() + text.size(), number).ptr == text.data() + text.size() &&
         number >= least;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  crawl::options how;
  std::vector<std::string> urls;
  std::string json;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    bool right = true;
    if (word == "--depth") {
      right = parse(value, how.depth, 0);
    } else if (word == "--at-most") {
      right = parse(value, how.at_most, 1);
    } else if (word == "--json") {
      right = !value.empty();
      json = value;
    } else {
      right = !word.starts_with("--");
      urls.emplace_back(word);
      --i;
    }
    ++i;
    if (!right) {
      std::cerr << "web_crawler: what is \"" << word
                << "\"? web_crawler [--depth N] [--at-most N] [--json FILE] URL...\n";
      return 2;
    }
  }
  if (urls.empty()) return io::run(try_itself());
  return io::run(crawl_all(how, std::move(urls), std::move(json)));
}
