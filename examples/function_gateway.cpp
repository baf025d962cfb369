// function_gateway: POST /call/NAME with a JSON array of arguments calls a C++ function; `function_gateway
// 127.0.0.1:8080`. Teaches: `co_await pool.submit<f>(...)` moves computing off the loop, here to processes: a call that
// takes too long is ended, one that crashes or wants too much memory takes nothing else with it, and one too many is
// told to come back later.
#include <tutti/base/json.hpp>
#include <tutti/tutti.hpp>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

// What can be called. Their types say what JSON they take and give.
namespace functions {

double mean(const std::vector<double>& numbers) {
  if (numbers.empty()) throw std::invalid_argument("there is no mean of no numbers");
  return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
}
std::string repeat(const std::string& text, unsigned times) {
  if (!text.empty() && times > 1'000'000 / text.size()) throw std::length_error("that would be too long");
  std::string all;
  for (unsigned i = 0; i < times; ++i) all += text;
  return all;
}
bool is_prime(std::uint64_t n) {
  for (std::uint64_t i = 2; i <= n / i; ++i)
    if (n % i == 0) return false;
  return n > 1;
}
int crash(int code) { std::_Exit(code); }
int hang() {
  volatile bool endless = true;
  while (endless) {
  }
  return 0;
}

}  // namespace functions

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
namespace http = tutti::io::http;

http::response failed(int status, const std::string& why) {
  const std::map<std::string, std::string> error{{"error", why}};
  return http::response(status, tutti::encode_json(error), "application/json");
}

class gateway {
 public:
  gateway(tutti::process_pool& pool, std::chrono::nanoseconds limit, int at_most)
      : pool_(pool), limit_(limit), free_(at_most) {}

  template <auto F>
  void add(const std::string& name) {
    calls_[name] = [this](std::string arguments) { return call<F>(std::move(arguments)); };
  }

  tutti::task<> serve(io::listener at, tutti::stop_ref stop = {}) {
    http::routes routes;
    routes.post("/call/{name}", [this](http::request& r) { return answer(r); });
    co_await http::serve(std::move(at), routes, {.stop = stop, .max_body = 65536});
  }

 private:
  template <auto F>
  tutti::task<std::string> call(std::string arguments) {
    using traits = tutti::function_traits<F>;
    auto decoded = tutti::decode_json<typename traits::stored_args>(arguments);
    const auto submit = [&](auto&... a) { return pool_.with({.timeout = limit_}).template submit<F>(std::move(a)...); };
    const typename traits::result result = co_await std::apply(submit, decoded);
    co_return tutti::encode_json(result);
  }

  tutti::task<http::response> answer(http::request& r) {
    const auto found = calls_.find(r.param("name"));
    if (found == calls_.end()) co_return failed(404, "there is no function " + r.param("name"));
    // A place is for a call, not for who sends slowly what it is to be called with.
    std::string arguments = co_await r.read_body();  // too long: 413, without a word here
    const tutti::permit taken = free_.try_acquire_permit();
    if (!taken) {
      http::response later = failed(503, "too many calls; come back later");
      later.headers.add("Retry-After", "1");
      co_return later;
    }
    try {
      std::string result = co_await found->second(std::move(arguments));
      co_return http::response(200, std::move(result), "application/json");
    } catch (const tutti::decode_error& e) {
      co_return failed(400, e.what());
    } catch (const tutti::timed_out&) {
      co_return failed(504, "the call took too long");
    } catch (const tutti::worker_lost& e) {
      co_return failed(500, e.what());
    } catch (const tutti::cancelled&) {
      throw;
    } catch (const std::exception& e) {
      co_return failed(422, e.what());
    }
  }

  tutti::process_pool& pool_;
  std::chrono::nanoseconds limit_;
  tutti::semaphore free_;
  std::map<std::string, std::function<tutti::task<std::string>(std::string)>> calls_;
};

void add_all(gateway& to) {
  to.add<functions::mean>("mean");
  to.add<functions::repeat>("repeat");
  to.add<functions::is_prime>("is_prime");
}

// They have begun to send what a function is to be called with, and go on no more.
tutti::task<std::vector<io::stream>> slow_ones(io::endpoint to) {
  std::vector<io::stream> all;
  for (int i = 0; i < 4; ++i) {
    io::stream s = co_await io::connect(to);
    co_await s.write("POST /call/mean HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    co_await s.read_until("100 Continue\r\n\r\n", 1000, 60s);  // it is read
    co_await s.write("[");
    all.push_back(std::move(s));
  }
  co_return all;
}

tutti::task<int> try_itself(tutti::process_pool& pool) {
  struct one {
    const char *name, *arguments;
    int status;
    const char* answer;  // a part of it
  };
  constexpr one calls[] = {
      {"mean", "[[1, 2, 6]]", 200, "3.0"},
      {"repeat", R"(["ab\n", 3])", 200, R"("ab\nab\nab\n")"},
      {"is_prime", "[1000000007]", 200, "true"},
      {"mean", "[[]]", 422, "no mean"},
      {"mean", "[1]", 400, "$[0]"},
      {"mean", "[[1], 2]", 400, "error"},
      {"mean", "hello", 400, "error"},
      {"repeat", R"(["x", -1])", 400, "$[1]"},
      {"repeat", R"(["123456789", 4000000000])", 422, "too long"},
      {"crash", "[3]", 500, "exit"},
      {"mean", "[[2]]", 200, "2.0"},
      {"hang", "[]", 504, "too long"},
      {"rm", "[]", 404, "no function rm"},
  };
  gateway serving(pool, 1s, 2);
  add_all(serving);
  serving.add<functions::crash>("crash");
  serving.add<functions::hang>("hang");
  io::listener at = io::listen("127.0.0.1:0");
  const io::endpoint place = at.local();
  const std::string base = "http://" + at.local().text() + "/call/";
  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  int wrong = 0;
  const auto check = [&](const std::string& what, const http::response& got, int status, std::string_view part) {
    const bool right = got.status == status && got.body.find(part) != std::string::npos;
    std::cout << (right ? "" : "WRONG: ") << what << ": " << got.status << ' ' << got.body.substr(0, 70) << '\n';
    wrong += right ? 0 : 1;
  };
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(serving.serve(std::move(at), asked));
    http::client client;
    const std::vector<io::stream> slow = co_await slow_ones(place);
    for (const one& c : calls) {
      const http::response got = co_await client.post(base + c.name, c.arguments, "application/json");
      check(std::string(c.name) + c.arguments, got, c.status, c.answer);
    }
    const std::string large(100'000, ' ');
    const http::response refused = co_await client.post(base + "mean", large, "application/json");
    check("a large body", refused, 413, "");

    // Two calls take both places, the others have none until they have ended.
    std::vector<tutti::task<http::response>> many(5);
    for (tutti::task<http::response>& call : many) call = client.post(base + "hang", "[]", "application/json");
    const std::vector<http::response> all = co_await tutti::when_all(std::move(many));
    int ended = 0, later = 0;
    for (const http::response& r : all) {
      ended += r.status == 504 ? 1 : 0;
      later += r.status == 503 && r.headers.contains("Retry-After") ? 1 : 0;
    }
    std::cout << "5 calls at once: " << ended << " were ended, " << later << " were told to come back\n";
    wrong += ended == 2 && later == 3 ? 0 : 1;
    quit.request_stop();
  });
  co_return wrong == 0 ? 0 : 1;
}

tutti::task<int> serve(tutti::process_pool& pool, std::string at) {
  gateway serving(pool, 10s, 100);
  add_all(serving);
  co_await serving.serve(io::listen(at));
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  tutti::process_pool pool({.workers = argc < 2 ? 2 : 0, .memory_limit = std::uint64_t{256} << 20, .grace = 100ms});
  return io::run(argc < 2 ? try_itself(pool) : serve(pool, argv[1]));
}
