// async_stream: a byte_stream as Asio's and Beast's algorithms know streams.
#pragma once
#include <tutti/io/byte_stream.hpp>
#include <tutti/io/inside/reactor.hpp>

#include <boost/asio/append.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>
#include <utility>

namespace tutti::io::detail {

/// An operation's error in Asio's terms. One of a category that Asio does not know keeps it.
inline boost::system::error_code as_asio(std::error_code error) noexcept {
  if (!error) return {};
  if (error == std::errc::operation_canceled) return asio::error::operation_aborted;
  if (error.category() == std::generic_category() || error.category() == std::system_category())
    return {error.value(), boost::system::system_category()};
  return error;
}

/// The way back, for what an algorithm on top of an async_stream tells: asio::error::eof stays what it is.
inline std::error_code from_asio(const boost::system::error_code& error) noexcept {
  if (!error) return {};
  if (error == asio::error::operation_aborted) return std::make_error_code(std::errc::operation_canceled);
  if (error.category() == boost::system::system_category()) return {error.value(), std::system_category()};
  return error;
}

/// An operation that calls a completion handler, in memory of that handler's allocator.
template <class Handler>
class handler_operation final : public operation {
 public:
  /// Lives until its handler is called. `body`: what it reads from or writes to.
  static handler_operation& make(Handler handler, byte_stream& body, bool reads) {
    allocator memory(asio::get_associated_allocator(handler));
    handler_operation* const made = std::allocator_traits<allocator>::allocate(memory, 1);
    try {
      return *::new (static_cast<void*>(made)) handler_operation(std::move(handler), body, reads);
    } catch (...) {
      std::allocator_traits<allocator>::deallocate(memory, made, 1);
      throw;
    }
  }

  ~handler_operation() = default;

  /// To be called before it begins: its cancellation slot ends it.
  void hear_cancellation(byte_stream& body) {
    auto slot = asio::get_associated_cancellation_slot(handler_);
    if (!slot.is_connected()) return;
    slot.assign([this, &body](asio::cancellation_type asked) {
      if (asked != asio::cancellation_type::none) body.end(*this);
    });
  }
  /// It is through already, which the handler is not told in here.
  void happens_later(std::error_code error, std::size_t bytes) noexcept {
    error_ = error;
    bytes_ = bytes;
    asio::post(loop_.executor(),
               operation_handler(*this, [this](operation&, const auto&, std::size_t) { happened(error_, bytes_); }));
  }

  void happened(std::error_code error, std::size_t bytes) noexcept override {
    --loop_.under_way;
    boost::system::error_code told = as_asio(error);
    if (!told && bytes == 0 && reads_) told = asio::error::eof;
    if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected()) slot.clear();
    auto executor = asio::get_associated_executor(handler_, loop_.executor());
    // Its memory is free again when the handler runs, which may use it for the next operation.
    Handler handler = std::move(handler_);
    allocator memory(asio::get_associated_allocator(handler));
    std::destroy_at(this);
    std::allocator_traits<allocator>::deallocate(memory, this, 1);
    asio::dispatch(executor, asio::append(std::move(handler), told, bytes));
  }

 private:
  using allocator =
      typename std::allocator_traits<asio::associated_allocator_t<Handler>>::template rebind_alloc<handler_operation>;

  handler_operation(Handler&& handler, byte_stream& body, bool reads)
      : handler_(std::move(handler)), loop_(reactor::of(body.where())), reads_(reads) {
    ++loop_.under_way;
  }

  Handler handler_;
  reactor& loop_;
  const bool reads_;  // something: no bytes are the end
  std::error_code error_;
  std::size_t bytes_ = 0;
};

/// Asio's AsyncReadStream and AsyncWriteStream, with one operation in each direction at a time. What the byte_stream
/// has read ahead is read first; nothing may be in its write buffer. Operations under way may outlive it: they end as
/// those of a stream that is closed.
///
/// A handler's cancellation slot ends its operation: a read has lost nothing then, a write may have gone out in part.
/// The end of the stream is asio::error::eof.
class async_stream {
 public:
  using executor_type = reactor::executor_type;
  using lowest_layer_type = async_stream;

  explicit async_stream(byte_stream_ptr body) noexcept : body_(std::move(body)) {}

  executor_type get_executor() const noexcept { return reactor::of(body_->where()).executor(); }
  async_stream& lowest_layer() noexcept { return *this; }
  const async_stream& lowest_layer() const noexcept { return *this; }

  byte_stream& body() const noexcept { return *body_; }
  /// The byte_stream again, for a stream. No operation may be under way.
  byte_stream_ptr release() noexcept { return std::move(body_); }

  template <class Buffers, class Token = asio::default_completion_token_t<executor_type>>
  auto async_read_some(const Buffers& room, Token&& token = {}) {
    return asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        [this](auto handler, const Buffers& to) { this->read(std::move(handler), to); }, token, room);
  }

  template <class Buffers, class Token = asio::default_completion_token_t<executor_type>>
  auto async_write_some(const Buffers& bytes, Token&& token = {}) {
    return asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        [this](auto handler, const Buffers& from) { this->write(std::move(handler), from); }, token, bytes);
  }

 private:
  // The first of a sequence that is not empty: Asio's algorithms come back for the others.
  template <class Buffer, class Buffers>
  static Buffer first(const Buffers& all) noexcept {
    for (auto at = asio::buffer_sequence_begin(all); at != asio::buffer_sequence_end(all); ++at) {
      const Buffer one(*at);
      if (one.size() != 0) return one;
    }
    return {};
  }

  template <class Handler, class Buffers>
  void read(Handler handler, const Buffers& room) {
    const auto to = first<asio::mutable_buffer>(room);
    auto& op = handler_operation<Handler>::make(std::move(handler), *body_, to.size() != 0);
    if (to.size() == 0) return op.happens_later({}, 0);
    if (const std::size_t n = take_ahead(room); n != 0) return op.happens_later({}, n);
    op.hear_cancellation(*body_);
    body_->start_read({to.data(), to.size()}, op);
  }

  template <class Buffers>
  std::size_t take_ahead(const Buffers& room) {
    std::string& ahead = body_->ahead;
    const std::size_t n = asio::buffer_copy(room, asio::buffer(ahead) + body_->ahead_at);
    body_->drop_ahead(n);
    return n;
  }

  template <class Handler, class Buffers>
  void write(Handler handler, const Buffers& bytes) {
    auto from = first<asio::const_buffer>(bytes);
    auto& op = handler_operation<Handler>::make(std::move(handler), *body_, false);
    if (from.size() == 0) return op.happens_later({}, 0);
    // A head and a short body go out together, in one packet.
    std::array<std::byte, 4096> together;
    auto now = from;
    if (from.size() < together.size()) now = asio::buffer(together, asio::buffer_copy(asio::buffer(together), bytes));
    std::error_code error;
    const std::size_t n = body_->write_now({now.data(), now.size()}, error);
    if (n != 0 || error) return op.happens_later(error, n);
    op.hear_cancellation(*body_);
    body_->start_write({from.data(), from.size()}, op);
  }

  byte_stream_ptr body_;
};

}  // namespace tutti::io::detail
