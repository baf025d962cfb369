// TLS while a message that is no data, a ticket, is there in part: the engine writes nothing before it has the rest.
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <array>
#include <memory>
#include <string>
#include <tests/support/certificates.hpp>
#include <tests/support/io_spec.hpp>
#include <tests/support/watchdog.hpp>
#include <utility>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
using tutti::task;
using tutti_test::test_trust;
using tutti_test::detail::must;

// OpenSSL's engine as a server that gives, after the handshake, a ticket of 3 KiB in records of 512 bytes.
class ticket_server {
 public:
  explicit ticket_server(io::stream lower) : lower_(std::move(lower)) {
    ::SSL_CTX* const context = context_.get();
    const auto pem_certificate = tutti_test::detail::reader(test_trust().server.certificate);
    const auto pem_key = tutti_test::detail::reader(test_trust().server.key);
    const tutti_test::detail::x509_ptr certificate(
        ::PEM_read_bio_X509(pem_certificate.get(), nullptr, nullptr, nullptr));
    const tutti_test::detail::key_ptr key(::PEM_read_bio_PrivateKey(pem_key.get(), nullptr, nullptr, nullptr));
    must(::SSL_CTX_use_certificate(context, certificate.get()) == 1);
    must(::SSL_CTX_use_PrivateKey(context, key.get()) == 1);
    must(::SSL_CTX_set_num_tickets(context, 1) == 1);
    must(SSL_CTX_set_max_send_fragment(context, 512) == 1);
    must(::SSL_CTX_set_session_ticket_cb(context, &fill_ticket, &ignore_ticket, nullptr) == 1);
    ssl_.reset(::SSL_new(context));
    in_ = ::BIO_new(::BIO_s_mem());
    out_ = ::BIO_new(::BIO_s_mem());
    ::SSL_set_bio(ssl_.get(), in_, out_);  // owns them
    ::SSL_set_accept_state(ssl_.get());
  }

  /// All but the ticket, which is still to be sent.
  task<> shake_hands() {
    while (::SSL_do_handshake(ssl_.get()) != 1) {
      co_await send(100'000);
      co_await hear();
    }
  }
  /// At most so many bytes of what it has to say.
  task<> send(int most) {
    std::string bytes(static_cast<std::size_t>(most), '\0');
    const int n = ::BIO_read(out_, bytes.data(), most);
    bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    co_await lower_.write(bytes);
  }
  /// Data, when some are there; "end" when the client has said so.
  task<std::string> read() {
    std::array<char, 100> room{};
    for (;;) {
      std::size_t n = 0;
      if (::SSL_read_ex(ssl_.get(), room.data(), room.size(), &n) == 1) co_return std::string(room.data(), n);
      if ((::SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0) co_return "end";
      const bool more = co_await hear();
      if (!more) co_return "cut off";
    }
  }
  task<> write(std::string_view data) {
    must(::SSL_write(ssl_.get(), data.data(), static_cast<int>(data.size())) > 0);
    return send(100'000);
  }
  void leave() { lower_.close(); }

 private:
  static int fill_ticket(::SSL* ssl, void*) {
    const std::string much(3000, 't');
    return ::SSL_SESSION_set1_ticket_appdata(::SSL_get_session(ssl), much.data(), much.size());
  }
  static ::SSL_TICKET_RETURN ignore_ticket(::SSL*, ::SSL_SESSION*, const unsigned char*, std::size_t,
                                           ::SSL_TICKET_STATUS, void*) {
    return SSL_TICKET_RETURN_IGNORE;
  }
  task<bool> hear() {
    std::array<char, 4096> room{};
    const std::size_t n = co_await lower_.read_some(room);
    ::BIO_write(in_, room.data(), static_cast<int>(n));
    co_return n != 0;
  }

  io::stream lower_;
  std::unique_ptr<::SSL_CTX, decltype([](::SSL_CTX* c) { ::SSL_CTX_free(c); })> context_{
      ::SSL_CTX_new(::TLS_server_method())};
  std::unique_ptr<::SSL, decltype([](::SSL* s) { ::SSL_free(s); })> ssl_;
  ::BIO* in_ = nullptr;
  ::BIO* out_ = nullptr;
};

task<> taken(const io::stream& by) {
  for (int waiting = 1; waiting != 0;) {
    co_await tutti::yield_now();
    must(::ioctl(by.descriptor(), FIONREAD, &waiting) == 0);
  }
}

// `body(group, client, server)`, with a client that has read a part of a ticket.
template <class Body>
void in_the_middle_of_a_ticket(Body body) {
  const auto all = [&]() -> task<> {
    auto [near, far] = io::stream_pair();
    ticket_server server(std::move(far));
    io::stream client;
    const auto context = io::tls_context::client({.authorities = test_trust().authority.certificate});
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> { client = co_await io::tls_connect(std::move(near), "localhost", context, 30s); });
      co_await server.shake_hands();
    });
    co_await tutti::task_group::run([&](tutti::task_group& readers) -> task<> {
      readers.spawn([&]() -> task<> {
        std::array<char, 4> room{};
        static_cast<void>(co_await client.read_some(room));
        ADD_FAILURE() << "there are no data";
      });
      co_await server.send(1200);
      co_await taken(client);
      readers.stop();
    });
    co_await tutti::task_group::run([&](tutti::task_group& group) { return body(group, client, server); });
  };
  io::run(all());
}

class tls_messages : public testing::Test {
  tutti_test::watchdog watch_;
};

TEST_F(tls_messages, that_are_there_in_part_hold_a_write_up_and_no_more) {
  in_the_middle_of_a_ticket([](auto& group, io::stream& client, ticket_server& server) -> task<> {
    group.spawn([&]() -> task<> {
      co_await client.write("hello");
      co_await client.write(" again");
      co_await client.shutdown_write();
    });
    co_await server.send(700);
    co_await taken(client);
    co_await server.send(100'000);
    EXPECT_EQ(co_await server.read(), "hello");
    EXPECT_EQ(co_await server.read(), " again");
    EXPECT_EQ(co_await server.read(), "end");
    co_await server.write("and back");
    EXPECT_EQ(co_await client.read_exactly(8), "and back");
  });
}

TEST_F(tls_messages, that_are_there_in_part_are_read_by_whoever_waits) {
  in_the_middle_of_a_ticket([](auto& group, io::stream& client, ticket_server& server) -> task<> {
    group.spawn([&]() -> task<> { co_await client.write("hello"); });
    group.spawn([&]() -> task<> { EXPECT_EQ(co_await client.read_exactly(8), "and back"); });
    co_await server.send(700);
    co_await taken(client);
    co_await server.send(100'000);
    EXPECT_EQ(co_await server.read(), "hello");
    co_await server.write("and back");
  });
}

TEST_F(tls_messages, that_are_there_in_part_do_not_swallow_the_farewell) {
  in_the_middle_of_a_ticket([](auto& group, io::stream& client, ticket_server& server) -> task<> {
    group.spawn([&]() -> task<> { co_await client.shutdown_write(); });
    co_await server.send(100'000);
    EXPECT_EQ(co_await server.read(), "end");
    co_await server.write("and back");
    EXPECT_EQ(co_await client.read_exactly(8), "and back");
  });
}

TEST_F(tls_messages, that_are_there_in_part_leave_a_reader_when_the_writer_gives_up) {
  in_the_middle_of_a_ticket([](auto&, io::stream& client, ticket_server& server) -> task<> {
    EXPECT_EQ(co_await tutti_test::how_void([&] { return client.write("hello", 1ms); }), "timed_out");
    // A read with a limit meanwhile finds nothing, and takes nothing away.
    std::array<char, 8> room{};
    EXPECT_EQ(co_await tutti_test::how([&] { return client.read_some(room, 1ms); }), "timed_out");
    co_await server.send(100'000);
    co_await server.write("and back");
    EXPECT_EQ(co_await client.read_exactly(8), "and back");
    EXPECT_EQ(co_await tutti_test::how_void([&] { return client.write("hello"); }), "closed");
  });
}

TEST_F(tls_messages, whose_rest_never_comes_fail_the_write) {
  in_the_middle_of_a_ticket([](auto& group, io::stream& client, ticket_server& server) -> task<> {
    std::string end;
    group.spawn([&]() -> task<> { end = co_await tutti_test::how_void([&] { return client.write("hello"); }); });
    co_await tutti::yield_now();
    server.leave();
    while (end.empty()) co_await tutti::yield_now();
    EXPECT_EQ(end, "tls_error");
  });
}

TEST_F(tls_messages, that_are_there_in_part_hold_nobody_when_it_is_closed) {
  in_the_middle_of_a_ticket([](auto& group, io::stream& client, ticket_server&) -> task<> {
    std::string end;
    group.spawn([&]() -> task<> { end = co_await tutti_test::how_void([&] { return client.write("hello"); }); });
    co_await tutti::yield_now();
    client.close();
    while (end.empty()) co_await tutti::yield_now();
    EXPECT_EQ(end, "closed");
  });
}

}  // namespace
