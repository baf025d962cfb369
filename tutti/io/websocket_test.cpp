// Websockets: messages between our own two sides.
#include <gtest/gtest.h>
#include <tests/support/unhandled_counter.hpp>
#include <tests/support/websocket.hpp>
#include <tutti/sync/event.hpp>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::task;
namespace io = tutti::io;

using tutti_test::with_websocket_server;

class websocket : public tutti_test::websocket_test {};

TEST_F(websocket, echoes_text_and_binary) {
  with_websocket_server(tutti_test::echo_messages, {}, [](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    co_await mine.send("hello");
    std::optional<io::websocket_message> got = co_await mine.receive();
    EXPECT_EQ(got.value().data, "hello");
    EXPECT_FALSE(got->binary);
    const std::string large(300'000, '\x80');
    co_await mine.send_binary(large);
    got = co_await mine.receive();
    EXPECT_EQ(got.value().data, large);
    EXPECT_TRUE(got->binary);
    co_await mine.close();
  });
}

TEST_F(websocket, a_receive_that_times_out_loses_nothing) {
  with_websocket_server(tutti_test::echo_messages, {}, [](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    for (int i = 0; i < 3; ++i) {
      bool late = false;
      try {
        co_await mine.receive(1ms);
      } catch (const tutti::timed_out&) {
        late = true;
      }
      EXPECT_TRUE(late);
      co_await mine.send(std::to_string(i));
      const std::optional<io::websocket_message> got = co_await mine.receive();
      EXPECT_EQ(got.value().data, std::to_string(i));
    }
    co_await mine.close();
  });
}

task<> say_goodbye(io::websocket peer) {
  co_await peer.send("last");
  co_await peer.close(4001, "enough");
}

TEST_F(websocket, a_close_is_the_end_with_a_reason) {
  with_websocket_server(say_goodbye, {}, [](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    std::optional<io::websocket_message> got = co_await mine.receive();
    EXPECT_EQ(got.value().data, "last");
    got = co_await mine.receive();
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(mine.close_code(), 4001);
    EXPECT_EQ(mine.close_reason(), "enough");
    got = co_await mine.receive();  // and again
    EXPECT_FALSE(got.has_value());
  });
}

task<> expect_too_long(io::websocket peer) {
  bool refused = false;
  try {
    co_await peer.receive();
  } catch (const io::too_long& e) {
    refused = std::string(e.what()).find("more than 10 bytes") != std::string::npos;
  }
  EXPECT_TRUE(refused);
}

TEST_F(websocket, a_message_that_is_too_long_is_refused) {
  with_websocket_server(expect_too_long, {.max_message = 10}, [](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    co_await mine.send("12345678901");
    const std::optional<io::websocket_message> got = co_await mine.receive();
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(mine.close_code(), 1009);
  });
}

task<> until_refused(io::websocket peer) {
  try {
    co_await peer.receive();
  } catch (const io::too_long&) {  // and goes at once
  }
}

TEST_F(websocket, who_sends_too_much_hears_why_whatever_is_on_its_way) {
  with_websocket_server(until_refused, {.max_message = 1000}, [](std::string url) -> task<> {
    for (const std::size_t size : {2000U, 20'000U, 1'000'000U}) {
      io::websocket mine = co_await io::websocket::connect(url);
      const std::string much(size, 'x');
      co_await mine.send(much);
      co_await mine.send(much);
      const std::optional<io::websocket_message> got = co_await mine.receive();
      EXPECT_FALSE(got.has_value());
      EXPECT_EQ(mine.close_code(), 1009) << size;
    }
  });
}

task<> expect_bad_text(io::websocket peer) {
  bool refused = false;
  try {
    co_await peer.receive();
  } catch (const io::websocket_error&) {
    refused = true;
  }
  EXPECT_TRUE(refused);
}

TEST_F(websocket, text_that_is_not_utf8_ends_the_connection) {
  with_websocket_server(expect_bad_text, {}, [](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    co_await mine.send("\xff\xfe");
    const std::optional<io::websocket_message> got = co_await mine.receive();
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(mine.close_code(), 1007);
  });
}

TEST_F(websocket, a_peer_that_vanishes_is_no_end_in_words) {
  std::string words;
  tutti::event heard(tutti::event_reset::manual);
  const auto until_gone = [&](io::websocket peer) -> task<> {
    words = co_await tutti_test::failure<tutti::closed>(peer.receive());
    heard.set();
  };
  with_websocket_server(until_gone, {}, [&](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    mine = {};
    co_await heard.wait_async();
  });
  EXPECT_NE(words, "");
}

TEST_F(websocket, a_talk_that_ends_says_so) {
  std::string how;
  const auto talk = [&](io::websocket peer) -> task<> {
    co_await peer.send("x");
    if (how == "throws") throw std::runtime_error("enough");
    if (how == "waits") co_await peer.receive();
  };
  tutti_test::unhandled_counter unhandled;
  const std::vector<std::pair<std::string, std::uint16_t>> all = {{"returns", 1000}, {"throws", 1011}, {"waits", 1001}};
  for (const auto& [what, code] : all) {
    how = what;
    std::uint16_t got_code = 0;
    const auto run = [&]() -> task<> {
      io::listener at = io::listen("127.0.0.1:0");
      const std::string url = "ws://" + at.local().text() + "/chat";
      tutti::io::http::routes routes;
      routes.get("/chat", [&](tutti::io::http::request& asked) { return io::websocket::upgrade(asked, talk); });
      std::stop_source quit;
      const std::stop_token token = quit.get_token();
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        group.spawn(tutti::io::http::serve(std::move(at), routes, {.drain = 0ms, .stop = token}));
        io::websocket mine = co_await io::websocket::connect(url);
        co_await mine.receive();
        if (how == "waits") quit.request_stop();
        const std::optional<io::websocket_message> got = co_await mine.receive();
        EXPECT_FALSE(got.has_value());
        got_code = mine.close_code();
        quit.request_stop();
      });
    };
    io::run(run());
    EXPECT_EQ(got_code, code) << what;
  }
  EXPECT_EQ(unhandled.all(), 1);
}

TEST_F(websocket, a_server_that_speaks_http_only_declines) {
  with_websocket_server(tutti_test::echo_messages, {}, [](std::string url) -> task<> {
    std::string words;
    try {
      co_await io::websocket::connect(url + "/elsewhere");
    } catch (const io::websocket_error& e) {
      words = e.what();
    }
    EXPECT_NE(words.find("wants no websocket at \"/chat/elsewhere\": it answered 404 Not Found"), std::string::npos)
        << words;
  });
}

}  // namespace
