// Websockets with peers that others have written, and with such as do not behave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <tests/support/peer.hpp>
#include <tests/support/processes.hpp>
#include <tests/support/websocket.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/task/yield.hpp>

#include <fcntl.h>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using tutti::task;
using tutti_test::echo_messages;
using tutti_test::failure;
using tutti_test::http_hang;
using tutti_test::with_websocket_server;
namespace io = tutti::io;

class websocket_peers : public tutti_test::websocket_test {};

// ---------------------------------------------------------------- aiohttp

TEST_F(websocket_peers, aiohttps_client_talks_to_our_server) {
  std::string asked_for, said;
  int code = 0;
  const auto talk = [&](io::websocket peer) -> task<> {
    for (;;) {
      const std::optional<io::websocket_message> message = co_await peer.receive(http_hang);
      if (!message) break;
      if (message->binary) {
        co_await peer.send_binary(message->data, http_hang);
      } else {
        co_await peer.send(message->data, http_hang);
      }
    }
    code = peer.close_code();
    said = peer.close_reason();
  };
  std::string output;
  with_websocket_server(talk, {.max_message = 4 << 20, .protocol = "chat"}, [&](std::string url) -> task<> {
    const std::string script =
        "import asyncio, aiohttp\n"
        "async def main():\n"
        "  async with aiohttp.ClientSession() as session:\n"
        "    ws = await session.ws_connect('" +
        url +
        "', protocols=['other', 'chat'], autoping=False, max_msg_size=0)\n"
        "    print('protocol', ws.protocol)\n"
        "    await ws.send_str('gr\\u00fc\\u00dfe')\n"
        "    print('text', (await ws.receive_str()).encode('utf-8'))\n"
        "    large = bytes(range(256)) * 8192\n"
        "    await ws.send_bytes(large)\n"
        "    print('large', (await ws.receive_bytes()) == large)\n"
        "    await ws.send_bytes(b'')\n"
        "    print('empty', await ws.receive_bytes())\n"
        "    await ws.ping(b'there?')\n"
        "    pong = await ws.receive()\n"
        "    print('pong', pong.type == aiohttp.WSMsgType.PONG, bytes(pong.data))\n"
        "    await ws.close(code=4002, message=b'bye')\n"
        "    print('closed', ws.close_code)\n"
        "asyncio.run(main())\n";
    output = co_await tutti_test::output_of("/usr/bin/python3", "-c", script);
  });
  EXPECT_EQ(
      output,
      "protocol chat\ntext b'gr\\xc3\\xbc\\xc3\\x9fe'\nlarge True\nempty b''\npong True b'there?'\nclosed 4002\n");
  EXPECT_EQ(code, 4002);
  EXPECT_EQ(said, "bye");
}

constexpr const char* aiohttp_server =
    "import asyncio, sys\n"
    "from aiohttp import web, WSMsgType\n"
    "async def chat(request):\n"
    "  ws = web.WebSocketResponse(protocols=['chat'], max_msg_size=0)\n"
    "  await ws.prepare(request)\n"
    "  print('protocol', ws.ws_protocol, flush=True)\n"
    "  async for m in ws:\n"
    "    if m.type == WSMsgType.TEXT and m.data == 'ask':\n"
    "      await ws.ping(b'there?')\n"
    "      await ws.send_str('asked')\n"
    "    elif m.type == WSMsgType.TEXT and m.data == 'end':\n"
    "      await ws.close(code=4003, message=b'as you wish')\n"
    "    elif m.type == WSMsgType.TEXT: await ws.send_str(m.data)\n"
    "    else: await ws.send_bytes(m.data)\n"
    "  print('closed', ws.close_code, flush=True)\n"
    "  return ws\n"
    "async def main():\n"
    "  app = web.Application()\n"
    "  app.router.add_get('/chat', chat)\n"
    "  runner = web.AppRunner(app)\n"
    "  await runner.setup()\n"
    "  site = web.TCPSite(runner, '127.0.0.1', 0)\n"
    "  await site.start()\n"
    "  print(site._server.sockets[0].getsockname()[1], flush=True)\n"
    "  await asyncio.Event().wait()\n"
    "asyncio.run(main())\n";

TEST_F(websocket_peers, our_client_talks_to_aiohttps_server) {
  tutti_test::peer server({"/usr/bin/python3", "-c", aiohttp_server});
  const std::string url = "ws://127.0.0.1:" + server.line() + "/chat";
  const auto talk = [&]() -> task<> {
    io::websocket mine = co_await io::websocket::connect(url, {.max_message = 4 << 20, .protocol = "chat"});
    co_await mine.send("gr\u00fc\u00dfe", http_hang);
    std::optional<io::websocket_message> got = co_await mine.receive(http_hang);
    EXPECT_EQ(got.value().data, "gr\u00fc\u00dfe");
    std::string large;
    for (int i = 0; i < (2 << 20); ++i) large += static_cast<char>(i % 251);
    co_await mine.send_binary(large, http_hang);
    got = co_await mine.receive(http_hang);
    EXPECT_TRUE(got.value().data == large);
    EXPECT_TRUE(got->binary);
    co_await mine.ping(http_hang);
    co_await mine.send("ask", http_hang);
    got = co_await mine.receive(http_hang);
    EXPECT_EQ(got.value().data, "asked");
    co_await mine.send("end", http_hang);
    got = co_await mine.receive(http_hang);
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(mine.close_code(), 4003);
    EXPECT_EQ(mine.close_reason(), "as you wish");
    io::websocket next = co_await io::websocket::connect(url);
    co_await next.close(1001, "leaving");
  };
  io::run(talk());
  EXPECT_EQ(server.line(), "protocol chat");
  EXPECT_EQ(server.line(), "closed 4003");
  EXPECT_EQ(server.line(), "protocol None");
  EXPECT_EQ(server.line(), "closed 1001");
}

// ---------------------------------------------------------------- those that do not behave

// The descriptor of a connection, a second time, for a thread.
tutti::unique_fd duplicate(const io::stream& s) {
  return tutti::unique_fd(::fcntl(s.descriptor(), F_DUPFD_CLOEXEC, 3));
}

TEST_F(websocket_peers, a_send_to_one_that_reads_no_more_ends_with_its_limit_and_the_connection) {
  tutti::event given_up;
  std::string late, afterwards;
  const std::string large(64 << 20, 'x');
  const auto talk = [&](io::websocket peer) -> task<> {
    late = co_await failure<tutti::timed_out>(peer.send_binary(large, 200ms));
    afterwards = co_await failure<tutti::closed>(peer.send("more"));
    given_up.set();
    co_await failure<tutti::closed>(peer.receive());
  };
  with_websocket_server(talk, {}, [&](std::string url) -> task<> {
    io::stream s = co_await tutti_test::raw_websocket(url);
    co_await s.read_exactly(1 << 20, http_hang);
    co_await given_up.wait_async();
    const std::size_t rest = co_await tutti_test::bytes_to_the_end(s);
    EXPECT_LT(rest, large.size() - (1 << 20));
  });
  EXPECT_THAT(late, HasSubstr("took longer than the limit of 200 ms"));
  EXPECT_NE(afterwards, "");
}

TEST_F(websocket_peers, a_close_ends_with_its_limit_while_frames_come_on_and_on) {
  std::string late;
  tutti::event over;
  const auto talk = [&](io::websocket peer) -> task<> {
    late = co_await failure<tutti::timed_out>(peer.close(1000, std::string(), 50ms));
    over.set();
  };
  with_websocket_server(talk, {}, [&](std::string url) -> task<> {
    const io::stream s = co_await tutti_test::raw_websocket(url);
    std::string frames;
    for (int i = 0; i < 100; ++i) frames += tutti_test::frame(tutti_test::binary_frame, std::string(1000, 'x'));
    const tutti_test::flooding_peer peer(duplicate(s), frames);
    co_await over.wait_async();
  });
  EXPECT_THAT(late, HasSubstr("took longer than the limit of 50 ms"));
}

TEST_F(websocket_peers, a_close_ends_with_its_limit_when_a_frame_stays_half) {
  std::string late;
  const auto talk = [&](io::websocket peer) -> task<> {
    late = co_await failure<tutti::timed_out>(peer.close(1000, std::string(), 50ms));
  };
  with_websocket_server(talk, {}, [&](std::string url) -> task<> {
    io::stream s = co_await tutti_test::raw_websocket(url);
    std::string frames;
    for (int i = 0; i < 100; ++i) frames += tutti_test::frame(tutti_test::binary_frame, std::string(10'000, 'x'));
    frames.resize(frames.size() - 5000);
    try {
      co_await s.write(frames, http_hang);
    } catch (const tutti::os_error&) {  // it was faster
    }
    co_await tutti_test::bytes_to_the_end(s);
  });
  EXPECT_THAT(late, HasSubstr("took longer than the limit of 50 ms"));
}

TEST_F(websocket_peers, a_handshake_ends_with_its_limit) {
  for (const std::string beginning : {"", "HTTP/1.1 101 Switching Proto"}) {
    std::string late;
    const auto all = [&]() -> task<> {
      io::listener at = io::listen("127.0.0.1:0");
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        group.spawn([&]() -> task<> {
          io::stream s = co_await at.accept();
          co_await s.write(beginning);
          EXPECT_GT(co_await tutti_test::bytes_to_the_end(s), 0U);
        });
        const std::string url = "ws://" + at.local().text();
        late = co_await failure<tutti::timed_out>(io::websocket::connect(url, {.handshake_limit = 50ms}));
      });
    };
    io::run(all());
    EXPECT_THAT(late, HasSubstr("the websocket handshake with 127.0.0.1")) << beginning;
  }
}

// A stop right after the beginning: its first step is through by then, and the next one has not begun.
TEST_F(websocket_peers, a_stop_between_two_steps_ends_the_wait) {
  const std::string large(64 << 20, 'x');
  int sends = 0, closes = 0;
  const auto stopped_at_once = [](std::function<task<>()> what) -> task<> {
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(what);
      group.spawn([&]() -> task<> {
        group.stop();
        co_return;
      });
      co_return;
    });
  };
  const auto talk = [&](io::websocket peer) -> task<> {
    co_await stopped_at_once([&]() -> task<> {
      const std::string words = co_await failure<tutti::cancelled>(peer.send_binary(large));
      if (!words.empty()) ++sends;
    });
  };
  const auto talk_close = [&](io::websocket peer) -> task<> {
    co_await stopped_at_once([&]() -> task<> {
      const std::string words = co_await failure<tutti::cancelled>(peer.close(1000, std::string(), io::no_limit));
      if (!words.empty()) ++closes;
    });
  };
  const auto read_all = [](std::string url) -> task<> {
    io::stream s = co_await tutti_test::raw_websocket(url);
    const std::size_t size = co_await tutti_test::bytes_to_the_end(s);
    EXPECT_LT(size, 64U << 20);
  };
  with_websocket_server(talk, {}, read_all);
  with_websocket_server(talk_close, {}, read_all);
  EXPECT_EQ(sends, 1);
  EXPECT_EQ(closes, 1);
}

TEST_F(websocket_peers, one_that_pings_on_and_on_keeps_others_from_nothing) {
  io::loop here;
  tutti::event over;
  bool fired = false;
  tutti_test::flooding_peer* flood = nullptr;
  constexpr std::size_t pong = 10, many = 10'000 * pong;  // bytes
  std::size_t turns = 0, pongs = 0;
  const auto talk = [&](io::websocket peer) -> task<> {
    co_await failure<tutti::timed_out>(peer.receive(0ns));  // from now on pings are answered
    const tutti::timer later = here.call_later(1ms, [&] { fired = true; });
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      for (int i = 0; i < 2; ++i) {
        group.spawn([&]() -> task<> {
          while (!fired || flood == nullptr || flood->heard() < many) {
            ++turns;
            co_await tutti::yield_now();
          }
        });
      }
      co_return;
    });
    pongs = flood->heard() / pong;
    over.set();
  };
  with_websocket_server(here, talk, {}, [&](std::string url) -> task<> {
    const io::stream s = co_await tutti_test::raw_websocket(url);
    std::string frames;
    for (int i = 0; i < 10'000; ++i) frames += tutti_test::frame(tutti_test::ping_frame, "12345678");
    tutti_test::flooding_peer peer(duplicate(s), frames);
    flood = &peer;
    co_await over.wait_async();
    flood = nullptr;
  });
  EXPECT_TRUE(fired);
  EXPECT_GE(turns, pongs / 16);  // far more than one after the other is not fair
}

// ---------------------------------------------------------------- what stays behind

task<> until_gone(io::websocket peer) { co_await failure<tutti::closed>(peer.receive()); }

// Descriptors that loops have: others come and go with a server's connections.
std::size_t pollers() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone).string().starts_with("anon_inode:")) ++count;
  }
  return count;
}

TEST_F(websocket_peers, a_loop_leaves_nothing_of_those_that_end_with_it) {
  std::promise<std::string> place;
  tutti::event over;
  std::thread server([&] {
    with_websocket_server(until_gone, {}, [&](std::string url) -> task<> {
      place.set_value(url);
      co_await over.wait_async();
    });
  });
  const std::string url = place.get_future().get();
  const auto once = [&]() -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    co_await failure<tutti::timed_out>(mine.receive(0ns));
  };
  io::run(once());  // what starts at first use stays
  const std::size_t before = pollers();
  for (int i = 0; i < 300; ++i) io::run(once());
  EXPECT_EQ(pollers(), before);
  over.set();
  server.join();
}

TEST_F(websocket_peers, one_that_outlives_its_loop_leaves_nothing) {
  std::vector<io::websocket> kept;
  const auto once = [&] {
    const auto keep = [&](io::websocket peer) -> task<> {
      co_await failure<tutti::timed_out>(peer.receive(0ns));
      kept.push_back(std::move(peer));
    };
    with_websocket_server(keep, {}, [&](std::string url) -> task<> {
      io::websocket mine = co_await io::websocket::connect(url);
      co_await failure<tutti::timed_out>(mine.receive(0ns));
      kept.push_back(std::move(mine));
    });
  };
  once();
  kept.clear();
  const int before = tutti_test::open_descriptors();
  for (int i = 0; i < 50; ++i) once();
  EXPECT_GT(tutti_test::open_descriptors(), before);
  EXPECT_EQ(kept.size(), 100U);
  kept.clear();
  EXPECT_EQ(tutti_test::open_descriptors(), before);
}

}  // namespace
