// chat_server: what one says, all others read; the first line is the name. Without an address it tries itself.
// Teaches: a broadcast between connections. Each connection is two coroutines, one for each direction; a peer that
// does not read loses messages, and nobody waits for it.
#include <tutti/tutti.hpp>

#include <exception>
#include <iostream>
#include <memory>
#include <string>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;

using line = std::shared_ptr<const std::string>;  // one text for all who read it
using room = tutti::broadcast<line>;

tutti::task<> say(room& all, std::string text) { co_await all.send_async(std::make_shared<const std::string>(text)); }

tutti::task<> hear(io::stream& peer, tutti::subscription<line> from) {
  for (;;) {
    const line text = co_await from.receive_async();
    co_await peer.write(*text, 10s);
  }
}

tutti::task<> talk(io::stream& peer, room& all, std::string name) {
  for (;;) {
    const std::optional<std::string> text = co_await peer.read_line(1000);
    if (!text) break;
    co_await say(all, name + ": " + *text + "\n");
  }
}

tutti::task<> chat(io::stream& peer, room& all) {
  const std::optional<std::string> name = co_await peer.read_line(40, 30s);
  if (!name || name->empty()) co_return;
  tutti::subscription<line> hers = all.subscribe();
  co_await say(all, "* " + *name + " enters\n");
  // The end of either direction ends the other.
  tutti::task<> hearing = hear(peer, std::move(hers)), talking = talk(peer, all, *name);
  std::exception_ptr failed;
  try {
    co_await tutti::when_any(std::move(hearing), std::move(talking));
  } catch (...) {
    failed = std::current_exception();
  }
  // However it ended: the line broke, it did not read, it said too much. Also when this is to stop.
  co_await tutti::shield(say(all, "* " + *name + " leaves\n"));
  if (failed != nullptr) std::rethrow_exception(failed);
}

tutti::task<> serve_chat(io::listener at, tutti::stop_ref stop = {}) {
  room all(256, tutti::slow_reader::drop_oldest);
  const auto one = [&all](io::stream peer) -> tutti::task<> { co_await chat(peer, all); };
  co_await io::serve(std::move(at), one, {.drain = 1s, .stop = stop});
}

tutti::task<bool> expect(io::stream& s, std::string text) {
  const std::optional<std::string> got = co_await s.read_line(1000, 10s);
  if (got != text) std::cout << "expected \"" << text << "\", got \"" << got.value_or("the end") << "\"\n";
  co_return got == text;
}

tutti::task<int> try_itself() {
  io::listener at = io::listen("127.0.0.1:0");
  const io::endpoint place = at.local();
  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  bool right = true;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(serve_chat(std::move(at), asked));
    io::stream ada = co_await io::connect(place), bob = co_await io::connect(place);
    co_await ada.write("ada\n");
    right &= co_await expect(ada, "* ada enters");
    co_await bob.write("bob\n");
    right &= co_await expect(bob, "* bob enters");
    right &= co_await expect(ada, "* bob enters");
    co_await bob.write("hello, ada\n");
    right &= co_await expect(ada, "bob: hello, ada");
    right &= co_await expect(bob, "bob: hello, ada");
    bob.close();
    right &= co_await expect(ada, "* bob leaves");
    io::stream eve = co_await io::connect(place);
    co_await eve.write("eve\n");
    right &= co_await expect(ada, "* eve enters");
    co_await eve.write(std::string(2000, 'e'));  // more than a line may have
    right &= co_await expect(ada, "* eve leaves");
    ada.close();
    quit.request_stop();
  });
  std::cout << (right ? "ada and bob have talked\n" : "");
  co_return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  if (argc < 2) return io::run(try_itself());
  io::loop here;
  here.run([](std::string at) -> tutti::task<> { co_await serve_chat(io::listen(at)); }(argv[1]));
}
