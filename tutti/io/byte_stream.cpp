#include <tutti/io/byte_stream.hpp>

#include <tutti/core/home.hpp>
#include <tutti/io/inside/reactor.hpp>

namespace tutti::io::detail {

void byte_stream::dispose_here() noexcept {
  close();
  disposed_ = true;
  if (under_way_ == 0) delete this;
}

void byte_stream::dispose() noexcept {
  const reactor* const here = reactor::here_if_any();
  if (here == &where()) return dispose_here();
  // Its loop runs on another thread, or not at all; then, or when it is over, this is done here.
  struct disposal final : call_node {
    explicit disposal(byte_stream& s) noexcept : stream(s) {}
    void run() noexcept override {
      stream.dispose_here();
      delete this;
    }
    void abandon(std::exception_ptr) noexcept override { run(); }
    byte_stream& stream;
  };
  start_at_home(where().id, call(new disposal(*this)));
}

}  // namespace tutti::io::detail
