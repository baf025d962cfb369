// async_stream: Asio's algorithms over our streams.
#include <gtest/gtest.h>
#include <tutti/io/inside/async_stream.hpp>
#include <tutti/io/io.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/task/task_group.hpp>

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace io = tutti::io;
using boost::system::error_code;
using tutti::io::detail::async_stream;

// Where a handler leaves what it was told.
struct outcome {
  tutti::event told;
  error_code error;
  std::size_t bytes = 0;
  auto handler() {
    return [this](const error_code& e, std::size_t n) {
      error = e;
      bytes = n;
      told.set();
    };
  }
};

TEST(async_stream, reads_and_writes_more_than_the_system_takes_at_once) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    async_stream from(a.release()), to(b.release());
    const std::string head = "head", body(700'000, 'x');
    std::string got(head.size() + body.size(), '\0');
    const std::array<asio::const_buffer, 3> parts{asio::buffer(head), asio::const_buffer(), asio::buffer(body)};
    outcome written, read;
    asio::async_write(from, parts, written.handler());
    EXPECT_FALSE(written.told.is_set());
    asio::async_read(to, asio::buffer(got), read.handler());
    co_await written.told.wait_async();
    co_await read.told.wait_async();
    EXPECT_FALSE(written.error);
    EXPECT_FALSE(read.error);
    EXPECT_EQ(written.bytes, got.size());
    EXPECT_EQ(read.bytes, got.size());
    EXPECT_EQ(got, head + body);
  }());
}

TEST(async_stream, several_short_buffers_go_out_together) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    async_stream from(a.release());
    const std::string head = "head ", body = "body";
    const std::array<asio::const_buffer, 2> parts{asio::buffer(head), asio::buffer(body)};
    outcome written;
    from.async_write_some(parts, written.handler());
    co_await written.told.wait_async();
    EXPECT_EQ(written.bytes, 9U);
    EXPECT_EQ(co_await b.read_exactly(9), "head body");
  }());
}

TEST(async_stream, what_was_read_ahead_comes_first_and_never_within_the_call) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    co_await a.write("line\nrest");
    EXPECT_EQ(co_await b.read_line(), "line");
    async_stream from(b.release());
    std::array<char, 2> one{};
    std::array<char, 16> two{};
    const std::array<asio::mutable_buffer, 2> room{asio::buffer(one), asio::buffer(two)};
    outcome read;
    from.async_read_some(room, read.handler());
    EXPECT_FALSE(read.told.is_set());
    co_await read.told.wait_async();
    EXPECT_EQ(read.bytes, 4U);
    EXPECT_EQ(std::string(one.data(), 2) + std::string(two.data(), 2), "rest");
    co_await a.write("more");
    outcome next;
    from.async_read_some(room, next.handler());
    co_await next.told.wait_async();
    EXPECT_EQ(std::string(one.data(), 2), "mo");
  }());
}

TEST(async_stream, the_end_is_eof_and_no_room_reads_nothing) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    async_stream from(b.release());
    outcome nothing;
    from.async_read_some(asio::mutable_buffer(), nothing.handler());
    co_await nothing.told.wait_async();
    EXPECT_FALSE(nothing.error);
    a.close();
    std::string text;
    outcome read;
    asio::async_read_until(from, asio::dynamic_buffer(text), '\n', read.handler());
    co_await read.told.wait_async();
    EXPECT_EQ(read.error, asio::error::eof);
  }());
}

TEST(async_stream, a_read_that_is_cancelled_loses_nothing) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    async_stream from(b.release());
    std::array<char, 4> room{};
    asio::cancellation_signal signal;
    outcome read;
    from.async_read_some(asio::buffer(room), asio::bind_cancellation_slot(signal.slot(), read.handler()));
    signal.emit(asio::cancellation_type::terminal);
    EXPECT_FALSE(read.told.is_set());
    co_await read.told.wait_async();
    EXPECT_EQ(read.error, asio::error::operation_aborted);
    signal.emit(asio::cancellation_type::terminal);  // it is over: nobody hears it
    co_await a.write("abcd");
    outcome again;
    from.async_read_some(asio::buffer(room), again.handler());
    co_await again.told.wait_async();
    EXPECT_FALSE(again.error);
    EXPECT_EQ(std::string(room.data(), again.bytes), "abcd");
  }());
}

TEST(async_stream, cancelling_a_read_leaves_the_write_alone) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    async_stream both(b.release());
    const std::string much(3'000'000, 'y');
    std::array<char, 4> room{};
    asio::cancellation_signal signal;
    outcome read, written;
    asio::async_write(both, asio::buffer(much), written.handler());
    both.async_read_some(asio::buffer(room), asio::bind_cancellation_slot(signal.slot(), read.handler()));
    signal.emit(asio::cancellation_type::total);
    co_await read.told.wait_async();
    EXPECT_EQ(read.error, asio::error::operation_aborted);
    EXPECT_EQ(co_await a.read_exactly(much.size()), much);
    co_await written.told.wait_async();
    EXPECT_FALSE(written.error);
  }());
}

TEST(async_stream, operations_outlive_the_stream_and_end_as_closed) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    auto from = std::make_unique<async_stream>(b.release());
    std::array<char, 4> room{};
    outcome read;
    from->async_read_some(asio::buffer(room), read.handler());
    from.reset();
    co_await read.told.wait_async();
    EXPECT_EQ(tutti::io::detail::from_asio(read.error), std::errc::bad_file_descriptor);
  }());
}

TEST(async_stream, a_peer_that_is_gone_fails_the_write) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    async_stream to(b.release());
    a.close();
    outcome written;
    asio::async_write(to, asio::buffer("x", 1), written.handler());
    co_await written.told.wait_async();
    EXPECT_EQ(written.error, asio::error::broken_pipe);
  }());
}

// Counts what it gives and takes back.
template <class T>
struct counting {
  using value_type = T;
  explicit counting(std::vector<std::size_t>& notes) noexcept : held(&notes) {}
  template <class U>
  counting(const counting<U>& other) noexcept : held(other.held) {}  // NOLINT(google-explicit-constructor): a rebind
  T* allocate(std::size_t n) {
    held->push_back(n * sizeof(T));
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* memory, std::size_t n) {
    std::erase(*held, n * sizeof(T));
    std::allocator<T>().deallocate(memory, n);
  }
  friend bool operator==(const counting&, const counting&) noexcept = default;
  std::vector<std::size_t>* held;
};

TEST(async_stream, memory_is_of_the_handlers_allocator_and_back_before_it_runs) {
  io::run([]() -> tutti::task<> {
    auto [a, b] = io::stream_pair();
    async_stream from(b.release());
    std::vector<std::size_t> held;
    std::array<char, 4> room{};
    std::size_t held_in_handler = 99;
    tutti::event told;
    from.async_read_some(asio::buffer(room),
                         asio::bind_allocator(counting<void>(held), [&](const error_code&, std::size_t) {
                           held_in_handler = held.size();
                           told.set();
                         }));
    EXPECT_EQ(held.size(), 1U);
    co_await a.write("x");
    co_await told.wait_async();
    EXPECT_EQ(held_in_handler, 0U);
  }());
}

}  // namespace
