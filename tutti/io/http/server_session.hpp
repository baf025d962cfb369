// server_session: one connection of a server, from its first request to its end.
#pragma once
#include <tutti/io/http/connection.hpp>
#include <tutti/io/http/server.hpp>

#include <exception>
#include <memory>
#include <stop_token>

namespace tutti::io::http::detail {

/// What the connections of one server share.
struct server_state {
  std::shared_ptr<const route_table> table;
  serve_options options;
  std::stop_token quit;
  connection_wrapper wrap;
};

/// Answers the requests that come from `s`. Throws what ends the connection before its time.
task<> serve_connection(stream s, std::shared_ptr<const server_state> all);

/// The read of a connection that waits for a request, if one does: whoever asks the server to stop has it ended, but
/// not what it has got by then. The loop's thread's.
struct idle_note {
  io::detail::byte_stream* from = nullptr;
  io::detail::operation* waiting = nullptr;
  bool was_ended = false;

  void end() noexcept {
    if (waiting == nullptr) return;
    was_ended = true;
    from->end(*waiting);
  }
};

class session {
 public:
  session(stream s, const server_state& all, idle_note& idle);
  task<> run();
  /// After what run has thrown: the peer is not to take it for the end of an answer.
  void break_off() noexcept { wire_.break_off(until_the_end_); }

 private:
  enum class arrival : std::uint8_t { here, more, gone, refused };
  // From what has arrived already.
  arrival look_for_head();
  task<arrival> await_head();
  // Says why, and ends the connection.
  task<> refuse(int status);
  response missing(const route_table::found& found) const;
  response failed_answer(const std::exception_ptr& failed);
  void report(const std::exception_ptr& failed) const;
  // What an answer may not be: an interim one, which the next would be taken for the rest of.
  void check(response& answer) const;
  // Another protocol goes on behind the request: true when it is over.
  task<bool> hand_over(response& answer);
  // Deals with what the handler has left of the body.
  task<> finish_body();
  // The head, and the body if it is in memory and small; true when there is more to be sent.
  bool put(const response& answer);
  task<> send_rest(const response& answer);

  const server_state& all_;
  idle_note& idle_;
  connection wire_;
  request asked_;
  int refused_ = 0;
  // What becomes of the connection after this answer: it ends, and that while the peer may still send.
  bool ends_ = false, lingers_ = false;
  bool chunked_ = false, until_the_end_ = false;  // the answer's body
};

}  // namespace tutti::io::http::detail
