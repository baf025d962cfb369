// What goes wrong with TLS, and what is said of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>

#include <array>
#include <string>
#include <tests/support/certificates.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/processes.hpp>
#include <tests/support/watchdog.hpp>
#include <utility>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
using testing::HasSubstr;
using testing::StartsWith;
using tutti::task;
using tutti_test::certificate_wish;
using tutti_test::identity;
using tutti_test::make_certificate;
using tutti_test::test_trust;
using tutti_test::text_of;

io::tls_context believer() { return io::tls_context::client({.authorities = test_trust().authority.certificate}); }
io::tls_context server_with(const identity& shown) {
  return io::tls_context::server({.certificate = shown.certificate, .key = shown.key});
}
io::tls_context believed() { return server_with(test_trust().server); }

// What each side says; nothing if it was content.
struct complaints {
  std::string client, server;
};
task<> complain(task<> work, std::string& where) {
  try {
    co_await std::move(work);
  } catch (const io::tls_error& e) {
    where = e.what();
  } catch (const std::exception& e) {
    where = std::string("not a tls_error: ") + e.what();
  }
}
task<> be_server(io::stream lower, io::tls_context context) {
  io::stream s = co_await io::tls_accept(std::move(lower), context, 30s);
  co_await s.write("welcome");
  co_await s.shutdown_write();
  co_await s.read_all(100);
}
task<> be_client(io::stream lower, std::string host, io::tls_context context) {
  io::stream s = co_await io::tls_connect(std::move(lower), host, context, 30s);
  EXPECT_EQ(co_await s.read_all(100), "welcome");
  co_await s.shutdown_write();
}
complaints meet(const io::tls_context& client, const io::tls_context& server, const std::string& host = "localhost") {
  complaints said;
  const auto both = [&]() -> task<> {
    auto [a, b] = io::stream_pair();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(complain(be_server(std::move(b), server), said.server));
      co_await complain(be_client(std::move(a), host, client), said.client);
    });
  };
  io::run(both());
  return said;
}

class tls_errors : public testing::Test {
  tutti_test::watchdog watch_;
};

TEST_F(tls_errors, none_for_each_name_that_the_certificate_is_for) {
  for (const char* host : {"localhost", "LOCALHOST", "localhost.", "127.0.0.1", "::1"}) {
    const complaints said = meet(believer(), believed(), host);
    EXPECT_EQ(said.client, "") << host;
    EXPECT_EQ(said.server, "") << host;
  }
}

TEST_F(tls_errors, a_certificate_for_another_host) {
  EXPECT_EQ(meet(believer(), believed(), "example.org").client,
            "TLS with example.org at a socket of a pair: the certificate of example.org is for localhost, 127.0.0.1, "
            "::1: connect by a name that it is for");
  EXPECT_THAT(meet(believer(), believed(), "127.0.0.2").client,
              HasSubstr("the certificate of 127.0.0.2 is for localhost, 127.0.0.1, ::1"));
}

TEST_F(tls_errors, a_name_in_the_subject_is_none) {
  for (const char* host : {"127.0.0.1", "localhost"}) {
    const identity old = make_certificate({.name = host, .hosts = ""}, &test_trust().authority);
    EXPECT_THAT(meet(believer(), server_with(old), host).client,
                HasSubstr(std::string("is for no host (\"CN=") + host + "\" is its subject"));
  }
}

// OpenSSL takes one with a dot in front for all that are below.
TEST_F(tls_errors, a_host_is_one_host) {
  const identity below = make_certificate({.hosts = "DNS:www.example.org"}, &test_trust().authority);
  for (const char* host : {".example.org", ".", "www..example.org"})
    EXPECT_THAT(meet(believer(), server_with(below), host).client, HasSubstr("is no host name")) << host;
  EXPECT_EQ(meet(believer(), server_with(below), "www.example.org").client, "");
}

TEST_F(tls_errors, a_peer_cannot_play_with_the_terminal) {
  const identity odd = make_certificate({.name = "\x1b[2Jgotcha", .hosts = ""}, &test_trust().authority);
  EXPECT_THAT(meet(believer(), server_with(odd)).client, HasSubstr("\\1B[2Jgotcha"));
}

TEST_F(tls_errors, a_certificate_out_of_its_time) {
  const auto& authority = test_trust().authority;
  const identity expired = make_certificate({.begins = -7200, .ends = -3600}, &authority);
  EXPECT_THAT(meet(believer(), server_with(expired)).client,
              testing::ContainsRegex("the certificate of localhost expired on 20[0-9][0-9]-[0-9][0-9]-[0-9][0-9] "
                                     "[0-9][0-9]:[0-9][0-9] UTC: its owner has to renew it"));
  const identity early = make_certificate({.begins = 3600}, &authority);
  EXPECT_THAT(meet(believer(), server_with(early)).client, HasSubstr("is not valid before 20"));
  const identity old_authority =
      make_certificate({.name = "Old", .hosts = "", .is_authority = true, .begins = -7200, .ends = -60});
  const identity below = make_certificate({}, &old_authority);
  EXPECT_THAT(meet(io::tls_context::client({.authorities = old_authority.certificate}), server_with(below)).client,
              HasSubstr("the certificate of localhost depends on one (\"CN=Old\") that expired on 20"));
}

TEST_F(tls_errors, a_certificate_that_nobody_has_signed_for) {
  const identity own = make_certificate({});
  const complaints said = meet(believer(), server_with(own));
  EXPECT_EQ(said.client,
            "TLS with localhost at a socket of a pair: the certificate of localhost is not signed by an authority that "
            "this machine trusts (self-signed): if it is the right one, give its authority as "
            "tls_client_options::authorities");
  EXPECT_THAT(said.server, HasSubstr("the peer does not trust the authority of our certificate"));
  // By default those of the system count, and ours is none of them.
  EXPECT_THAT(meet({}, believed()).client, HasSubstr("is not signed by an authority that this machine trusts"));
  // It is its own authority, for who says so.
  EXPECT_EQ(meet(io::tls_context::client({.authorities = own.certificate}), server_with(own)).client, "");
}

TEST_F(tls_errors, none_where_the_system_believes_the_authority) {
  const tutti_test::text_file authorities(test_trust().authority.certificate);
  ::setenv("SSL_CERT_FILE", authorities.path().c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  const io::tls_context client = io::tls_context::client();
  ::unsetenv("SSL_CERT_FILE");  // NOLINT(concurrency-mt-unsafe)
  EXPECT_EQ(meet(client, believed()).client, "");
}

TEST_F(tls_errors, none_for_who_does_not_want_to_know) {
  const identity own = make_certificate({.hosts = "DNS:example.org", .begins = -7200, .ends = -3600});
  const complaints said = meet(io::tls_context::client({.verify = false}), server_with(own));
  EXPECT_EQ(said.client, "");
  EXPECT_EQ(said.server, "");
}

TEST_F(tls_errors, clients_must_show_a_certificate) {
  const auto& trust = test_trust();
  const io::tls_context strict = io::tls_context::server({.certificate = trust.server.certificate,
                                                          .key = trust.server.key,
                                                          .client_authorities = trust.authority.certificate});
  const complaints without = meet(believer(), strict);
  EXPECT_THAT(without.server, HasSubstr("the client has shown no certificate"));
  EXPECT_THAT(without.client, HasSubstr("the server asks for a certificate: give tls_client_options::certificate"));
  const auto client_with = [&](const identity& shown) {
    return io::tls_context::client(
        {.authorities = trust.authority.certificate, .certificate = shown.certificate, .key = shown.key});
  };
  const complaints with = meet(client_with(trust.client), strict);
  EXPECT_EQ(with.client + with.server, "");
  const complaints foreign = meet(client_with(make_certificate({.name = "who", .hosts = ""})), strict);
  EXPECT_THAT(foreign.server,
              HasSubstr("the certificate of the client is not signed by an authority that this server trusts"));
  EXPECT_THAT(foreign.client, HasSubstr("the peer does not trust the authority of our certificate"));
}

TEST_F(tls_errors, protocols_that_do_not_meet) {
  const auto& trust = test_trust();
  const auto server =
      io::tls_context::server({.certificate = trust.server.certificate, .key = trust.server.key, .alpn = "h2"});
  const complaints said =
      meet(io::tls_context::client({.authorities = trust.authority.certificate, .alpn = "http/1.1"}), server);
  EXPECT_THAT(said.client, HasSubstr("both sides have no ALPN protocol in common"));
  EXPECT_THAT(said.server, HasSubstr("both sides have no ALPN protocol in common"));
}

// What tls_accept, or tls_connect, says to bytes, after which the peer says no more.
std::string answer_to(const std::string& bytes, bool as_server) {
  std::string said;
  const auto both = [&]() -> task<> {
    auto [a, b] = io::stream_pair();
    co_await b.write(bytes);
    co_await b.shutdown_write();
    auto work = as_server ? be_server(std::move(a), believed()) : be_client(std::move(a), "localhost", believer());
    co_await complain(std::move(work), said);
  };
  io::run(both());
  return said;
}

TEST_F(tls_errors, what_is_no_tls) {
  EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            "TLS with a socket of a pair: the peer speaks HTTP without TLS: it should use https");
  EXPECT_THAT(answer_to("SSH-2.0-OpenSSH_9.2\r\n", true), HasSubstr("does not speak TLS"));
  EXPECT_THAT(answer_to("HTTP/1.1 400 Bad Request\r\n\r\n", false), HasSubstr("does not speak TLS"));
  EXPECT_THAT(answer_to("", true), HasSubstr("closed the connection during the handshake"));
  EXPECT_THAT(answer_to("", false), HasSubstr("closed the connection during the handshake"));
}

TEST_F(tls_errors, random_bytes_are_an_error_and_no_more) {
  tutti_test::choices random(1);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random.below(600), '\0');
    for (char& c : bytes) c = static_cast<char>(random.below(256));
    // Half of them look right in the beginning.
    if (random.one_in(2) && bytes.size() > 5) bytes.replace(0, 5, std::string("\x16\x03\x01\x00\x80", 5));
    EXPECT_THAT(answer_to(bytes, random.one_in(2)), StartsWith("TLS with "));
  }
}

// Carries what one side of TLS says to the other, and shows it to `look`, which may change it; false: that was the
// last.
template <class Look>
task<> carry(io::stream& from, io::stream& to, Look look) {
  std::string room(65536, '\0');
  for (bool more = true; more;) {
    const std::size_t n = co_await from.read_some(room);
    std::string piece = room.substr(0, n);
    more = look(piece) && n != 0;
    co_await to.write(piece);
  }
  co_await to.shutdown_write();
}

// What a client reads of a server whose bytes are changed on their way, from a certain moment on.
template <class Change>
std::string read_through(Change change) {
  std::string said;
  const auto all = [&]() -> task<> {
    auto [client_end, near] = io::stream_pair();
    auto [far, server_end] = io::stream_pair();
    bool open = false;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() { return carry(near, far, [](std::string&) { return true; }); });
      group.spawn([&]() { return carry(far, near, [&](std::string& piece) { return !open || change(piece); }); });
      io::stream server;
      group.spawn([&]() -> task<> {
        server = co_await io::tls_accept(std::move(server_end), believed());
        co_await server.write("begin");
      });
      io::stream client = co_await io::tls_connect(std::move(client_end), "localhost", believer());
      EXPECT_EQ(co_await client.read_exactly(5), "begin");
      open = true;
      co_await server.write("and the rest");
      std::array<char, 100> room{};
      for (int i = 0; i < 2; ++i) {
        try {
          const std::size_t n = co_await client.read_exactly(std::span(room.data(), 12));
          said = std::string(room.data(), n);
        } catch (const io::tls_error& e) {
          said = e.what();
        }
      }
      group.stop();
    });
  };
  io::run(all());
  return said;
}

TEST_F(tls_errors, data_that_are_cut_off_are_no_end) {
  EXPECT_EQ(read_through([](std::string& piece) {
              piece.clear();
              return false;
            }),
            "reading from localhost at a socket of a pair: stream truncated: the peer closed the connection without "
            "ending TLS (no close_notify); data may be missing");
}

TEST_F(tls_errors, data_that_are_cut_off_in_the_middle_are_no_end) {
  EXPECT_THAT(read_through([](std::string& piece) {
                piece.resize(piece.size() / 2);
                return false;
              }),
              HasSubstr("data may be missing"));
}

TEST_F(tls_errors, data_that_are_changed_are_not_taken) {
  EXPECT_THAT(read_through([](std::string& piece) {
                if (!piece.empty()) piece.back() = static_cast<char>(piece.back() ^ 1);
                return true;
              }),
              HasSubstr("what arrived is not what was sent"));
}

TEST_F(tls_errors, a_peer_that_says_nothing) {
  io::run([]() -> task<> {
    auto [a, b] = io::stream_pair();
    std::string text;
    try {
      co_await io::tls_accept(std::move(a), believed(), 5ms);
    } catch (const tutti::timed_out& e) {
      text = e.what();
    }
    EXPECT_THAT(text, StartsWith("the TLS handshake with a socket of a pair took longer than the limit of "));
    // It is closed.
    std::array<char, 4> room{};
    const std::size_t n = co_await b.read_some(room);
    EXPECT_EQ(n, 0U);
  }());
}

TEST_F(tls_errors, a_handshake_is_left_by_who_is_stopped) {
  io::run([]() -> task<> {
    auto [a, b] = io::stream_pair();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        co_await io::tls_connect(std::move(a), "localhost", believer());
        ADD_FAILURE();
      });
      co_await b.read_exactly(5);  // it has begun
      group.stop();
    });
  }());
}

TEST_F(tls_errors, of_files_and_options) {
  const auto& trust = test_trust();
  const auto server = [](std::string_view certificate, std::string_view key) {
    return text_of([&] { static_cast<void>(io::tls_context::server({.certificate = certificate, .key = key})); });
  };
  EXPECT_EQ(server("/nowhere/x.pem", trust.server.key),
            "certificate: cannot read file \"/nowhere/x.pem\": No such file or directory; give the name of a PEM file, "
            "or its text");
  EXPECT_THAT(server("/", trust.server.key), HasSubstr("cannot read file \"/\": Is a directory;"));
  EXPECT_THAT(server(trust.server.certificate, trust.server.certificate),
              HasSubstr("key (given as text): there is no key in it that can be used"));
  EXPECT_THAT(server(trust.server.key, trust.server.key), HasSubstr("there is no certificate in it"));
  EXPECT_THAT(server(trust.server.certificate, trust.client.key),
              HasSubstr("key (given as text) does not belong to the certificate (given as text)"));
  const tutti_test::text_file damaged(trust.server.certificate.substr(0, 300));
  EXPECT_THAT(server(damaged.path(), trust.server.key), HasSubstr("certificate (file \"" + damaged.path() + "\")"));
  EXPECT_THAT(server(trust.server.certificate, ""), HasSubstr("a server needs a certificate and its key"));
  EXPECT_THAT(server(trust.server.certificate,
                     "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAc\n"
                     "-----END ENCRYPTED PRIVATE KEY-----\n"),
              HasSubstr("key that is not encrypted"));
  for (const char* bad : {",", "h2,", ",h2", "h2,,x"})
    EXPECT_THAT(text_of([&] { static_cast<void>(io::tls_context::client({.alpn = bad})); }),
                HasSubstr("bad ALPN protocol"))
        << bad;
  EXPECT_THROW(static_cast<void>(io::tls_context::client({.certificate = trust.client.certificate})),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(io::tls_context::client({.verify = false, .authorities = "x"})),
               std::invalid_argument);
}

TEST_F(tls_errors, of_who_takes_one_side_for_the_other) {
  const auto what = [](auto work) { return text_of([&] { io::run(work()); }); };
  EXPECT_THAT(what([]() -> task<> { co_await io::tls_connect(io::stream_pair().first, "localhost", believed()); }),
              HasSubstr("the context is a server's"));
  EXPECT_THAT(what([]() -> task<> { co_await io::tls_accept(io::stream_pair().first, believer()); }),
              HasSubstr("the context is a client's"));
  EXPECT_THAT(what([]() -> task<> { co_await io::tls_connect(io::stream_pair().first, "", believer()); }),
              HasSubstr("\"\" is no host name"));
  EXPECT_THAT(what([]() -> task<> { co_await io::connect_tls("unix:/x"); }), HasSubstr("has no host name"));
  EXPECT_THAT(what([]() -> task<> {
                auto [a, b] = io::stream_pair();
                static_cast<void>(io::tls_info::of(a));
                co_return;
              }),
              HasSubstr("is not TLS"));
}

}  // namespace
