// Websockets: what a program may do wrong with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/websocket.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/task/resume_on.hpp>

#include <array>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using tutti::task;
using tutti_test::echo_messages;
using tutti_test::failure;
using tutti_test::with_websocket_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

class websocket_misuse : public tutti_test::websocket_test {};

TEST_F(websocket_misuse, a_wait_may_begin_when_the_websocket_is_gone) {
  with_websocket_server(echo_messages, {}, [](std::string url) -> task<> {
    for (int what = 0; what < 3; ++what) {
      io::websocket mine = co_await io::websocket::connect(url);
      std::vector<task<>> works;
      if (what == 0) works.push_back(mine.send("x"));
      if (what == 1) works.push_back(mine.ping());
      if (what == 2) {
        task<std::optional<io::websocket_message>> receiving = mine.receive();
        mine = {};
        EXPECT_THAT(co_await failure<tutti::closed>(std::move(receiving)), HasSubstr("receiving from 127.0.0.1"));
        continue;
      }
      mine = {};
      EXPECT_NE(co_await failure<tutti::closed>(std::move(works[0])), "") << what;
    }
    io::websocket mine = co_await io::websocket::connect(url);
    task<> closing = mine.close();
    mine = {};
    co_await std::move(closing);  // it is closed
  });
}

TEST_F(websocket_misuse, none_of_a_connection_throws_closed) {
  io::websocket none;
  EXPECT_FALSE(none);
  EXPECT_THROW(static_cast<void>(none.receive()), tutti::closed);
  EXPECT_THROW(static_cast<void>(none.send("x")), tutti::closed);
  EXPECT_THROW(static_cast<void>(none.ping()), tutti::closed);
  EXPECT_THROW(static_cast<void>(none.close()), tutti::closed);
  EXPECT_THROW(static_cast<void>(none.close_code()), tutti::closed);
  const auto accepting = []() -> task<> {
    const http::request asked;
    EXPECT_NE(co_await failure<tutti::closed>(io::websocket::accept(io::stream(), asked)), "");
  };
  io::run(accepting());
}

TEST_F(websocket_misuse, other_threads_and_loops_are_refused) {
  io::loop here;
  tutti::thread_pool pool(1);
  with_websocket_server(here, echo_messages, {}, [&](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    co_await mine.send("before");
    co_await tutti::resume_on(pool);
    const std::string words = "does not run on the loop of the connection with 127.0.0.1";
    EXPECT_THAT(co_await failure<std::logic_error>(mine.receive()), HasSubstr(words));
    EXPECT_THAT(co_await failure<std::logic_error>(mine.send("x")), HasSubstr(words));
    EXPECT_THAT(co_await failure<std::logic_error>(mine.ping()), HasSubstr(words));
    EXPECT_THAT(co_await failure<std::logic_error>(mine.close()), HasSubstr(words));
    EXPECT_THROW(io::run(mine.receive()), std::logic_error);  // another loop
    co_await tutti::resume_on(here);
    const std::optional<io::websocket_message> got = co_await mine.receive();
    EXPECT_EQ(got.value().data, "before");
    co_await mine.close();
  });
}

TEST_F(websocket_misuse, a_stream_of_another_loop_is_not_accepted) {
  io::loop here;
  tutti::thread_pool pool(1);
  const auto accepting = [&]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    io::stream first = co_await io::connect(at.local());
    io::stream second = co_await io::connect(at.local());
    const http::request asked;
    co_await tutti::resume_on(pool);
    EXPECT_THAT(co_await failure<std::logic_error>(io::websocket::accept(std::move(first), asked)),
                HasSubstr("does not run on"));
    EXPECT_THAT(io::run(failure<std::logic_error>(io::websocket::accept(std::move(second), asked))),
                HasSubstr("belongs to another loop"));
    co_await tutti::resume_on(here);
  };
  here.run(accepting());
}

TEST_F(websocket_misuse, one_coroutine_at_a_time_pings_sends_receives_and_closes) {
  with_websocket_server(echo_messages, {}, [](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    const auto both = [&](std::function<task<>()> what) -> task<int> {
      int refused = 0;
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        for (int i = 0; i < 2; ++i) {
          group.spawn([&]() -> task<> {
            const std::string words = co_await failure<std::logic_error>(what());
            if (words.find("another coroutine does so on the websocket with 127.0.0.1") != std::string::npos) ++refused;
          });
        }
        co_return;
      });
      co_return refused;
    };
    EXPECT_EQ(co_await both([&] { return mine.ping(); }), 1);
    EXPECT_EQ(co_await both([&] { return mine.send("x"); }), 1);
    const std::optional<io::websocket_message> got = co_await mine.receive();  // it was sent once, and all goes on
    EXPECT_EQ(got.value().data, "x");
    EXPECT_EQ(co_await both([&] { return mine.close(); }), 1);
  });
}

TEST_F(websocket_misuse, assignment_closes_the_connection_that_was_there) {
  tutti::event over;
  std::string words;
  const auto until_gone = [&](io::websocket peer) -> task<> {
    words = co_await failure<tutti::closed>(peer.receive(tutti_test::http_hang));
    over.set();
  };
  with_websocket_server(until_gone, {}, [&](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    EXPECT_NE(co_await failure<tutti::timed_out>(mine.receive(1ms)), "");
    mine = {};
    EXPECT_FALSE(mine);
    co_await over.wait_async();
  });
  EXPECT_THAT(words, HasSubstr("receiving from 127.0.0.1"));
}

TEST_F(websocket_misuse, one_that_is_destroyed_on_another_thread_closes_on_its_loop) {
  io::loop here;
  tutti::thread_pool pool(1);
  tutti::event over;
  std::string words;
  const auto until_gone = [&](io::websocket peer) -> task<> {
    words = co_await failure<tutti::closed>(peer.receive(tutti_test::http_hang));
    over.set();
  };
  with_websocket_server(here, until_gone, {}, [&](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    EXPECT_NE(co_await failure<tutti::timed_out>(mine.receive(0ns)), "");
    co_await tutti::resume_on(pool);
    mine = {};
    co_await tutti::resume_on(here);
    co_await over.wait_async();
  });
  EXPECT_THAT(words, HasSubstr("receiving from 127.0.0.1"));
}

TEST_F(websocket_misuse, what_was_written_before_goes_out_before_the_answer) {
  const auto body = [](tutti_test::http_server& server) -> task<> {
    io::stream s = co_await io::connect(server.at);
    co_await s.write(tutti_test::upgrade_request);
    EXPECT_EQ(co_await s.read_until("\r\n\r\n"), "HTTP/1.1 103 Early Hints\r\n\r\n");
    EXPECT_TRUE((co_await s.read_until("\r\n\r\n")).starts_with("HTTP/1.1 101 "));
  };
  http::routes routes;
  routes.get("/chat", [](http::request&) {
    http::response answer(101);
    answer.takeover = [](io::stream connection, const http::request& asked) -> task<> {
      connection.buffer_writes(4096);
      co_await connection.write(std::string_view("HTTP/1.1 103 Early Hints\r\n\r\n"));
      io::websocket mine = co_await io::websocket::accept(std::move(connection), asked);
      co_await failure<tutti::closed>(mine.receive());
    };
    return answer;
  });
  tutti_test::with_http_server(std::move(routes), {}, body);
}

TEST_F(websocket_misuse, close_codes_and_reasons_are_checked) {
  std::vector<int> seen;
  const auto note = [&](io::websocket peer) -> task<> {
    co_await peer.receive();
    seen.push_back(peer.close_code());
  };
  with_websocket_server(note, {}, [](std::string url) -> task<> {
    io::websocket mine = co_await io::websocket::connect(url);
    for (const int bad : {0, 7, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65535}) {
      EXPECT_THAT(co_await failure<std::invalid_argument>(mine.close(static_cast<std::uint16_t>(bad))),
                  HasSubstr("close: " + std::to_string(bad) + " is no code that may be sent"));
    }
    const std::string reason(124, 'x');
    EXPECT_THAT(co_await failure<std::invalid_argument>(mine.close(1000, reason)), HasSubstr("this one has 124"));
    co_await mine.close(1000, reason.substr(1));  // none of these has closed it
    for (const int good : {1001, 1003, 1007, 1013, 3000, 4999}) {
      io::websocket next = co_await io::websocket::connect(url);
      co_await next.close(static_cast<std::uint16_t>(good));
    }
  });
  EXPECT_THAT(seen, testing::ElementsAre(1000, 1001, 1003, 1007, 1013, 3000, 4999));
}

TEST_F(websocket_misuse, options_are_checked) {
  const std::string long_name(256, 'x');
  const std::array<std::pair<io::websocket_options, std::string>, 7> all{{
      {{.max_message = 0}, "max_message is 0 bytes"},
      {{.silence = 0ns}, "silence is 0 ns"},
      {{.silence = -1s}, "silence is -"},
      {{.protocol = "a\r\nSet-Cookie: b"}, "has the character '\\r'"},
      {{.protocol = "a b"}, "has the character ' '"},
      {{.protocol = "a,b"}, "has the character ','"},
      {{.protocol = long_name}, "the protocol has 256 bytes, the most are 255"},
  }};
  with_websocket_server(echo_messages, {}, [&](std::string url) -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const http::request asked;
    for (const auto& [options, words] : all) {
      EXPECT_THAT(co_await failure<std::invalid_argument>(io::websocket::connect(url, options)),
                  HasSubstr("websocket::connect: "))
          << words;
      EXPECT_THAT(co_await failure<std::invalid_argument>(io::websocket::connect(url, options)), HasSubstr(words));
      io::stream s = co_await io::connect(at.local());
      EXPECT_THAT(co_await failure<std::invalid_argument>(io::websocket::accept(std::move(s), asked, options)),
                  HasSubstr("websocket::accept: "))
          << words;
      EXPECT_THROW(static_cast<void>(io::websocket::upgrade(asked, echo_messages, options)), std::invalid_argument)
          << words;
    }
  });
}

TEST_F(websocket_misuse, the_name_of_a_protocol_may_be_gone_when_connecting_begins) {
  with_websocket_server(echo_messages, {.protocol = "chat-of-the-longer-kind.v1"}, [](std::string url) -> task<> {
    std::vector<task<io::websocket>> connecting;
    {
      const std::string protocol = "chat-of-the-longer-kind.v1";
      connecting.push_back(io::websocket::connect(url, {.protocol = protocol}));
    }
    io::websocket mine = co_await std::move(connecting[0]);
    co_await mine.close();
  });
}

}  // namespace
