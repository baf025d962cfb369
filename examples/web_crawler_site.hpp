// web_crawler_site: 500 pages on four ports, with all that makes a crawler's life hard, and what it should find there.
#pragma once
#include <examples/web_crawler.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace crawl {

class site {
 public:
  enum class kind {
    fine,
    slow,
    text,
    huge,
    missing,
    failing,
    failing_once,
    resetting,
    malformed,
    hanging,
    forbidden,
    redirect
  };
  static constexpr int hosts = 4, size = 500, calendar_begin = 1000;

  site() : pages_(size) {
    for (int i = 0; i < 400; ++i) {
      pages_[at(i)] = {.what = kind::fine, .delay = std::chrono::milliseconds(i % 5), .links = {i, (7 * i + 3) % 400}};
      for (int child = 4 * i + 1; child <= 4 * i + 4 && child < 400; ++child) pages_[at(i)].links.push_back(child);
    }
    constexpr kind odd[] = {kind::failing, kind::missing, kind::resetting, kind::malformed, kind::failing_once,
                            kind::huge,    kind::text,    kind::forbidden, kind::fine,      kind::fine};
    for (int i = 300; i < 400; ++i) pages_[at(i)].what = odd[i % 10];

    add_chain(400, 404, kind::redirect, 0ms);  // to 405
    for (const auto& [first, last] : {std::pair(435, 449), std::pair(463, 469), std::pair(488, 499)})
      for (int i = first; i <= last; ++i) pages_[405].links.push_back(i);
    add_chain(410, 412, kind::redirect, 0ms);
    pages_[412].links = {410};
    add_chain(415, 429, kind::redirect, 0ms);  // too many
    for (int i = 431; i < 435; ++i) pages_[at(i)] = {.what = kind::redirect, .links = {i - 400}};
    add_chain(450, 461, kind::slow, 350ms);
    pages_[461].links.clear();
    pages_[462].what = kind::hanging;
    // Found early on a long way, and later on a short one: only then its tail is near enough.
    add_chain(470, 473, kind::fine, 0ms);
    pages_[475] = {.what = kind::slow, .delay = 300ms, .links = {474}};
    pages_[474].links = {476};
    add_chain(476, 487, kind::fine, 0ms);
    pages_[0].links.insert(pages_[0].links.end(),
                           {400, 410, 415, 431, 432, 433, 434, 450, 462, 470, 475, calendar_begin});
  }

  /// Listens, and gives a task that serves until `stop`.
  tutti::task<> serve(int host, std::stop_token stop) {
    io::listener listens = io::listen("127.0.0.1:0");
    seen_[host].origin = "http://" + listens.local().text();
    http::routes routes;
    routes.get("/robots.txt", [this, host](http::request&) -> http::response {
      ++seen_[host].robots;
      return host == 2
                 ? http::response(404)
                 : "User-agent: *\nDisallow: /\n\nUser-agent: Tutti-Crawler\nDisallow: /p*ivate/ # not to be read\n"
                   "Allow: /private/open$\nCrawl-delay: " +
                       crawl_delay + "\n";
    });
    routes.get("/{folder}/{id}", [this, host](http::request& r) { return answer(host, r); });
    return http::serve(std::move(listens), std::move(routes), {.stop = stop});
  }

  [[nodiscard]] std::string url(int page) const {
    if (page >= calendar_begin) return seen_[0].origin + "/calendar/" + std::to_string(page - calendar_begin);
    return seen_[page % hosts].origin + path(page);
  }

  /// The pages within reach, with what should be said of them.
  struct expected {
    std::map<std::string, std::pair<int, std::string>> pages;  // depth, error
    std::set<std::pair<std::string, std::string>> edges;
  };
  [[nodiscard]] expected should_find(const options& how) const {
    std::map<int, std::pair<int, int>> reached;  // depth, redirects
    using step = std::tuple<int, int, int>;      // and the page
    std::priority_queue<step, std::vector<step>, std::greater<>> next;
    for (next.emplace(0, 0, 0); !next.empty();) {
      const auto [depth, redirects, i] = next.top();
      next.pop();
      if (!reached.try_emplace(i, depth, redirects).second) continue;
      const bool redirect = one(i).what == kind::redirect;
      if (redirect ? redirects == how.max_redirects : depth == how.depth) continue;
      for (const int to : links(i)) next.emplace(redirect ? depth : depth + 1, redirect ? redirects + 1 : 0, to);
    }
    expected all;
    for (const auto& [i, found] : reached) {
      const bool endless = one(i).what == kind::redirect && found.second == how.max_redirects;
      all.pages[known(i)] = {found.first, endless ? "too many redirects" : error(one(i).what)};
      for (const int to : links(i))
        if (reached.contains(to)) all.edges.emplace(known(i), known(to));
    }
    return all;
  }

  /// The end of the last page, if each were asked for as soon as it can be known of: no crawler is faster.
  [[nodiscard]] std::chrono::nanoseconds slowest_path(const options& how) const {
    std::map<int, std::chrono::nanoseconds> ends;
    using step = std::pair<std::chrono::nanoseconds, int>;
    std::priority_queue<step, std::vector<step>, std::greater<>> next;
    std::chrono::nanoseconds last{};
    for (next.emplace(cost(0, how), 0); !next.empty();) {
      const auto [end, i] = next.top();
      next.pop();
      if (!ends.try_emplace(i, end).second) continue;
      last = end;
      for (const int to : links(i))
        if (to < calendar_begin) next.emplace(end + cost(to, how), to);
    }
    return last;
  }

  /// What a host has seen.
  struct sight {
    std::string origin;
    int now = 0, most = 0, robots = 0, requests = 0, forbidden = 0;
    std::map<std::string, int> asked;  // by target
  };
  [[nodiscard]] sight& seen(int host) { return seen_[host]; }

  int most_in_all = 0;                // requests at once
  std::string crawl_delay = "0.001";  // in seconds; one host has no robots.txt

 private:
  struct spot {
    kind what = kind::fine;
    std::chrono::milliseconds delay{};
    std::vector<int> links;  // of a redirect: the one
  };

  // As a crawler is to know it.
  [[nodiscard]] std::string known(int i) const {
    std::string text = url(i);
    if (const std::size_t escape = text.find("%7E%2f"); escape != std::string::npos) text.replace(escape, 6, "~%2F");
    return text;
  }

  static std::size_t at(int i) { return static_cast<std::size_t>(i); }

  void add_chain(int first, int last, kind what, std::chrono::milliseconds delay) {
    for (int i = first; i <= last; ++i) pages_[at(i)] = {.what = what, .delay = delay, .links = {i + 1}};
  }

  [[nodiscard]] spot one(int i) const {
    return i < calendar_begin ? pages_[at(i)] : spot{.what = kind::fine, .links = {0, i + 1}};
  }
  // Those that can be seen.
  [[nodiscard]] std::vector<int> links(int i) const {
    const spot s = one(i);
    const bool has_some = s.what == kind::fine || s.what == kind::slow || s.what == kind::huge ||
                          s.what == kind::failing_once || s.what == kind::redirect;
    return has_some ? s.links : std::vector<int>();
  }

  [[nodiscard]] std::string path(int page) const {
    const std::string folder = pages_[at(page)].what == kind::forbidden ? "/private/" : "/p/";
    return folder + std::to_string(page) + (page % 3 == 0 ? "?a=1&b=%7E%2f" : "");
  }

  static std::string error(kind what) {
    switch (what) {
      case kind::missing: return "status 404";
      case kind::failing: return "status 500";
      case kind::resetting: return "broken connection";
      case kind::malformed: return "not HTTP";
      case kind::hanging: return "time limit";
      case kind::forbidden: return "robots.txt forbids it";
      default: return "";
    }
  }

  [[nodiscard]] std::chrono::nanoseconds cost(int i, const options& how) const {
    const spot& s = pages_[at(i)];
    const std::chrono::nanoseconds again = how.retries.first_delay + s.delay;
    switch (s.what) {
      case kind::failing:
      case kind::failing_once:
      case kind::resetting: return s.delay + again;
      case kind::hanging: return 2 * how.page_limit + again;
      case kind::forbidden: return 0ns;
      default: return s.delay;
    }
  }

  // A page with its links, each in another way.
  [[nodiscard]] std::string html(int i) const {
    std::string text =
        "<!DOCTYPE html><title>a > b</title><!-- <a href='/trap/1'> --><SCRIPT>w('<a href=\"/trap/2\">')"
        "</SCRIPT><a href=mailto:a@b>us</a> <a href='ftp://x/y'>y</a> <a name=top>x</a>\n";
    int form = i;
    for (const int to : one(i).links) {
      const bool here = to < calendar_begin && i < calendar_begin && to % hosts == i % hosts;
      std::string target = here ? path(to) : url(to);
      for (std::size_t and_at = 0; (and_at = target.find('&', and_at)) != std::string::npos; ++and_at)
        target.replace(and_at, 1, "&amp;");
      const std::string other = here ? "x/.." + target : target.substr(5);
      switch (++form % 5) {
        case 0: text += "<a class=big href=\"" + target + "#part\">1</a>"; break;
        case 1: text += "<A\n HREF = '" + target + "' >2</A><a href='" + target + "#twice'>again</a>"; break;
        case 2: text += "<a disabled href=" + target + ">3</a>"; break;
        case 3: text += "<area href=\" " + target + "\n\"/>"; break;
        default: text += "<a href=\"" + (here ? "/" + other : other) + "\">5</a>"; break;
      }
    }
    return text;
  }

  tutti::task<http::response> answer(int host, http::request& r) {
    sight& s = seen_[host];
    ++s.requests;
    ++s.now;
    s.most = std::max(s.most, s.now);
    most_in_all = std::max(most_in_all, ++now_in_all_);
    const int count = ++s.asked[r.target()];
    const std::string& id = r.param("id");
    int i = -1;
    std::from_chars(id.data(), id.data() + id.size(), i);
    if (r.param("folder") == "calendar") i += calendar_begin;
    if (r.param("folder") == "private" || r.param("folder") == "trap" || i < 0) ++s.forbidden;
    http::response made(404);
    if (i >= 0 && (i < size || i >= calendar_begin)) {
      co_await tutti::sleep_for(one(i).delay);
      made = response_of(i, count);
    }
    --s.now;
    --now_in_all_;
    co_return made;
  }

  [[nodiscard]] http::response response_of(int i, int count) const {
    const kind what = one(i).what;
    const std::string text = html(i);
    http::response made(200, text, what == kind::text ? "text/plain" : "Text/HTML; charset=utf-8");
    if (what == kind::failing) made.status = 500;
    if (what == kind::failing_once && count == 1) made.status = 503;
    if (what == kind::missing) made.status = 404;
    if (what == kind::redirect) made = http::response::redirect(url(one(i).links.front()), 301 + i % 2);
    if (what == kind::huge)
      made = http::response::stream(
          [text](http::body_writer& to) -> tutti::task<> {
            co_await to.write(text);
            const std::string filler(65536, ' ');
            for (int pieces = 0; pieces < 1000; ++pieces) co_await to.write(filler);
          },
          "text/html");
    if (what == kind::malformed)
      made.takeover = [](io::stream s, const http::request&) -> tutti::task<> {
        co_await s.write("HTTP/1.1 two hundred, OK\r\nContent-Length: 1\r\n\r\nx");
      };
    if (what == kind::resetting)
      made.takeover = [](io::stream s, const http::request&) -> tutti::task<> {
        co_await s.write("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999\r\n\r\n<a href='/trap/3'>");
        const ::linger at_once{1, 0};
        ::setsockopt(s.descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      };
    if (what == kind::hanging)
      made.takeover = [](io::stream s, const http::request&) -> tutti::task<> {
        std::array<char, 64> room;
        while (true) {
          const std::size_t n = co_await s.read_some(room);
          if (n == 0) break;
        }
      };
    return made;
  }

  std::vector<spot> pages_;
  sight seen_[hosts];
  int now_in_all_ = 0;
};

}  // namespace crawl
