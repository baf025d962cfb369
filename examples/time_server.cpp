// time_server: tells the time, once a second, to whoever connects; without an address it tries itself.
// Teaches: a server that speaks first; it notices that the peer has gone because it waits for the clock and for the
// peer at once, and whichever comes first ends the other wait.
#include <tutti/tutti.hpp>

#include <array>
#include <chrono>
#include <ctime>
#include <iostream>
#include <string>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;

std::string time_text() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::array<char, 32> text{};
  std::tm parts{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ\r\n", ::gmtime_r(&now, &parts));
  return text.data();
}

tutti::task<> tell(io::stream& peer, std::chrono::milliseconds every) {
  for (;;) {
    const std::string text = time_text();
    co_await peer.write(text, 10s);  // one that does not read is given up
    co_await tutti::sleep_for(every);
  }
}

tutti::task<> until_gone(io::stream& peer) {
  std::array<char, 256> ignored{};
  for (;;) {
    const std::size_t n = co_await peer.read_some(ignored);
    if (n == 0) co_return;
  }
}

tutti::task<> serve_time(io::stream peer) {
  tutti::task<> telling = tell(peer, 1s), gone = until_gone(peer);
  co_await tutti::when_any(std::move(telling), std::move(gone));
}

tutti::task<int> try_itself() {
  io::listener at = io::listen("127.0.0.1:0");
  const io::endpoint place = at.local();
  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  std::optional<std::string> line;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(io::serve(std::move(at), serve_time, {.stop = asked}));
    io::stream s = co_await io::connect(place);
    line = co_await s.read_line(100, 10s);
    s.close();
    quit.request_stop();
  });
  std::cout << "the server says " << line.value_or("nothing") << '\n';
  co_return line && line->size() == 20 && line->back() == 'Z' ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  if (argc < 2) return io::run(try_itself());
  io::loop here;
  here.run([](std::string at) -> tutti::task<> { co_await io::serve(io::listen(at), serve_time); }(argv[1]));
}
