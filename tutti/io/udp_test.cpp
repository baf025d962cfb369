// UDP: datagrams arrive whole, with who sent them.
#include <gtest/gtest.h>
#include <tests/support/failure_of.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/udp.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;

using tutti_test::failure_of;

tutti::task<int> code_of(tutti::task<> work) {
  try {
    co_await std::move(work);
  } catch (const tutti::os_error& e) {
    co_return e.code();
  }
  co_return 0;
}

TEST(udp, datagrams_arrive_whole_with_their_sender) {
  io::run([]() -> tutti::task<> {
    io::udp a = io::udp::bind("127.0.0.1:0"), b = io::udp::bind("127.0.0.1:0");
    co_await a.send_to("hello", b.local());
    co_await a.send_to("", b.local());
    co_await a.send_to(std::string(9000, 'x'), b.local());
    std::string room(10'000, '\0');
    io::datagram got = co_await b.receive_from(room);
    EXPECT_EQ(room.substr(0, got.size), "hello");
    EXPECT_EQ(got.from, a.local());
    EXPECT_FALSE(got.truncated);
    got = co_await b.receive_from(room);
    EXPECT_EQ(got.size, 0U);
    got = co_await b.receive_from(room);
    EXPECT_EQ(room.substr(0, got.size), std::string(9000, 'x'));
  }());
}

TEST(udp, says_what_was_cut_off) {
  io::run([]() -> tutti::task<> {
    io::udp a = io::udp::bind("127.0.0.1:0"), b = io::udp::bind("127.0.0.1:0");
    b.connect(a.local());
    for (int i = 0; i < 3; ++i) co_await a.send_to("hello", b.local());
    std::array<char, 4> room{};
    io::datagram got = co_await b.receive_from(room);
    EXPECT_EQ(std::string(room.data(), got.size), "hell");
    EXPECT_TRUE(got.truncated);
    got = co_await b.receive_from(io::mutable_buffer());
    EXPECT_EQ(got.size, 0U);
    EXPECT_TRUE(got.truncated);
    const std::string said = co_await failure_of<tutti::os_error>(b.receive(room));
    EXPECT_EQ(said.find("receiving from " + a.local().text() + ": a datagram has more than 4 bytes: "), 0U) << said;
  }());
}

TEST(udp, over_ipv6_and_from_a_socket_of_both_families) {
  io::run([]() -> tutti::task<> {
    io::udp both = io::udp::bind("*:0"), six = io::udp::bind("[::1]:0"), four = io::udp::bind("127.0.0.1:0");
    std::array<char, 8> room{};
    co_await six.send_to("6", io::endpoint::of("::1", both.local().port()));
    io::datagram got = co_await both.receive_from(room);
    EXPECT_EQ(got.from, six.local());
    co_await four.send_to("4", io::endpoint::of("127.0.0.1", both.local().port()));
    got = co_await both.receive_from(room);
    EXPECT_EQ(got.from.text(), "[::ffff:127.0.0.1]:" + std::to_string(four.local().port()));
    co_await both.send_to("back", got.from);
    got = co_await four.receive_from(room);
    EXPECT_EQ(std::string(room.data(), got.size), "back");
  }());
}

TEST(udp, connected_sockets_hear_each_other_only) {
  io::run([]() -> tutti::task<> {
    io::udp server = io::udp::bind("127.0.0.1:0"), stranger = io::udp::bind("127.0.0.1:0");
    io::udp client = io::udp::connected(server.local().text());
    server.connect(client.local());
    co_await stranger.send_to("noise", server.local());
    co_await client.send("ping");
    std::array<char, 16> room{};
    std::size_t size = co_await server.receive(room);
    EXPECT_EQ(std::string(room.data(), size), "ping");
    co_await server.send("pong");
    size = co_await client.receive(room);
    EXPECT_EQ(std::string(room.data(), size), "pong");
  }());
}

TEST(udp, who_is_connected_is_told_that_nobody_is_there) {
  io::run([]() -> tutti::task<> {
    io::udp gone = io::udp::bind("127.0.0.1:0");
    const io::endpoint place = gone.local();
    gone.close();
    io::udp client = io::udp::connected(place);
    co_await client.send("anybody?");
    std::array<char, 4> room{};
    int code = 0;
    std::string said;
    try {
      co_await client.receive(room);
    } catch (const tutti::os_error& e) {
      code = e.code();
      said = e.what();
    }
    EXPECT_EQ(code, ECONNREFUSED);
    EXPECT_EQ(said.find("receiving at " + client.local().text() + ": "), 0U) << said;
    // It is of further use.
    io::udp back = io::udp::bind(place);
    co_await client.send("now?");
    const io::datagram got = co_await back.receive_from(room);
    EXPECT_EQ(got.size, 4U);
  }());
}

TEST(udp, refuses_what_is_too_long_or_goes_nowhere) {
  io::run([]() -> tutti::task<> {
    io::udp s = io::udp::bind("127.0.0.1:0");
    EXPECT_EQ(co_await code_of(s.send_to(std::string(65'508, 'x'), s.local())), EMSGSIZE);
    EXPECT_EQ(co_await code_of(s.send("x")), EDESTADDRREQ);
    EXPECT_THROW(static_cast<void>(s.send_to("x", io::endpoint::parse("unix:/nowhere"))), std::invalid_argument);
    EXPECT_THROW(s.connect(io::endpoint::parse("unix:/nowhere")), std::invalid_argument);
    EXPECT_THROW(s.connect(io::endpoint::parse("[::1]:1")), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(io::udp::bind("unix:/nowhere")), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(io::udp::bind("somewhere:1")), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(io::udp::bind(s.local())), tutti::os_error);
    EXPECT_EQ(co_await code_of(s.send_to("x", io::endpoint::parse("255.255.255.255:9"))), EACCES) << "no broadcast";
    EXPECT_EQ(co_await code_of(s.send_to("still", s.local())), 0);
  }());
}

TEST(udp, may_send_to_everybody_when_asked_to) {
  io::run([]() -> tutti::task<> {
    io::udp s = io::udp::bind("127.0.0.1:0", {.broadcast = true});
    int on = 0;
    ::socklen_t size = sizeof on;
    EXPECT_EQ(::getsockopt(s.descriptor(), SOL_SOCKET, SO_BROADCAST, &on, &size), 0);
    EXPECT_NE(on, 0);
    io::udp all = io::udp::bind("0.0.0.0:0");
    // The loopback's, as there may be no other network.
    co_await s.send_to("all", io::endpoint::of("127.255.255.255", all.local().port()));
    std::array<char, 4> room{};
    const io::datagram got = co_await all.receive_from(room);
    EXPECT_EQ(std::string(room.data(), got.size), "all");
  }());
}

TEST(udp, groups_reach_all_who_joined) {
  io::run([]() -> tutti::task<> {
    io::udp first = io::udp::bind("0.0.0.0:0", {.reuse_address = true});
    const io::endpoint group = io::endpoint::of("239.255.31.7", first.local().port());
    io::udp second = io::udp::bind(first.local(), {.reuse_address = true});
    first.join(group, "lo");
    second.join(group, "lo");
    io::udp sender = io::udp::bind("127.0.0.1:0");
    sender.multicast_through("lo");
    co_await sender.send_to("to both", group);
    std::array<char, 16> room{};
    io::datagram got = co_await first.receive_from(room);
    EXPECT_EQ(std::string(room.data(), got.size), "to both");
    got = co_await second.receive_from(room);
    EXPECT_EQ(std::string(room.data(), got.size), "to both");
    second.leave(group, "lo");
    EXPECT_THROW(second.leave(group, "lo"), tutti::os_error);
    EXPECT_THROW(second.join(io::endpoint::parse("127.0.0.1:1"), "lo"), std::invalid_argument);
    EXPECT_THROW(second.join(group, "none-such"), tutti::os_error);
    EXPECT_THROW(sender.multicast_through("none-such"), tutti::os_error);
  }());
}

TEST(udp, sockets_share_a_port) {
  io::run([]() -> tutti::task<> {
    io::udp a = io::udp::bind("127.0.0.1:0", {.reuse_port = true});
    const io::udp b = io::udp::bind(a.local(), {.reuse_port = true});
    EXPECT_EQ(a.local(), b.local());
    co_return;
  }());
}

TEST(udp, waits_end_at_their_limit_when_stopped_and_when_closed) {
  io::run([]() -> tutti::task<> {
    io::udp s = io::udp::bind("127.0.0.1:0");
    std::array<char, 4> room{};
    const std::string late = co_await failure_of<tutti::timed_out>(s.receive_from(room, 1ms));
    EXPECT_EQ(late, "receive_from at " + s.local().text() + " took longer than the limit of 1 ms");
    // As when it is stopped, or closed, while it waits; and a second one may not wait then.
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      bool stopped = false;
      group.spawn([&]() -> tutti::task<> {
        const std::string said = co_await failure_of<tutti::cancelled>(s.receive_from(room));
        stopped = said != "no such error";
      });
      co_await tutti::yield_now();  // it waits now
      const std::string twice = co_await failure_of<std::logic_error>(s.receive(room));
      EXPECT_NE(twice, "no such error");
      group.stop();
      while (!stopped) co_await tutti::yield_now();
    });
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        const std::string said = co_await failure_of<tutti::closed>(s.receive_from(room));
        EXPECT_NE(said, "no such error");
      });
      co_await tutti::yield_now();
      s.close();
    });
    EXPECT_FALSE(s);
    const auto receive = [&]() -> tutti::task<> { co_await s.receive(room); };
    const std::string none = co_await failure_of<tutti::closed>(receive());
    EXPECT_EQ(none, "the UDP socket was closed, or is none: it was never bound, or moved from");
    EXPECT_THROW(static_cast<void>(s.local()), tutti::closed);
  }());
}

TEST(udp, closed_after_a_datagram_came_and_before_it_was_seen) {
  io::run([]() -> tutti::task<> {
    io::udp a = io::udp::bind("127.0.0.1:0"), b = io::udp::bind("127.0.0.1:0");
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        std::array<char, 4> room{};
        const std::string said = co_await failure_of<tutti::closed>(b.receive_from(room));
        EXPECT_NE(said, "no such error");
      });
      co_await tutti::yield_now();
      co_await a.send_to("x", b.local());
      b.close();
    });
  }());
}

TEST(udp, may_end_or_move_before_a_call_begins) {
  io::run([]() -> tutti::task<> {
    std::array<char, 4> room{};
    for (const bool moved : {false, true}) {
      io::udp a = io::udp::bind("127.0.0.1:0"), b = io::udp::bind("127.0.0.1:0"), other;
      const io::endpoint to = b.local();
      tutti::task<> send = a.send_to("x", to);
      tutti::task<io::datagram> receive_from = b.receive_from(room);
      tutti::task<std::size_t> receive = b.receive(room);
      if (moved) {
        other = std::move(b);
        io::udp gone = std::move(a);
        co_await std::move(send);
        EXPECT_EQ((co_await std::move(receive_from)).size, 1U);
        co_await gone.send_to("xy", to);
        EXPECT_EQ(co_await std::move(receive), 2U);
      } else {
        a.close();
        b = {};
        EXPECT_NE(co_await failure_of<tutti::closed>(std::move(send)), "no such error");
        EXPECT_NE(co_await failure_of<tutti::closed>(std::move(receive_from)), "no such error");
        EXPECT_NE(co_await failure_of<tutti::closed>(std::move(receive)), "no such error");
      }
    }
  }());
}

TEST(udp, belongs_to_its_loop) {
  io::run([]() -> tutti::task<> {
    io::udp a = io::udp::bind("127.0.0.1:0");
    std::array<char, 4> room{};
    std::jthread([&] {
      EXPECT_THROW(static_cast<void>(a.send_to("x", a.local())), std::logic_error) << "without a wait, too";
      EXPECT_THROW(static_cast<void>(a.receive(room)), std::logic_error);
      const auto from_another = [&]() -> tutti::task<> { co_await a.receive_from(room); };
      EXPECT_THROW(io::run(from_another()), std::logic_error);
    }).join();
    co_await a.send_to("x", a.local());
    EXPECT_EQ(co_await a.receive(room), 1U);
  }());
}

TEST(udp, a_flood_does_not_keep_others_from_their_turn) {
  io::run([]() -> tutti::task<> {
    io::udp a = io::udp::bind("127.0.0.1:0");
    bool had_its_turn = false;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        had_its_turn = true;
        co_return;
      });
      while (!had_its_turn) {
        std::array<char, 4> room{};
        co_await a.send_to("self", a.local());
        co_await a.receive_from(room);
      }
    });
  }());
}

TEST(udp, needs_a_loop) {
  EXPECT_THROW(static_cast<void>(io::udp::bind("127.0.0.1:0")), std::logic_error);
  EXPECT_THROW(static_cast<void>(io::udp().local()), tutti::closed);
}

}  // namespace
