#include <tutti/io/http/client.hpp>
#include <tutti/io/http/server.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/sync/semaphore.hpp>
#include <tutti/task/task_group.hpp>

#include <set>
#include <string>
#include <string_view>

#include "../harness/server.hpp"
#include "systems.hpp"

namespace bench::crawl {

namespace {

namespace io = tutti::io;
using tutti::task;

std::string link_to(int page) { return "<a href=\"/page/" + std::to_string(page) + "\">next</a>\n"; }

std::string page_text(int page) {
  std::string text = "<html><body>" + std::string(2000, 'x') + "\n";
  for (const int next : {2 * page + 1, 2 * page + 2, page / 2})
    if (next < pages) text += link_to(next);
  return text + "</body></html>";
}

task<> serve() {
  io::http::routes routes;
  routes.get("/page/{number}", [](io::http::request& asked) {
    return io::http::response(200, page_text(std::stoi(asked.param("number"))), "text/html; charset=utf-8");
  });
  io::listener from = io::listen("127.0.0.1:0", {.backlog = backlog});
  announce(from.local().port());
  co_await io::http::serve(std::move(from), routes);
}

struct crawler {
  io::http::client client;
  tutti::semaphore places;
  std::string origin;
  std::set<std::string, std::less<>> seen;
  std::size_t got = 0;

  task<> visit(tutti::task_group& group, std::string path) {
    const tutti::permit place = co_await places.acquire_permit_async();
    const io::http::response page = co_await client.get(origin + path);
    ++got;
    constexpr std::string_view before = "href=\"";
    for (std::size_t at = 0; (at = page.body.find(before, at)) != std::string::npos;) {
      at += before.size();
      const std::size_t end = page.body.find('"', at);
      if (end == std::string::npos) break;
      const std::string_view link = std::string_view(page.body).substr(at, end - at);
      if (!seen.contains(link)) group.spawn(visit(group, *seen.emplace(link).first));
    }
  }
};

task<std::size_t> crawl(int port, int most) {
  crawler all{io::http::client({.max_per_host = most}),
              tutti::semaphore(most),
              "http://127.0.0.1:" + std::to_string(port),
              {"/page/0"}};
  co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> { co_await all.visit(group, "/page/0"); });
  co_return all.got;
}

}  // namespace

void serve_pages() { io::run(serve()); }

std::size_t crawl_tutti(int port, int most) { return io::run(crawl(port, most)); }

}  // namespace bench::crawl
