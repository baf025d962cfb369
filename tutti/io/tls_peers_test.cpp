// TLS with those that others have written: OpenSSL's programs and Python.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>

#include <string>
#include <tests/support/certificates.hpp>
#include <tests/support/spawned.hpp>
#include <tests/support/watchdog.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
using testing::HasSubstr;
using tutti::task;
using tutti_test::spawned;
using tutti_test::test_trust;
using tutti_test::text_file;

class tls_peers : public testing::Test {
 protected:
  io::tls_context client_context(std::string_view alpn = {}) const {
    return io::tls_context::client({.authorities = authority.path(), .alpn = alpn});
  }
  io::tls_context server_context(std::string_view alpn = {}) const {
    return io::tls_context::server({.certificate = certificate.path(), .key = key.path(), .alpn = alpn});
  }
  // A program that says "... PORT" in a line when it listens.
  static std::string place_of(const spawned& server) {
    for (std::string line = server.line(); !line.empty(); line = server.line()) {
      if (line.starts_with("ACCEPT ")) return "localhost:" + line.substr(line.rfind(':') + 1);
    }
    ADD_FAILURE() << "it does not listen";
    return "localhost:1";
  }
  std::vector<std::string> openssl_server(const std::vector<std::string>& more) const {
    std::vector<std::string> command{"openssl", "s_server", "-accept",          "127.0.0.1:0", "-naccept",
                                     "1",       "-cert",    certificate.path(), "-key",        key.path()};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  const text_file authority{test_trust().authority.certificate};
  const text_file certificate{test_trust().server.certificate};
  const text_file key{test_trust().server.key};

 private:
  tutti_test::watchdog watch_;
};

task<> echo_lines(io::stream lower, io::tls_context context) {
  io::stream s = co_await io::tls_accept(std::move(lower), context, 30s);
  for (;;) {
    const std::optional<std::string> line = co_await s.read_line();
    if (!line) break;
    const std::string back = "<" + *line + ">\n";
    co_await s.write(back);
  }
  co_await s.shutdown_write();
}

// What s_client prints of an echo of its lines, which are given one after the other.
std::string talk(const std::vector<std::string>& more, const std::vector<std::string>& lines,
                 const std::string& authority, const io::tls_context& context) {
  std::string all;
  const auto both = [&]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    std::vector<std::string> command{"openssl",   "s_client", "-connect", at.local().text(),      "-servername",
                                     "localhost", "-CAfile",  authority,  "-verify_return_error", "-verify_hostname",
                                     "localhost"};
    command.insert(command.end(), more.begin(), more.end());
    command.emplace_back("-no_ign_eof");  // ends at the end of its input
    spawned client(command);
    io::stream to = io::stream::adopt(std::move(client.to()));
    io::stream from = io::stream::adopt(std::move(client.from()));
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      io::stream lower = co_await at.accept();
      group.spawn(echo_lines(std::move(lower), context));
      for (const std::string& line : lines) {
        co_await to.write(line + "\n");
        // One command at a time: what stands behind it is not looked at.
        if (line == "K") all += co_await from.read_until("KEYUPDATE\n", 1'000'000);
        if (line != "K") all += co_await from.read_until("<" + line + ">\n", 1'000'000);
      }
      to.close();
      all += co_await from.read_all(1'000'000);
    });
    EXPECT_EQ(client.join(), 0) << all;
  };
  io::run(both());
  return all;
}

TEST_F(tls_peers, the_client_of_openssl) {
  const std::string said = talk({"-quiet"}, {"hello", std::string(50'000, 'h')}, authority.path(), server_context());
  EXPECT_THAT(said, HasSubstr("<hello>"));
}

TEST_F(tls_peers, the_client_of_openssl_at_tls_1_2) {
  const std::string said =
      talk({"-tls1_2", "-alpn", "other,http/1.1"}, {"hello"}, authority.path(), server_context("http/1.1"));
  EXPECT_THAT(said, HasSubstr("ALPN protocol: http/1.1"));
  EXPECT_THAT(said, HasSubstr("Protocol  : TLSv1.2"));
}

// A line "K" makes it change its key, and ask for a change of ours.
TEST_F(tls_peers, keys_are_changed_meanwhile) {
  const std::string said = talk({}, {"one", "K", "two", "K", "K", "three"}, authority.path(), server_context());
  EXPECT_THAT(said, HasSubstr("KEYUPDATE"));
  EXPECT_THAT(said, HasSubstr("Verification: OK"));
}

TEST_F(tls_peers, a_client_that_asks_to_begin_anew_is_not_heeded) {
  std::string said;
  const auto both = [&]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    spawned client({"openssl", "s_client", "-connect", at.local().text(), "-tls1_2", "-CAfile", authority.path()});
    io::stream to = io::stream::adopt(std::move(client.to()));
    io::stream s = co_await io::tls_accept(co_await at.accept(), server_context(), 30s);
    co_await to.write("R\n");
    try {
      said = co_await s.read_all(1000);
    } catch (const io::tls_error& e) {
      said = e.what();
    }
  };
  io::run(both());
  EXPECT_THAT(said, HasSubstr("the peer could not come to terms with us"));
}

TEST_F(tls_peers, the_server_of_openssl) {
  for (const char* version : {"-tls1_3", "-tls1_2"}) {
    spawned server(openssl_server({"-rev", version}));
    const std::string place = place_of(server);
    const auto visit = [&]() -> task<> {
      io::stream s = co_await io::connect_tls(place, client_context());
      EXPECT_EQ(io::tls_info::of(s).protocol, std::string(version) == "-tls1_3" ? "TLSv1.3" : "TLSv1.2");
      co_await s.write("hello\n");
      EXPECT_EQ(co_await s.read_line(), "olleh");
      co_await s.shutdown_write();
      EXPECT_EQ(co_await s.read_all(100), "");
    };
    io::run(visit());
    server.join();
  }
}

TEST_F(tls_peers, a_server_of_another_age) {
  spawned server(openssl_server({"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"}));
  const std::string place = place_of(server);
  std::string said;
  const auto visit = [&]() -> task<> {
    try {
      co_await io::connect_tls(place, client_context());
    } catch (const io::tls_error& e) {
      said = e.what();
    }
  };
  io::run(visit());
  EXPECT_THAT(said, HasSubstr("both sides have no version (TLS 1.2 or newer)"));
}

TEST_F(tls_peers, a_server_that_is_killed_leaves_no_end) {
  std::string said;
  const auto visit = [&]() -> task<> {
    io::stream s;
    {
      spawned server(openssl_server({"-rev"}));
      s = co_await io::connect_tls(place_of(server), client_context());
      co_await s.write("hello\n");
      EXPECT_EQ(co_await s.read_line(), "olleh");
    }
    try {
      co_await s.read_all(100);
    } catch (const io::tls_error& e) {
      said = e.what();
    }
  };
  io::run(visit());
  EXPECT_THAT(said, HasSubstr("stream truncated"));
}

constexpr const char* python_server = R"(
import http.server, ssl, sys
class quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'x' * 3000000
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest): pass
server = http.server.HTTPServer(('127.0.0.1', 0), quiet)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print('ACCEPT 127.0.0.1:%d' % server.server_port, flush=True)
server.handle_request()
)";

TEST_F(tls_peers, the_http_server_of_python) {
  spawned server({"python3", "-c", python_server, certificate.path(), key.path()});
  const std::string place = place_of(server);
  const auto visit = [&]() -> task<> {
    io::stream s = co_await io::connect_tls(place, client_context());
    co_await s.write("GET / HTTP/1.0\r\n\r\n");
    const std::string head = co_await s.read_until("\r\n\r\n");
    EXPECT_THAT(head, HasSubstr("200 OK"));
    EXPECT_EQ(co_await s.read_exactly(3'000'000), std::string(3'000'000, 'x'));
  };
  io::run(visit());
}

constexpr const char* python_client = R"(
import asyncio, ssl, sys
async def main():
    context = ssl.create_default_context(cafile=sys.argv[2])
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    context.set_alpn_protocols(['echo'])
    reader, writer = await asyncio.open_connection('127.0.0.1', int(sys.argv[1]), ssl=context, server_hostname='localhost')
    assert writer.get_extra_info('ssl_object').selected_alpn_protocol() == 'echo'
    data = bytes(range(256)) * 8000
    async def send():
        writer.write(data)
        await writer.drain()
    sending = asyncio.create_task(send())
    got = await reader.readexactly(len(data))
    await sending
    assert got == data
    assert await reader.read() == b''
    writer.close()
    await writer.wait_closed()
    print('content')
asyncio.run(main())
)";

TEST_F(tls_peers, the_asyncio_client_of_python_with_a_certificate) {
  const text_file its_certificate(test_trust().client.certificate), its_key(test_trust().client.key);
  const auto serve = [&]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    spawned client({"python3", "-c", python_client, std::to_string(at.local().port()), authority.path(),
                    its_certificate.path(), its_key.path()});
    const io::tls_context context = io::tls_context::server(
        {.certificate = certificate.path(), .key = key.path(), .client_authorities = authority.path(), .alpn = "echo"});
    io::stream lower = co_await at.accept();
    io::stream s = co_await io::tls_accept(std::move(lower), context, 30s);
    EXPECT_EQ(io::tls_info::of(s).peer, "CN=a client");
    EXPECT_EQ(io::tls_info::of(s).server_name, "localhost");
    std::string room(30'000, '\0');
    for (std::size_t left = 256 * 8000; left != 0;) {
      const std::size_t n = co_await s.read_some(room);
      if (n == 0) break;
      co_await s.write(std::string_view(room).substr(0, n));
      left -= n;
    }
    co_await s.shutdown_write();
    EXPECT_EQ(co_await s.read_all(100), "");
    io::stream said = io::stream::adopt(std::move(client.from()));
    EXPECT_EQ(co_await said.read_all(10'000), "content\n");
    EXPECT_EQ(client.join(), 0);
  };
  io::run(serve());
}

}  // namespace
