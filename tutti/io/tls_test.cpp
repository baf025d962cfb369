// TLS streams: they are streams, whatever happens beneath.
#include <gtest/gtest.h>
#include <tutti/io/io.hpp>
#include <tutti/task/sleep.hpp>
#include <tutti/task/task_group.hpp>

#include <array>
#include <string>
#include <tests/support/certificates.hpp>
#include <tests/support/watchdog.hpp>
#include <utility>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
using tutti::task;
using tutti_test::test_trust;

io::tls_context believer() { return io::tls_context::client({.authorities = test_trust().authority.certificate}); }
io::tls_context believed() {
  return io::tls_context::server({.certificate = test_trust().server.certificate, .key = test_trust().server.key});
}

using two = std::pair<io::stream, io::stream>;

// The client's end and the server's.
task<two> speaking(two beneath, io::tls_context client, io::tls_context server) {
  two both;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
    group.spawn([&]() -> task<> { both.second = co_await io::tls_accept(std::move(beneath.second), server, 30s); });
    both.first = co_await io::tls_connect(std::move(beneath.first), "localhost", client, 30s);
  });
  co_return both;
}
task<two> speaking() { return speaking(io::stream_pair(), believer(), believed()); }

task<two> tcp_pair() {
  io::listener at = io::listen("127.0.0.1:0");
  two both;
  both.first = co_await io::connect(at.local());
  both.second = co_await at.accept();
  co_return both;
}

class tls : public testing::Test {
  tutti_test::watchdog watch_;
};

TEST_F(tls, what_is_written_is_read_and_nobody_else_reads_it) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    co_await client.write("to the server");
    EXPECT_EQ(co_await server.read_exactly(13), "to the server");
    co_await server.write("and back\n");
    EXPECT_EQ(co_await client.read_line(), "and back");
    const io::tls_info info = io::tls_info::of(client);
    EXPECT_EQ(info.protocol, "TLSv1.3");
    EXPECT_EQ(info.cipher.substr(0, 4), "TLS_");
    EXPECT_EQ(info.peer, "CN=localhost");
    EXPECT_EQ(info.alpn, "");
    EXPECT_EQ(io::tls_info::of(server).server_name, "localhost");
    EXPECT_EQ(io::tls_info::of(server).peer, "");
  }());
}

TEST_F(tls, over_tcp_with_small_limits_of_the_system) {
  io::run([]() -> task<> {
    two beneath = co_await tcp_pair();
    const int small = 4096;
    ::setsockopt(beneath.first.descriptor(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    auto [client, server] = co_await speaking(std::move(beneath), believer(), believed());
    EXPECT_EQ(client.remote().family(), AF_INET);
    EXPECT_EQ(client.local(), server.remote());
    EXPECT_EQ(client.describe(), "localhost at " + client.remote().text());
    const std::string much(500'000, 'm');
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> { co_await client.write(much); });
      const std::string got = co_await server.read_exactly(much.size());
      EXPECT_EQ(got, much);
    });
  }());
}

// Byte number n of a direction.
char byte_at(std::size_t n, unsigned salt) { return static_cast<char>((n * 2654435761U + salt) >> 13); }

task<> send_pattern(io::stream& to, std::size_t size, unsigned salt) {
  std::string piece;
  for (std::size_t at = 0; at < size;) {
    const std::size_t n = std::min<std::size_t>(size - at, 1 + (at * 7 + salt) % 150'000);
    piece.resize(n);
    for (std::size_t i = 0; i < n; ++i) piece[i] = byte_at(at + i, salt);
    co_await to.write(piece);
    at += n;
  }
  co_await to.shutdown_write();
}

task<> expect_pattern(io::stream& from, std::size_t size, unsigned salt) {
  std::string room(100'000, '\0');
  std::size_t at = 0, wrong = 0;
  for (;;) {
    const std::size_t n = co_await from.read_some(std::span(room.data(), 1 + (at + salt) % room.size()));
    if (n == 0) break;
    for (std::size_t i = 0; i < n; ++i) wrong += room[i] != byte_at(at + i, salt) ? 1 : 0;
    at += n;
  }
  EXPECT_EQ(at, size);
  EXPECT_EQ(wrong, 0U);
}

TEST_F(tls, much_goes_both_ways_at_once) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      constexpr std::size_t size = 20'000'000;
      group.spawn([&]() { return send_pattern(client, size, 1); });
      group.spawn([&]() { return send_pattern(server, size, 2); });
      group.spawn([&]() { return expect_pattern(client, size, 2); });
      group.spawn([&]() { return expect_pattern(server, size, 1); });
      co_return;
    });
  }());
}

TEST_F(tls, inside_tls) {
  io::run([]() -> task<> {
    two outer = co_await speaking();
    auto [client, server] = co_await speaking(std::move(outer), believer(), believed());
    co_await client.write(std::string(100'000, 'i'));
    EXPECT_EQ(co_await server.read_exactly(100'000), std::string(100'000, 'i'));
  }());
}

TEST_F(tls, an_end_of_output_leaves_the_input) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    co_await client.write("question");
    co_await client.shutdown_write();
    EXPECT_EQ(co_await server.read_all(100), "question");
    co_await server.write("answer");
    co_await server.shutdown_write();
    EXPECT_EQ(co_await client.read_all(100), "answer");
    int code = 0;
    try {
      co_await client.write("more");
    } catch (const tutti::os_error& e) {
      code = e.code();
    }
    EXPECT_EQ(code, EPIPE);
  }());
}

TEST_F(tls, closing_says_that_it_was_all) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    co_await server.write("all");
    server.close();
    EXPECT_EQ(co_await client.read_all(100), "all");
  }());
}

TEST_F(tls, a_limit_of_a_read_loses_nothing) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    std::array<char, 4> room{};
    for (int i = 0; i < 3; ++i) {
      std::string text;
      try {
        co_await client.read_some(room, 1ms);
      } catch (const tutti::timed_out& e) {
        text = e.what();
      }
      EXPECT_EQ(text, "reading from localhost at a socket of a pair took longer than the limit of 1 ms");
      co_await server.write("abcd");
      co_await client.read_exactly(room);
      EXPECT_EQ(std::string(room.data(), 4), "abcd");
    }
  }());
}

TEST_F(tls, reads_that_are_given_up_while_data_arrive_lose_nothing) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      constexpr std::size_t size = 3'000'000;
      group.spawn([&]() { return send_pattern(server, size, 3); });
      std::string room(5000, '\0');
      std::size_t at = 0, wrong = 0;
      for (bool is_end = false; !is_end;) {
        try {
          const std::size_t n = co_await client.read_some(room, std::chrono::nanoseconds(at % 3 * 1000));
          for (std::size_t i = 0; i < n; ++i) wrong += room[i] != byte_at(at + i, 3) ? 1 : 0;
          at += n;
          is_end = n == 0;
        } catch (const tutti::timed_out&) {
        }
      }
      EXPECT_EQ(at, size);
      EXPECT_EQ(wrong, 0U);
    });
  }());
}

TEST_F(tls, a_write_that_was_given_up_is_the_last) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    bool late = false;
    try {
      co_await client.write(std::string(10'000'000, 'x'), 5ms);
    } catch (const tutti::timed_out&) {
      late = true;
    }
    EXPECT_TRUE(late);
    std::string text;
    try {
      co_await client.write("more");
    } catch (const tutti::closed& e) {
      text = e.what();
    }
    EXPECT_EQ(text,
              "writing to localhost at a socket of a pair: an earlier write was cancelled or timed out in the middle: "
              "close the stream and connect again");
    // The other direction is as it was.
    co_await server.write("still");
    EXPECT_EQ(co_await client.read_exactly(5), "still");
  }());
}

TEST_F(tls, a_task_that_is_stopped_leaves_its_read_and_its_write) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        std::array<char, 4> room{};
        co_await client.read_some(room);
        ADD_FAILURE();
      });
      group.spawn([&]() -> task<> {
        co_await client.write(std::string(10'000'000, 'x'));
        ADD_FAILURE();
      });
      co_await tutti::sleep_for(1ms);
      group.stop();
    });
  }());
}

TEST_F(tls, closing_ends_those_who_wait) {
  io::run([]() -> task<> {
    auto [client, server] = co_await speaking();
    int ended = 0;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        std::array<char, 4> room{};
        try {
          co_await client.read_some(room);
        } catch (const tutti::closed&) {
          ++ended;
        }
      });
      group.spawn([&]() -> task<> {
        try {
          co_await client.write(std::string(10'000'000, 'x'));
        } catch (const tutti::closed&) {
          ++ended;
        }
      });
      co_await tutti::sleep_for(1ms);
      client.close();
    });
    EXPECT_EQ(ended, 2);
  }());
}

TEST_F(tls, begins_in_the_middle_of_a_conversation) {
  io::run([]() -> task<> {
    auto [a, b] = io::stream_pair();
    two both;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        // Reads ahead what belongs to TLS.
        EXPECT_EQ(co_await b.read_line(), "STARTTLS");
        both.second = co_await io::tls_accept(std::move(b), believed());
      });
      a.buffer_writes(100);
      co_await a.write("STARTTLS\n");
      both.first = co_await io::tls_connect(std::move(a), "localhost", believer());
    });
    co_await both.first.write("secret");
    EXPECT_EQ(co_await both.second.read_exactly(6), "secret");
  }());
}

TEST_F(tls, protocols_inside_are_agreed_on) {
  io::run([]() -> task<> {
    const auto& trust = test_trust();
    const io::tls_context server = io::tls_context::server(
        {.certificate = trust.server.certificate, .key = trust.server.key, .alpn = "h2,http/1.1"});
    const io::tls_context client =
        io::tls_context::client({.authorities = trust.authority.certificate, .alpn = "http/1.1,h2"});
    two both = co_await speaking(io::stream_pair(), client, server);
    EXPECT_EQ(io::tls_info::of(both.first).alpn, "h2");
    EXPECT_EQ(io::tls_info::of(both.second).alpn, "h2");
    two without = co_await speaking(io::stream_pair(), believer(), server);
    EXPECT_EQ(io::tls_info::of(without.second).alpn, "");
  }());
}

TEST_F(tls, one_context_serves_on_several_loops) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const std::string place = at.local().text();
    std::stop_source quit;
    const std::stop_token token = quit.get_token();
    const io::tls_context context = believed();
    const auto echo = [context](io::stream lower) -> task<> {
      io::stream s = co_await io::tls_accept(std::move(lower), context, 30s);
      const std::string all = co_await s.read_all(100);
      co_await s.write(all);
    };
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(io::serve(std::move(at), echo, {.loops = 2, .stop = token}));
      const io::tls_context client = believer();
      for (int i = 0; i < 20; ++i) {
        io::stream s = co_await io::connect_tls(place, client);
        co_await s.write("x");
        co_await s.shutdown_write();
        EXPECT_EQ(co_await s.read_all(100), "x");
      }
      quit.request_stop();
    });
  }());
}

}  // namespace
