// web_crawler: pages, found by their links. Each page is a coroutine; what they share is on one loop, without locks.
#pragma once
#include <examples/web_crawler_text.hpp>
#include <tutti/tutti.hpp>

#include <boost/describe/class.hpp>

#include <array>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace crawl {

using namespace std::chrono_literals;
namespace io = tutti::io;
namespace http = tutti::io::http;

struct options {
  int depth = 3;                              ///< links from the start; what a page redirects to is as deep as the page
  int at_most = 64;                           ///< requests under way
  int per_host = 6;                           ///< of them to one host and port
  std::chrono::nanoseconds pause = 100ms;     ///< between two requests to a host, at least; see Crawl-delay
  std::chrono::nanoseconds page_limit = 20s;  ///< for one attempt
  std::size_t max_body = std::size_t{2} << 20;  ///< bytes of a page; the rest is cut off
  int max_redirects = 10;                       ///< one after the other
  std::size_t max_pages = 100'000;              ///< in all, also of hosts that make up links without end
  std::size_t max_links = 10'000;               ///< of one page
  tutti::retry_options retries = {.attempts = 3, .first_delay = 500ms};
};

/// What is known of one URL.
struct page {
  std::string url;
  int depth = 0, redirects = 0;  ///< on the shortest way to it
  int status = 0, tries = 0;
  std::uint64_t bytes = 0;
  bool cut_off = false, done = false, is_redirect = false;
  std::string error;                ///< its kind: "status 404", "time limit", ...; "" if there is none
  std::chrono::nanoseconds took{};  ///< from the first request to the last answer
  std::chrono::nanoseconds path{};  ///< that, and the same of all pages over which it was found
  const page* found_on = nullptr;
  std::vector<std::string> links;  ///< also those that were not followed
};

/// Why a page could not be read; `again` if another attempt may help.
struct failure : tutti::error {
  failure(const std::string& kind, bool is_passing) : tutti::error(kind), again(is_passing) {}
  bool again;
};

/// What a client has thrown, in two words.
inline std::string kind_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const http::http_error& e) {
    return e.cause() == nullptr ? e.phase() : kind_of(e.cause());
  } catch (const tutti::timed_out&) {
    return "time limit";
  } catch (const io::dns_error&) {
    return "unknown host";
  } catch (const io::tls_error&) {
    return "TLS";
  } catch (const http::bad_message&) {
    return "not HTTP";
  } catch (const tutti::os_error& e) {
    return e.code() == ECONNREFUSED ? "refused" : "broken connection";
  } catch (const tutti::closed&) {
    return "broken connection";
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// The same as a failure.
inline failure failure_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const failure& f) {
    return f;
  } catch (...) {
    return {kind_of(thrown), io::is_transient(thrown)};
  }
}

/// One server: how it wants to be treated, and who is talking to it.
struct host {
  explicit host(const options& how) : places(how.per_host, "requests to a host"), pause(how.pause) {}
  tutti::semaphore places;
  tutti::mutex door{"next request to a host"};  // one at a time waits for its moment
  std::chrono::steady_clock::time_point next_request{};
  std::chrono::nanoseconds pause;
  bool is_asked = false;
  tutti::event is_known;  // its robots.txt
  robots rules;
  std::string failed;  // why that could not be had
};

class crawler {
 public:
  explicit crawler(const options& how)
      : how_(how),
        under_way_(how.at_most, "requests under way"),
        client_({.max_per_host = how.per_host,
                 .total_limit = how.page_limit,
                 .max_redirects = 0,
                 .user_agent = user_agent}),
        robots_client_(
            {.idle_limit = 0s, .total_limit = how.page_limit, .max_body = 512'000, .user_agent = user_agent}) {
    how_.retries.retry_if = [](const std::exception_ptr& e) noexcept { return failure_of(e).again; };
  }

  /// Reads all that is to be found. Throws std::invalid_argument for a URL that is none.
  tutti::task<> run(std::vector<std::string> starts) {
    std::vector<std::string> first;
    first.reserve(starts.size());
    for (const std::string& start : starts) first.push_back(normalised(http::url::parse(start)));
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group_ = &group;
      for (const std::string& url : first) found(url, 0, 0, nullptr);
      co_return;
    });
  }

  [[nodiscard]] const std::map<std::string, page>& pages() const noexcept { return pages_; }

  static constexpr std::string_view user_agent = "tutti-crawler";

 private:
  using way = std::tuple<int, int>;

  // Pages come in any order: one may be found on a long way first. When a shorter one shows up later, what it links to
  // gets nearer, too, and may now be near enough: so what is read depends on the links, not on who was quicker.
  void found(const std::string& url, int depth, int redirects, const page* on) {
    struct finding {
      std::string url;
      int depth, redirects;
      const page* on;
    };
    std::vector<finding> all{{url, depth, redirects, on}};
    while (!all.empty()) {
      const finding one = std::move(all.back());
      all.pop_back();
      if (pages_.size() >= how_.max_pages && !pages_.contains(one.url)) continue;
      const auto [at, is_new] = pages_.try_emplace(one.url);
      page& p = at->second;
      if (!is_new && way(p.depth, p.redirects) <= way(one.depth, one.redirects)) continue;
      p.depth = one.depth;
      p.redirects = one.redirects;
      if (is_new) {
        p.url = one.url;
        p.found_on = one.on;
        group_->spawn(visit(p));
        continue;
      }
      if (p.done) follow(p, [&](const std::string& to, int d, int r) { all.push_back({to, d, r, &p}); });
    }
  }

  template <class F>
  void follow(page& p, F&& to) const {
    if (p.is_redirect) {
      p.error = p.redirects < how_.max_redirects ? "" : "too many redirects";
      if (p.error.empty()) to(p.links.front(), p.depth, p.redirects + 1);
    } else if (p.depth < how_.depth) {
      for (const std::string& link : p.links) to(link, p.depth + 1, 0);
    }
  }

  tutti::task<> visit(page& p) {
    const http::url url = http::url::parse(p.url);
    host& h = hosts_.try_emplace(url.origin(), how_).first->second;
    co_await get_to_know(h, url.origin());
    if (!h.rules.allows(url.target())) {
      p.error = h.failed.empty() ? "robots.txt forbids it" : "robots.txt: " + h.failed;
    } else {
      std::optional<std::chrono::steady_clock::time_point> start;
      const auto attempt = [&]() -> tutti::task<> { co_await read(p, url, h, start); };
      std::exception_ptr failed;
      try {
        co_await tutti::retry(attempt, how_.retries);
      } catch (const failure& f) {
        p.error = f.what();
      }
      if (start) p.took = tutti::now() - *start;
    }
    p.path = p.took + (p.found_on == nullptr ? 0ns : p.found_on->path);
    p.done = true;
    follow(p, [&](const std::string& to, int depth, int redirects) { found(to, depth, redirects, &p); });
  }

  // One attempt, when it is its turn: at this host, and in all.
  tutti::task<> read(page& p, const http::url& url, host& h,
                     std::optional<std::chrono::steady_clock::time_point>& start) {
    const tutti::permit at_host = co_await h.places.acquire_permit_async();
    const tutti::permit in_all = co_await take_turn(h);
    if (!start) start = tutti::now();
    ++p.tries;
    std::exception_ptr thrown;
    try {
      co_await read_now(p, url);
    } catch (const tutti::cancelled&) {
      throw;
    } catch (...) {
      thrown = std::current_exception();
    }
    if (thrown != nullptr) throw failure_of(thrown);
  }

  tutti::task<tutti::permit> take_turn(host& h) {
    const auto first_in_line = co_await h.door.lock_async();
    co_await tutti::sleep_until(h.next_request);
    tutti::permit taken = co_await under_way_.acquire_permit_async();
    h.next_request = tutti::now() + h.pause;
    co_return taken;
  }

  tutti::task<> read_now(page& p, const http::url& url) {
    http::incoming answer = co_await client_.open(http::client_request(p.url));
    p.status = answer.status();
    const auto to = answer.headers().get("Location");
    p.is_redirect = p.status >= 300 && p.status < 400 && p.status != 304 && to;
    if (p.is_redirect) {
      try {
        p.links = {normalised(http::url::resolve(url, *to))};
      } catch (const std::invalid_argument&) {
        p.is_redirect = false;
        throw failure("redirect to nowhere", false);
      }
    }
    const bool is_html = p.status == 200 && starts_with_word(answer.headers().get("Content-Type", ""), "text/html");
    if (!is_html && answer.size().value_or(drop_above) >= drop_above) {
      p.bytes = answer.size().value_or(0);
    } else {
      std::string text;
      std::array<char, 16384> room;
      for (std::size_t n = 1; n != 0 && text.size() <= how_.max_body;) {
        n = co_await answer.read_some(room);
        text.append(room.data(), n);
      }
      p.cut_off = text.size() > how_.max_body;
      if (p.cut_off) text.resize(how_.max_body);
      p.bytes = text.size();
      if (is_html) p.links = links_of(url, text);
      if (p.links.size() > how_.max_links) p.links.resize(how_.max_links);
    }
    if (p.status >= 400) throw failure("status " + std::to_string(p.status), p.status >= 500 || p.status == 429);
  }

  // The first one asks the host for its robots.txt, the others await that.
  tutti::task<> get_to_know(host& h, std::string origin) {
    if (std::exchange(h.is_asked, true)) {
      co_await h.is_known.wait_async();
      co_return;
    }
    const auto attempt = [&]() -> tutti::task<http::response> {
      const tutti::permit in_all = co_await take_turn(h);
      http::response answer = co_await robots_client_.get(origin + "/robots.txt");
      if (answer.status >= 500) throw failure("status " + std::to_string(answer.status), true);
      co_return answer;
    };
    try {
      const http::response answer = co_await tutti::retry(attempt, how_.retries);
      if (answer.ok()) h.rules = robots::parse(answer.body, user_agent);  // else there is none
    } catch (const tutti::cancelled&) {
      throw;
    } catch (const std::exception&) {
      h.rules = robots::nothing();  // who cannot say what is forbidden is left alone
      h.failed = failure_of(std::current_exception()).what();
    }
    h.pause = std::max(h.pause, h.rules.crawl_delay().value_or(0ns));
    h.is_known.set();
  }

  static constexpr std::uint64_t drop_above = 65536;  // more than that is not read for the connection's sake

  options how_;
  tutti::semaphore under_way_;
  http::client client_, robots_client_;
  std::map<std::string, host> hosts_;  // by origin
  std::map<std::string, page> pages_;  // by URL
  tutti::task_group* group_ = nullptr;
};

/// The graph of links, as JSON has it.
struct node {
  std::string url;
  int status, depth, tries;
  std::uint64_t bytes;
  bool cut_off;
  double ms;
  std::string error;
};
BOOST_DESCRIBE_STRUCT(node, (), (url, status, depth, tries, bytes, cut_off, ms, error))
struct edge {
  std::size_t from, to;  ///< of nodes
  bool redirect;
};
BOOST_DESCRIBE_STRUCT(edge, (), (from, to, redirect))
struct graph {
  std::vector<node> nodes;
  std::vector<edge> edges;
  std::size_t beyond = 0;  ///< links to what was too deep, or too much
};
BOOST_DESCRIBE_STRUCT(graph, (), (nodes, edges, beyond))

inline double to_ms(std::chrono::nanoseconds t) { return std::chrono::duration<double, std::milli>(t).count(); }

inline graph graph_of(const std::map<std::string, page>& pages) {
  graph g;
  std::map<std::string_view, std::size_t> place;
  for (const auto& [url, p] : pages) {
    place.emplace(url, g.nodes.size());
    g.nodes.push_back({url, p.status, p.depth, p.tries, p.bytes, p.cut_off, to_ms(p.took), p.error});
  }
  for (const auto& [url, p] : pages) {
    for (const std::string& link : p.links) {
      const auto to = place.find(link);
      if (to == place.end()) {
        ++g.beyond;
      } else {
        g.edges.push_back({place.at(url), to->second, p.is_redirect});
      }
    }
  }
  return g;
}

}  // namespace crawl
