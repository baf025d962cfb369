// http_fan_out: a gateway asks five servers for each request, all at once, and answers with what came in time.
// Teaches: with_timeout around a request cancels it: its connection is closed, and the server that is too slow sees
// that and can stop working. when_all_settled tells what became of each; nothing is left behind.
#include <tutti/base/json.hpp>
#include <tutti/tutti.hpp>

#include <array>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/describe/class.hpp>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
namespace http = tutti::io::http;

constexpr std::chrono::milliseconds deadline = 1500ms;
constexpr int clients = 20;

struct part {
  int status;
  std::string text, error;
};
BOOST_DESCRIBE_STRUCT(part, (), (status, text, error))
using parts = std::map<std::string, part>;

// ---- the gateway

class gateway {
 public:
  /// Names and URLs.
  explicit gateway(std::map<std::string, std::string> servers)
      : servers_(std::move(servers)), client_({.max_per_host = 100}) {}

  tutti::task<http::response> answer() {
    std::vector<tutti::task<http::response>> requests;
    requests.reserve(servers_.size());
    for (const auto& [name, url] : servers_) requests.push_back(tutti::with_timeout(client_.get(url), deadline));
    const std::vector<tutti::outcome<http::response>> all = co_await tutti::when_all_settled(std::move(requests));
    parts found;
    auto outcome = all.begin();
    for (const auto& [name, url] : servers_) {
      part& p = found[name];
      try {
        const http::response& got = (outcome++)->value();
        p = {got.status, got.body, got.ok() ? "" : std::string(http::reason(got.status))};
      } catch (const tutti::timed_out&) {
        p = {504, "", "no answer in time"};
      } catch (const std::exception& e) {
        p = {502, "", e.what()};
      }
    }
    co_return http::response(200, tutti::encode_json(found), "application/json");
  }

 private:
  std::map<std::string, std::string> servers_;
  http::client client_;
};

// ---- the servers behind it

// Works for so long that nobody will wait, unless the client goes away. A server that speaks HTTP by hand, as it wants
// to listen to its client while it works.
class slow_server {
 public:
  tutti::task<> serve(io::listener at, tutti::stop_ref stop) {
    const auto one = [this](io::stream peer) -> tutti::task<> {
      static_cast<void>(co_await peer.read_until("\r\n\r\n", 10'000));
      ++asked;
      tutti::task<> work = answer(peer), gone = until_gone(peer);
      co_await tutti::when_any(std::move(work), std::move(gone));  // the first to end stops the other
    };
    co_await io::serve(std::move(at), one, {.stop = stop});
  }

  int asked = 0, given_up = 0, answered = 0;
  tutti::event all_given_up;

 private:
  tutti::task<> answer(io::stream& peer) {
    co_await tutti::sleep_for(std::chrono::hours(1));
    co_await peer.write("HTTP/1.1 204 No Content\r\n\r\n");
    ++answered;
  }
  tutti::task<> until_gone(io::stream& peer) {
    std::array<char, 64> room;
    const std::size_t n = co_await peer.read_some(room);
    if (n == 0 && ++given_up == clients) all_given_up.set();
  }
};

struct place {
  io::listener at = io::listen("127.0.0.1:0");
  std::string url = "http://" + at.local().text() + "/";
};

// ---- a request, many times at once

tutti::task<bool> ask(std::string url) {
  http::client client;
  const http::response got = co_await client.get(url);
  const auto found = tutti::decode_json<parts>(got.body);
  const auto is = [&](const char* name, int status, std::string_view text, std::string_view error) {
    const part& p = found.at(name);
    const bool right = p.status == status && p.text == text && p.error.find(error) != std::string::npos;
    if (!right) std::cout << "WRONG: " << got.body << '\n';
    return right;
  };
  co_return is("weather", 200, "rain", "") && is("prices", 200, "low", "") &&
      is("news", 500, "500 Internal Server Error\n", "Internal Server Error") &&
      is("maps", 504, "", "no answer in time") && is("ads", 502, "", "connecting: ");
}

tutti::task<int> try_itself() {
  place weather, news, prices, maps, ads, front;
  const std::string url = front.url + "all";
  gateway all(
      {{"weather", weather.url}, {"news", news.url}, {"prices", prices.url}, {"maps", maps.url}, {"ads", ads.url}});
  ads.at.close();  // nobody is there

  http::routes raining, cheap, failing, answers;
  raining.get("/", [](http::request&) { return "rain"; });
  cheap.get("/", [](http::request&) -> tutti::task<http::response> {
    co_await tutti::sleep_for(20ms);
    co_return "low";
  });
  failing.get("/", [](http::request&) { return http::response(500, "500 Internal Server Error\n"); });
  answers.get("/all", [&](http::request&) { return all.answer(); });
  slow_server slow;

  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  int right = 0;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(http::serve(std::move(weather.at), raining, {.stop = asked}));
    group.spawn(http::serve(std::move(prices.at), cheap, {.stop = asked}));
    group.spawn(http::serve(std::move(news.at), failing, {.stop = asked}));
    group.spawn(slow.serve(std::move(maps.at), asked));
    group.spawn(http::serve(std::move(front.at), answers, {.stop = asked}));
    std::vector<tutti::task<bool>> asks;
    asks.reserve(clients);
    for (int i = 0; i < clients; ++i) asks.push_back(ask(url));
    const std::vector<bool> answered = co_await tutti::when_all(std::move(asks));
    for (const bool one : answered) right += one ? 1 : 0;
    const bool seen = co_await slow.all_given_up.wait_for_async(30s);
    if (!seen) std::cout << "WRONG: the slow server still works\n";
    quit.request_stop();
  });
  std::cout << right << " of " << clients << " answers are right; the slow server was asked " << slow.asked
            << " times, and " << slow.given_up << " times saw that nobody waits any more\n";
  co_return right == clients&& slow.given_up == clients&& slow.answered == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  return io::run(try_itself());
}
