// libuv: one buffer for all connections, written from at once (uv_try_write); what the socket does not take is copied
// and queued, and its connection reads no more until it is gone.
#include <uv.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "systems.hpp"

namespace bench::echo {

namespace {

void checked(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + uv_strerror(result));
}

void end(uv_stream_t* stream) {
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(stream))) return;
  uv_close(reinterpret_cast<uv_handle_t*>(stream), [](uv_handle_t* h) { delete reinterpret_cast<uv_tcp_t*>(h); });
}

void give_buffer(uv_handle_t*, std::size_t, uv_buf_t* buffer) {
  static std::array<char, 65536> shared;
  *buffer = uv_buf_init(shared.data(), shared.size());
}

struct rest {
  uv_write_t request;
  std::vector<char> data;
};

void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  if (size == 0) return;
  if (size < 0) return end(stream);
  uv_buf_t data = uv_buf_init(buffer->base, static_cast<unsigned>(size));
  int sent = uv_try_write(stream, &data, 1);
  if (sent == size) return;
  if (sent < 0 && sent != UV_EAGAIN) return end(stream);
  sent = sent < 0 ? 0 : sent;
  auto* left = new rest{{}, {buffer->base + sent, buffer->base + size}};
  left->request.data = left;
  data = uv_buf_init(left->data.data(), static_cast<unsigned>(left->data.size()));
  uv_read_stop(stream);
  const auto written = [](uv_write_t* request, int status) {
    uv_stream_t* to = request->handle;
    delete static_cast<rest*>(request->data);
    if (status < 0) return end(to);
    uv_read_start(to, give_buffer, on_read);
  };
  if (uv_write(&left->request, stream, &data, 1, written) < 0) {
    delete left;
    end(stream);
  }
}

void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  auto* tcp = new uv_tcp_t;
  uv_tcp_init(listener->loop, tcp);
  auto* stream = reinterpret_cast<uv_stream_t*>(tcp);
  if (uv_accept(listener, stream) < 0) return end(stream);
  uv_tcp_nodelay(tcp, 1);
  uv_read_start(stream, give_buffer, on_read);
}

}  // namespace

void serve_libuv() {
  uv_loop_t loop;
  checked(uv_loop_init(&loop), "uv_loop_init");
  uv_tcp_t listener;
  checked(uv_tcp_init(&loop, &listener), "uv_tcp_init");
  sockaddr_in address{};
  checked(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
  checked(uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&address), 0), "uv_tcp_bind");
  checked(uv_listen(reinterpret_cast<uv_stream_t*>(&listener), backlog, on_connection), "uv_listen");
  int length = sizeof address;
  checked(uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&address), &length), "uv_tcp_getsockname");
  announce(ntohs(address.sin_port));
  uv_run(&loop, UV_RUN_DEFAULT);
}

}  // namespace bench::echo
