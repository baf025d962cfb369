#include <tutti/io/inside/reactor.hpp>
#include <tutti/io/inside/tls_stream.hpp>

#include <fmt/format.h>

#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <boost/asio/post.hpp>

namespace tutti::io::detail {
namespace {

constexpr std::size_t record = 17 * 1024;      // the longest has 16 KiB and what belongs to it
constexpr std::size_t write_at_once = 65536;   // so many bytes go out in one piece
constexpr std::size_t most_answers = 1 << 17;  // to what a peer asks for that does not take them

}  // namespace

// ---------------------------------------------------------------- what OpenSSL calls

int tls_stream::give_input(::BIO* bio, char* to, int size) {
  auto& self = *static_cast<tls_stream*>(::BIO_get_data(bio));
  ::BIO_clear_retry_flags(bio);
  const std::size_t n = std::min(self.in_end_ - self.in_at_, static_cast<std::size_t>(std::max(size, 0)));
  if (n == 0) {
    if (self.in_is_over_) return 0;
    ::BIO_set_retry_read(bio);
    return -1;
  }
  std::memcpy(to, self.in_.data() + self.in_at_, n);
  self.in_at_ += n;
  return static_cast<int>(n);
}

int tls_stream::take_output(::BIO* bio, const char* from, int size) {
  auto& self = *static_cast<tls_stream*>(::BIO_get_data(bio));
  ::BIO_clear_retry_flags(bio);
  try {
    self.out_.append(from, static_cast<std::size_t>(std::max(size, 0)));
    return size;
  } catch (...) {  // no memory
    return -1;
  }
}

long tls_stream::control(::BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) {
    const auto& self = *static_cast<tls_stream*>(::BIO_get_data(bio));
    return self.in_is_over_ && self.in_at_ == self.in_end_ ? 1 : 0;
  }
  return 0;
}

::BIO_METHOD* tls_stream::bio_method() {
  static ::BIO_METHOD* const only = [] {
    ::BIO_METHOD* const made = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tutti stream");
    if (made == nullptr) return made;
    ::BIO_meth_set_read(made, &tls_stream::give_input);
    ::BIO_meth_set_write(made, &tls_stream::take_output);
    ::BIO_meth_set_ctrl(made, &tls_stream::control);
    return made;
  }();
  return only;
}

int tls_stream::judge(int fine, ::X509_STORE_CTX* chain) {
  auto* const ssl = static_cast<::SSL*>(::X509_STORE_CTX_get_ex_data(chain, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& self = *static_cast<tls_stream*>(SSL_get_app_data(ssl));
  if (fine == 1 || !self.settings_->verify) return 1;
  try {
    self.bad_ = what_is_bad(chain);
  } catch (...) {  // no memory: refused all the same
    self.bad_.reason = X509_V_ERR_OUT_OF_MEM;
  }
  return 0;
}

// ---------------------------------------------------------------- begin and end

tls_stream::tls_stream(byte_stream_ptr lower, std::string host, std::shared_ptr<const tls_settings> settings)
    : byte_stream(lower->where()),
      lower_(std::move(lower)),
      host_(std::move(host)),
      settings_(std::move(settings)),
      ssl_(::SSL_new(settings_->context.get())) {
  ::BIO* const bio = bio_method() == nullptr ? nullptr : ::BIO_new(bio_method());
  if (ssl_ == nullptr || bio == nullptr) {
    ::BIO_free(bio);
    throw tls_error("TLS with " + lower_->describe() + ": " + openssl_words());
  }
  ::BIO_set_data(bio, this);
  ::BIO_set_init(bio, 1);
  ::SSL_set_bio(ssl_.get(), bio, bio);  // owns it
  SSL_set_app_data(ssl_.get(), this);
  ::SSL_set_verify(ssl_.get(), ::SSL_get_verify_mode(ssl_.get()), &tls_stream::judge);
  if (settings_->is_server) {
    ::SSL_set_accept_state(ssl_.get());
  } else {
    ::SSL_set_connect_state(ssl_.get());
    expect_host(ssl_.get(), host_, settings_->verify);
  }
  in_ = lower_->ahead.substr(lower_->ahead_at);
  in_end_ = in_.size();
  std::string().swap(lower_->ahead);
  lower_->ahead_at = 0;
}

void tls_stream::begin(direction& one, operation& who) noexcept {
  begun();
  one = {&who, false, false};
}

// The last thing that is done with a direction: whoever is told may begin anew.
void tls_stream::finish(direction& one, std::error_code error, std::size_t bytes) noexcept {
  if (starting_) return finish_later(one, error, bytes);
  std::exchange(one.who, nullptr)->happened(error, bytes);
  ended();  // not the last: whoever calls this has begun something, too
}

void tls_stream::finish_later(direction& one, std::error_code error, std::size_t bytes) noexcept {
  one.told = true;
  asio::post(reactor::of(where()).context(),
             operation_handler(*one.who, [this, &one, error, bytes](operation& who, const auto&, std::size_t) {
               one.who = nullptr;
               who.happened(error, bytes);
               ended();
             }));
}

void tls_stream::start_handshake(operation& who) noexcept {
  begin(reader_, who);
  starting_ = true;
  go_on_reading();
  starting_ = false;
}

void tls_stream::start_read(mutable_buffer room, operation& who) noexcept {
  begin(reader_, who);
  room_ = room;
  starting_ = true;
  go_on_reading();
  starting_ = false;
}

void tls_stream::start_write(const_buffer bytes, operation& who) noexcept {
  begin(writer_, who);
  output_ = output::data;
  bytes_ = bytes;
  taken_ = 0;
  starting_ = true;
  go_on_writing();
  starting_ = false;
}

void tls_stream::start_shutdown(operation& who) noexcept {
  begin(writer_, who);
  output_ = output::farewell;
  starting_ = true;
  go_on_writing();
  starting_ = false;
}

void tls_stream::end(operation& who) noexcept {
  const auto canceled = std::make_error_code(std::errc::operation_canceled);
  if (reader_.who == &who && !reader_.told) {
    reader_.ending = true;
    if (lower_read_.under_way) return lower_->end(lower_read_);
    finish_later(reader_, canceled, 0);
  }
  if (writer_.who == &who && writer_.told && output_ == output::data && taken_ != bytes_.size())
    given_up_ = true;  // a part has gone out
  if (writer_.who == &who && !writer_.told) {
    writer_.ending = true;
    const bool is_its_own = output_ == output::data ? taken_ != 0 : farewell_said_;
    if (is_its_own && lower_write_.under_way) return lower_->end(lower_write_);
    // What is on its way is the engine's: an answer to the peer, which is not to be torn apart.
    given_up_ = given_up_ || output_ == output::data;
    finish_later(writer_, canceled, 0);
  }
}

void tls_stream::close() noexcept {
  if (std::exchange(closed_, true)) return;
  // The peer should know that this was all; but nobody waits for that here.
  if (shaken_ && !read_failed_ && !write_failed_ && !given_up_ && all_out() && writer_.who == nullptr &&
      behind.empty() && !std::exchange(farewell_said_, true)) {
    ::ERR_clear_error();
    ::SSL_shutdown(ssl_.get());
    ::ERR_clear_error();
    std::error_code ignored;
    if (!out_.empty()) lower_->write_now(out_, ignored);
  }
  lower_->close();
  const auto error = std::make_error_code(std::errc::bad_file_descriptor);
  if (reader_.who != nullptr && !reader_.told && !lower_read_.under_way) finish_later(reader_, error, 0);
  if (writer_.who != nullptr && !writer_.told && !lower_write_.under_way) finish_later(writer_, error, 0);
}

// ---------------------------------------------------------------- reading

std::error_code tls_stream::engine_error(int result) noexcept {
  const int kind = ::SSL_get_error(ssl_.get(), result);
  if (kind != SSL_ERROR_SSL && kind != SSL_ERROR_SYSCALL) return make_error(tls_fault::unknown);
  const unsigned long first = ::ERR_peek_error();
  if (in_is_over_ && (first == 0 || (ERR_GET_LIB(first) == ERR_LIB_SSL &&
                                     ERR_GET_REASON(first) == SSL_R_UNEXPECTED_EOF_WHILE_READING))) {
    ::ERR_clear_error();
    return make_error(tls_fault::truncated);
  }
  return take_openssl_error();
}

void tls_stream::go_on_reading() noexcept {
  if (reader_.who == nullptr || reader_.told) return;
  if (closed_) return finish(reader_, std::make_error_code(std::errc::bad_file_descriptor), 0);
  if (read_failed_) return finish(reader_, read_failed_, 0);
  if (step_ == step::handshake) return shake_hands();
  read();
}

void tls_stream::shake_hands() noexcept {
  if (!shaken_) {
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(ssl_.get());
    shaken_ = result == 1;
    if (!shaken_ && ::SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) {
      send_out();
      return want_input();
    }
    if (!shaken_) read_failed_ = engine_error(result);
    send_out();  // its last words: that it is through, or an alert
    if (read_failed_) return finish(reader_, read_failed_, 0);
  }
  if (all_out() || write_failed_) {
    step_ = step::read;
    finish(reader_, write_failed_, 0);
  }
}

std::size_t tls_stream::take(mutable_buffer room, int& kind) noexcept {
  std::size_t done = 0;
  int result = 1;
  ::ERR_clear_error();
  while (result == 1 && done != room.size()) {
    std::size_t n = 0;
    result = ::SSL_read_ex(ssl_.get(), room.data() + done, room.size() - done, &n);
    done += n;
  }
  kind = result == 1 ? SSL_ERROR_NONE : ::SSL_get_error(ssl_.get(), result);
  if (kind == SSL_ERROR_NONE || kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_ZERO_RETURN) {
    ::ERR_clear_error();
  } else {
    read_failed_ = engine_error(result);
  }
  send_out();  // answers to what is not data
  return done;
}

void tls_stream::read() noexcept {
  int kind = 0;
  const std::size_t n = take(room_, kind);
  if (n != 0 || kind == SSL_ERROR_ZERO_RETURN || kind == SSL_ERROR_NONE) return finish(reader_, {}, n);
  if (read_failed_) return finish(reader_, read_failed_, 0);
  want_input();
}

std::size_t tls_stream::read_now(mutable_buffer room, std::error_code&) noexcept {
  if (closed_ || step_ == step::handshake || read_failed_ || reader_.who != nullptr) return 0;
  if (lower_read_.under_way) return 0;  // for a writer: in_ is that read's
  if (in_at_ == in_end_ && ::SSL_pending(ssl_.get()) == 0) {
    if (in_.size() != record) in_.assign(record, '\0');
    in_at_ = 0;
    in_end_ = lower_->read_now(in_, read_failed_);
    if (in_end_ == 0) return 0;
  }
  int kind = 0;
  return take(room, kind);  // what else there is to be told, start_read tells
}

// What lies there may be for TLS alone, as the tickets for later sessions that a server sends.
bool tls_stream::is_quiet() noexcept {
  if (closed_ || step_ == step::handshake || read_failed_ || reader_.who != nullptr) return false;
  if (lower_read_.under_way) return false;  // in_ is that read's
  for (;;) {
    if (in_at_ == in_end_ && ::SSL_pending(ssl_.get()) == 0) {
      if (lower_->is_quiet()) return ::SSL_has_pending(ssl_.get()) == 0;  // no part of a record either
      if (in_.size() != record) in_.assign(record, '\0');
      in_at_ = 0;
      in_end_ = lower_->read_now(in_, read_failed_);
      if (in_end_ == 0) return false;  // its end
    }
    char next = 0;
    int kind = 0;
    if (take(mutable_buffer(&next, 1), kind) != 0 || kind != SSL_ERROR_WANT_READ) return false;
  }
}

void tls_stream::want_input() noexcept {
  if (reader_.ending) return finish(reader_, std::make_error_code(std::errc::operation_canceled), 0);
  // A peer that asks on and on, and does not take the answers, waits until it does.
  if (out_.size() + sending_.size() - sent_ > most_answers && !write_failed_) return;
  start_input();
}

void tls_stream::start_input() noexcept {
  if (lower_read_.under_way) return;
  if (in_.size() != record) in_.assign(record, '\0');
  in_at_ = in_end_ = 0;
  lower_read_.begun();
  lower_->start_read(in_, lower_read_);
}

void tls_stream::input_came(std::error_code error, std::size_t bytes) noexcept {
  if (error && error != std::errc::operation_canceled) {
    read_failed_ = error;
  } else if (!error) {
    in_end_ = bytes;
    in_is_over_ = bytes == 0;
  }
  go_on_reading();
  go_on_writing();  // who waits for the rest of a message
}

// ---------------------------------------------------------------- writing

void tls_stream::go_on_writing() noexcept {
  if (writer_.who == nullptr || writer_.told) return;
  if (closed_) return finish(writer_, std::make_error_code(std::errc::bad_file_descriptor), 0);
  if (given_up_) return finish(writer_, make_error(tls_fault::write_given_up), 0);
  if (write_failed_) {
    given_up_ = write_failed_ == std::errc::operation_canceled;  // in the middle of a record
    return finish(writer_, write_failed_, 0);
  }
  if (!all_out()) return;
  if (output_ == output::data) {
    if (taken_ == 0 && farewell_said_) return finish(writer_, {EPIPE, std::system_category()}, 0);
    if (taken_ == 0 && !bytes_.empty()) {
      ::ERR_clear_error();
      out_.reserve(std::min(bytes_.size(), write_at_once) + 512);  // so much for what belongs to records
      const int result = ::SSL_write_ex(ssl_.get(), bytes_.data(), std::min(bytes_.size(), write_at_once), &taken_);
      if (result != 1) return wait_to_write(result);
    }
  } else if (!farewell_said_) {
    ::ERR_clear_error();
    const int result = ::SSL_in_init(ssl_.get()) != 0 ? ::SSL_do_handshake(ssl_.get()) : 1;
    if (result != 1) return wait_to_write(result);
    farewell_said_ = true;
    ::SSL_shutdown(ssl_.get());  // fails only after an error, which who reads is told
    ::ERR_clear_error();
  }
  send_out();
  if (write_failed_) return finish(writer_, write_failed_, 0);
  if (!all_out()) return;
  const std::size_t n = output_ == output::data ? taken_ : 0;
  given_up_ = writer_.ending && output_ == output::data && n != bytes_.size();
  finish(writer_, {}, n);
}

// The engine has refused. When a message of the peer's that is no data (tickets, say) is there in part, it writes
// nothing before it has read the rest, and perhaps nobody reads.
void tls_stream::wait_to_write(int result) noexcept {
  taken_ = 0;
  if (::SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ && !read_failed_) {
    send_out();
    if (!write_failed_) return start_input();
  }
  if (!write_failed_) write_failed_ = read_failed_ ? read_failed_ : engine_error(result);
  finish(writer_, write_failed_, 0);
}

void tls_stream::send_out() noexcept {
  if (lower_write_.under_way || closed_) return;
  while (!all_out() && !write_failed_) {
    if (sent_ == sending_.size()) {
      sending_.clear();
      sending_.swap(out_);
      sent_ = 0;
    }
    const const_buffer rest = const_buffer(sending_).behind(sent_);
    const std::size_t n = lower_->write_now(rest, write_failed_);
    sent_ += n;
    if (n != 0 || write_failed_) continue;
    lower_write_.begun();
    return lower_->start_write(rest, lower_write_);
  }
  // Who writes little keeps the memory for it, and no more.
  if (sending_.capacity() > record) std::string().swap(sending_);
  if (out_.capacity() > record) std::string().swap(out_);
  sending_.clear();
  out_.clear();
  sent_ = 0;
}

void tls_stream::output_went(std::error_code error, std::size_t bytes) noexcept {
  if (error) {
    write_failed_ = error;
  } else {
    sent_ += bytes;
    send_out();
  }
  // A write that is given up in the middle leaves half a record.
  if (writer_.ending && writer_.who != nullptr && !writer_.told && !write_failed_ && !all_out()) {
    lower_->end(lower_write_);
    return;
  }
  go_on_writing();
  if (!lower_read_.under_way) go_on_reading();
}

}  // namespace tutti::io::detail
