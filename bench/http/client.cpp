#include "client.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>

namespace bench::http {

namespace {

namespace beast = boost::beast;
using boost::system::error_code;

// One request and its answer; its body, if it is as it should be.
std::optional<std::string> ask(boost::asio::io_context& context, beast::tcp_stream& stream,
                               beast::flat_buffer& buffer) {
  beast::http::request<beast::http::empty_body> request(beast::http::verb::get, "/", 11);
  request.set(beast::http::field::host, "127.0.0.1");
  beast::http::response<beast::http::string_body> response;
  error_code failed;
  stream.expires_after(std::chrono::seconds(5));
  beast::http::async_write(stream, request, [&](error_code sending, std::size_t) {
    failed = sending;
    if (sending) return;
    beast::http::async_read(stream, buffer, response, [&](error_code reading, std::size_t) { failed = reading; });
  });
  context.restart();
  context.run();
  if (failed) throw std::runtime_error("the server does not answer: " + failed.message());
  const bool right = response.result() == beast::http::status::ok && response.keep_alive() &&
                     response[beast::http::field::content_type].starts_with("text/plain");
  return right ? std::optional(response.body()) : std::nullopt;
}

}  // namespace

void check(int port) {
  boost::asio::io_context context;
  beast::tcp_stream stream(context);
  stream.connect({boost::asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)});
  beast::flat_buffer buffer;
  for (int time = 0; time < 2; ++time) {
    if (ask(context, stream, buffer) != "hello, world") throw std::runtime_error("the server's answer is wrong");
  }
}

}  // namespace bench::http
