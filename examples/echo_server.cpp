// echo_server: sends back what it is sent; `echo_server 127.0.0.1:7000` serves, without an address it tries itself.
// Teaches: a connection is a coroutine that reads and writes in a straight line; serve() runs one for each, and its
// `stop` lets those that there are end first.
#include <tutti/tutti.hpp>

#include <array>
#include <iostream>
#include <span>
#include <string>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;

tutti::task<> echo(io::stream peer) {
  std::array<char, 4096> room{};
  for (;;) {
    const std::size_t n = co_await peer.read_some(room);
    if (n == 0) co_return;  // the peer has said all
    co_await peer.write(std::span(room).first(n));
  }
}

tutti::task<bool> call(io::endpoint server, std::string text) {
  io::stream s = co_await io::connect(server);
  co_await s.write(text);
  co_await s.shutdown_write();
  const std::string answer = co_await s.read_all(1'000'000, 10s);
  co_return answer == text;
}

tutti::task<int> try_itself() {
  io::listener at = io::listen("127.0.0.1:0");
  const io::endpoint place = at.local();
  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  int right = 0;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(io::serve(std::move(at), echo, {.stop = asked}));
    std::vector<tutti::task<bool>> calls;
    calls.reserve(101);
    for (int i = 0; i < 100; ++i) calls.push_back(call(place, "hello " + std::to_string(i)));
    calls.push_back(call(place, std::string(500'000, 'x')));
    const std::vector<bool> answers = co_await tutti::when_all(std::move(calls));
    for (const bool answer : answers) right += answer ? 1 : 0;
    quit.request_stop();
  });
  std::cout << right << " of 101 calls got back what they had sent\n";
  co_return right == 101 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  if (argc < 2) return io::run(try_itself());
  io::loop here;
  here.run([](std::string at) -> tutti::task<> { co_await io::serve(io::listen(at), echo); }(argv[1]));
}
