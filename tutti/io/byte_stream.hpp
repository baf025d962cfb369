// byte_stream: what a stream reads from and writes to: a descriptor, or TLS on top of another stream.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/call.hpp>
#include <tutti/io/buffers.hpp>
#include <tutti/io/endpoint.hpp>
#include <tutti/io/operation.hpp>

#include <memory>
#include <string>
#include <utility>

namespace tutti::io::detail {

class loop_notes;

/// Two directions, each with one operation under way at most. All calls on the thread of its loop. An operation's
/// `happened` is never called inside the call that begins or ends it.
class byte_stream {
 public:
  byte_stream(const byte_stream&) = delete;
  byte_stream& operator=(const byte_stream&) = delete;

  /// Reads some bytes, at least one, into `room`; tells 0 bytes, without an error, at the end. A descriptor's only: an
  /// empty `room` waits until there is something to be read, or accepted, and leaves it there.
  virtual void start_read(mutable_buffer room, operation& who) noexcept = 0;
  /// Reads what is there without waiting, at least one byte; 0: nothing is known to be there, `start_read` may tell
  /// more.
  virtual std::size_t read_now(mutable_buffer /*room*/, std::error_code& /*error*/) noexcept { return 0; }
  /// Writes what goes out without waiting, perhaps nothing; the number of bytes.
  virtual std::size_t write_now(const_buffer bytes, std::error_code& error) noexcept = 0;
  /// Writes some of `bytes`, and tells how many. A descriptor's only: no bytes wait until some could be written.
  virtual void start_write(const_buffer bytes, operation& who) noexcept = 0;
  /// Whether a write that was ended early, of which nothing was told, may be begun once more.
  virtual bool may_be_tried_again() const noexcept { return false; }
  /// Tells the peer that nothing more will be written; what was written arrives before that.
  virtual void start_shutdown(operation& who) noexcept = 0;
  /// Ends that operation early, if it is under way.
  virtual void end(operation& who) noexcept = 0;
  /// Ends all operations, with errc::bad_file_descriptor, and lets go of what it has. Again: nothing.
  virtual void close() noexcept = 0;
  /// The same where the peer is not to take it for the end of what was to be said, as far as there are words for that.
  virtual void close_broken() noexcept { close(); }

  /// What to call it in errors: "127.0.0.1:80", "a pipe".
  virtual std::string describe() const = 0;
  /// The peer's place, none if it has none.
  virtual const endpoint& remote() const noexcept = 0;
  virtual endpoint local() const noexcept = 0;
  /// The descriptor beneath, -1 when closed.
  virtual int descriptor() const noexcept = 0;
  const loop_notes& where() const noexcept { return where_; }
  /// Whether the peer has said nothing yet that is still to be read: no byte, no end, no error. False: it is of no more
  /// use than to be closed, for a byte may have been lost. While nobody reads.
  virtual bool is_quiet() noexcept = 0;

  /// What a stream keeps with it.
  std::string ahead;  ///< what was read and not yet asked for, from `ahead_at` on
  std::size_t ahead_at = 0;
  /// So much of it was asked for. An idle stream keeps no memory for what it has read.
  void drop_ahead(std::size_t bytes) noexcept {
    ahead_at += bytes;
    if (ahead_at != ahead.size()) return;
    ahead_at = 0;
    std::string().swap(ahead);
  }
  std::string behind;                        ///< what was to be written and is kept to be written with more
  std::size_t behind_limit = 0;              ///< how much of that there may be
  bool is_read = false, is_written = false;  ///< by a coroutine that waits

  /// While somebody is about to use it, this object is there, whatever becomes of the stream.
  void pin() noexcept { begun(); }
  void unpin() noexcept { ended(); }
  /// Its stream is gone, and it is closed.
  bool is_disposed() const noexcept { return disposed_; }

  /// Closes it, on its loop's thread whatever this one is, and frees it when no operation is under way any more.
  void dispose() noexcept;

 protected:
  /// `where`: of its loop; lives as long as this.
  explicit byte_stream(const loop_notes& where) noexcept : where_(where) {}
  virtual ~byte_stream() = default;

  // Operations under way, whose handlers refer to this object: it lives as long.
  void begun() noexcept { ++under_way_; }
  // The last thing that a handler does: nothing of this object may be used afterwards.
  void ended() noexcept {
    if (--under_way_ == 0 && disposed_) delete this;
  }

 private:
  struct disposal final : call_node {
    explicit disposal(byte_stream& s) noexcept : body(s) {}
    void run() noexcept override { body.dispose_here(); }
    void abandon(std::exception_ptr) noexcept override { body.dispose_here(); }
    byte_stream& body;
  };
  void dispose_here() noexcept;

  const loop_notes& where_;
  int under_way_ = 0;
  bool disposed_ = false;
  disposal disposal_{*this};
};

/// The same one. Throws std::logic_error unless this code runs on its loop, before anything is counted there; `what`:
/// who asks.
byte_stream& only_here(const char* what, byte_stream& s);

/// Pins one while it lives: for coroutines that use it after a wait. Made on its loop's thread, and used up there.
class pinned {
 public:
  pinned(const char* what, byte_stream& s) : pinned(only_here(what, s)) {}
  explicit pinned(byte_stream& s) noexcept : body_(&s) { s.pin(); }
  pinned(pinned&& other) noexcept : body_(std::exchange(other.body_, nullptr)) {}
  pinned& operator=(pinned&&) = delete;
  ~pinned() {
    if (body_ != nullptr) body_->unpin();
  }
  byte_stream& operator*() const noexcept { return *body_; }
  byte_stream* operator->() const noexcept { return body_; }
  byte_stream* get() const noexcept { return body_; }

 private:
  byte_stream* body_;
};

struct dispose_of_stream {
  void operator()(byte_stream* s) const noexcept { s->dispose(); }
};
using byte_stream_ptr = std::unique_ptr<byte_stream, dispose_of_stream>;

/// A descriptor that can be waited for: a socket, a pipe, a terminal. `remote`: the peer, for sockets. Throws os_error
/// when it cannot, as a file; std::logic_error off a loop.
byte_stream_ptr make_descriptor_stream(unique_fd fd, const endpoint& remote, const char* what);

}  // namespace tutti::io::detail
