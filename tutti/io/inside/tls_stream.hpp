// tls_stream: TLS as a byte_stream on top of another one.
//
// OpenSSL's engine does no input or output of its own: it takes what has come in from `in_`, and puts what is to go out
// into `out_`. Two operations of the stream beneath fill the one and empty the other, independently of each other, and
// a reader or writer is told when the engine has what it wants: so whoever gives up a read leaves the engine as it was.
// (Asio's ssl::stream ties both to the operation that needed them: a cancelled read may take half a record with it that
// was on its way out, and its shutdown waits for the peer's and fails on data that come before.)
#pragma once
#include <tutti/io/byte_stream.hpp>
#include <tutti/io/inside/tls_errors.hpp>
#include <tutti/io/tls.hpp>

#include <openssl/ssl.h>

#include <memory>
#include <string>

namespace tutti::io::detail {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};
using ssl_ptr = std::unique_ptr<::SSL, freed_by<::SSL_free>>;
using ssl_context_ptr = std::unique_ptr<::SSL_CTX, freed_by<::SSL_CTX_free>>;

/// A tls_context's.
struct tls_settings {
  ssl_context_ptr context;
  bool is_server = false;
  bool verify = true;
  std::string alpn;  ///< as it goes over the wire
};

/// Whose certificate is asked for, and taken if `verify`. Throws std::invalid_argument for what cannot be a name,
/// tls_error.
void expect_host(::SSL* ssl, std::string host, bool verify);

class tls_stream final : public byte_stream {
 public:
  /// `host`: the server's name, "" for a server. What `lower` has read ahead is the beginning of TLS. Throws tls_error,
  /// std::invalid_argument.
  tls_stream(byte_stream_ptr lower, std::string host, std::shared_ptr<const tls_settings> settings);

  /// Begins the conversation. Before all reads and writes; who->happened is told tls_category's errors.
  void start_handshake(operation& who) noexcept;
  /// The exception for what start_handshake told.
  [[nodiscard]] std::exception_ptr explain(std::error_code error) const noexcept;
  [[nodiscard]] tls_info info() const;

  void start_read(mutable_buffer room, operation& who) noexcept override;
  std::size_t read_now(mutable_buffer room, std::error_code& error) noexcept override;
  /// Nothing: only when all of a record has gone out can its bytes be told of, and the system may take it in part.
  std::size_t write_now(const_buffer, std::error_code&) noexcept override { return 0; }
  void start_write(const_buffer bytes, operation& who) noexcept override;
  void start_shutdown(operation& who) noexcept override;
  void end(operation& who) noexcept override;
  void close() noexcept override;
  void close_broken() noexcept override {
    farewell_said_ = true;  // without it the peer reads a truncation
    close();
  }

  std::string describe() const override;
  const endpoint& remote() const noexcept override { return lower_->remote(); }
  endpoint local() const noexcept override { return lower_->local(); }
  int descriptor() const noexcept override { return lower_->descriptor(); }
  bool is_quiet() noexcept override;

 private:
  /// One direction: who waits, and for what.
  struct direction {
    operation* who = nullptr;
    bool ending = false;  ///< early
    bool told = false;    ///< is about to be: posted
  };
  enum class step : std::uint8_t { handshake, read };
  enum class output : std::uint8_t { data, farewell };

  /// An operation of the stream beneath.
  template <void (tls_stream::*Then)(std::error_code, std::size_t) noexcept>
  class lower_operation final : public operation {
   public:
    explicit lower_operation(tls_stream& owner) noexcept : owner_(owner) {}
    ~lower_operation() = default;
    void begun() noexcept {
      under_way = true;
      owner_.begun();
    }
    void happened(std::error_code error, std::size_t bytes) noexcept override {
      under_way = false;
      tls_stream& owner = owner_;
      (owner.*Then)(error, bytes);
      owner.ended();
    }
    bool under_way = false;

   private:
    tls_stream& owner_;
  };

  ~tls_stream() override = default;
  void begin(direction& one, operation& who) noexcept;
  void finish(direction& one, std::error_code error, std::size_t bytes) noexcept;
  void finish_later(direction& one, std::error_code error, std::size_t bytes) noexcept;

  // What a reader, or the handshake, can do with what is there.
  void go_on_reading() noexcept;
  void shake_hands() noexcept;
  void read() noexcept;
  // The data that the engine has; `kind`: SSL_get_error's word for what came behind them.
  std::size_t take(mutable_buffer room, int& kind) noexcept;
  void want_input() noexcept;
  void start_input() noexcept;  // into in_, all of which the engine has seen
  void input_came(std::error_code error, std::size_t bytes) noexcept;
  // What a writer can do with the room that is there.
  void go_on_writing() noexcept;
  void wait_to_write(int result) noexcept;
  void send_out() noexcept;
  void output_went(std::error_code error, std::size_t bytes) noexcept;

  [[nodiscard]] bool all_out() const noexcept { return out_.empty() && sent_ == sending_.size(); }
  [[nodiscard]] std::error_code engine_error(int result) noexcept;

  // What OpenSSL calls.
  static ::BIO_METHOD* bio_method();
  static int give_input(::BIO* bio, char* to, int size);
  static int take_output(::BIO* bio, const char* from, int size);
  static long control(::BIO* bio, int command, long, void*);
  static int judge(int fine, ::X509_STORE_CTX* chain);

  const byte_stream_ptr lower_;
  const std::string host_;
  const std::shared_ptr<const tls_settings> settings_;
  ssl_ptr ssl_;
  bad_certificate bad_;  // the peer's, when it was refused

  std::string in_;  // from in_at_ to in_end_: came in, and the engine has not seen it
  std::size_t in_at_ = 0, in_end_ = 0;
  bool in_is_over_ = false;
  std::string out_;      // the engine's, to go out
  std::string sending_;  // taken from there, not to be moved: from sent_ on it is on its way
  std::size_t sent_ = 0;

  direction reader_, writer_;
  bool starting_ = false;  // inside a start_..., where nobody is told
  bool closed_ = false;
  // The reader's.
  step step_ = step::handshake;
  mutable_buffer room_;
  bool shaken_ = false;  // the handshake is through, but for its last words
  std::error_code read_failed_;
  // The writer's.
  output output_ = output::data;
  const_buffer bytes_;
  std::size_t taken_ = 0;  // of bytes_, by the engine
  bool farewell_said_ = false;
  std::error_code write_failed_;  // of what is beneath, or torn apart
  bool given_up_ = false;         // a write; what the engine writes by itself still goes out

  lower_operation<&tls_stream::input_came> lower_read_{*this};
  lower_operation<&tls_stream::output_went> lower_write_{*this};
};

}  // namespace tutti::io::detail
