// broker: where tasks wait between those who send and those who run them.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/url.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

/// The broker, or the store, is there and will never take this one: a text is too long for it, a key of its belongs to
/// something else, or its user may not write there.
struct broker_refusal : broker_error {
  using broker_error::broker_error;
};

/// A message on its way to a queue.
struct outgoing_message {
  std::string queue;
  std::string text;                   ///< encode_message()
  std::optional<int> priority = {};   ///< 0 to 9, bigger is sooner; absent: soonest
  std::optional<wall_time> due = {};  ///< not to be handed out before; on Redis, where Celery's workers take messages
                                      ///< too, only what settle() sends to the consumer's own queues waits so
};

/// How many messages are sent in one step, which keeps all others waiting, and of how many bytes together; one alone
/// may be longer.
inline constexpr std::size_t most_sent_at_once = 1000, most_bytes_sent_at_once = 4 << 20;

/// A message that a consumer holds, until it is settled.
struct delivery {
  std::string tag;    ///< names it to settle()
  std::string queue;  ///< where it was
  std::string text;
  std::optional<int> priority = {};
  int returned = 0;  ///< how often a worker that had it has died
};

/// What becomes of a message that is held.
struct settlement {
  std::string tag;
  bool give_back = false;                     ///< to the front of its queue, for anybody; else it is done with
  std::vector<outgoing_message> follow = {};  ///< sent in the same step: all or nothing of this settlement happens
};

/// What became of a settlement.
enum class settle_end : unsigned char {
  done,     ///< it was carried out
  gone,     ///< the message was not held any more: it was settled before, or others have it; what follows was not sent
  unknown,  ///< one of the two: an answer was lost
};

/// How a broker's clients behave.
struct broker_options {
  std::chrono::milliseconds lease{5000};     ///< a consumer not heard of for so long is dead, and what it held returns
  std::chrono::milliseconds patience{5000};  ///< publish() and others try so long before they throw broker_error
};

/// Takes messages from some queues; what it was given stays its own while it lives, as its lease is renewed on a thread
/// of the broker's. receive() is for one thread; wake() and settle() for any. It reconnects for ever, with backoff, and
/// never throws because of that. Destroyed, it gives back what it still holds.
class consumer {
 public:
  virtual ~consumer() = default;

  /// Up to `most` messages, sooner ones first; waits up to `patience` for the first one. Returns empty-handed when the
  /// time is up, after wake(), and while the broker cannot be reached.
  [[nodiscard]] virtual std::vector<delivery> receive(std::size_t most, std::chrono::nanoseconds patience) = 0;
  /// Ends a receive() that waits, or the next one.
  virtual void wake() noexcept = 0;
  /// Carries all of them out, in order, each as a whole. Blocks, for as long as the broker is away; after stop() it
  /// throws broker_error when one attempt fails; and broker_refusal when one is refused for good, which the others may
  /// have been carried out without. Doing it twice does no harm, nor when the message was given to somebody else
  /// meanwhile: then what follows is not sent. What became of each.
  virtual std::vector<settle_end> settle(std::span<const settlement> settled) = 0;
  /// Whether a message that was received, and not settled, is still held: others have it when the lease has ended, as
  /// that of a process that was stopped for long. Asks the broker, and blocks for that, only after such a time; true
  /// while it cannot be reached.
  [[nodiscard]] virtual bool holds(const std::string& tag) = 0;
  /// Nobody waits for the broker any more: settle() and the destructor try once at most.
  virtual void stop() noexcept = 0;
  /// Whether the broker could be reached when last tried.
  [[nodiscard]] virtual bool connected() const noexcept = 0;
  /// More queues, or fewer, from the next receive() on. For any thread.
  virtual void set_queues(std::vector<std::string> queues) = 0;
};

/// Hears what is sent to a channel of broadcasts, or answers. For one thread; wake() for any.
class listener {
 public:
  virtual ~listener() = default;
  /// The next text; nothing when the time is up or wake() came. Reconnects by itself. Throws broker_error when the
  /// broker refuses; may be called again.
  [[nodiscard]] virtual std::optional<std::string> receive(std::chrono::nanoseconds patience) = 0;
  virtual void wake() noexcept = 0;
  /// Whether some broadcasts may have been missed since this was last asked, as the connection broke or this process
  /// stood still; receive() returns then, with or without a text.
  [[nodiscard]] virtual bool has_missed() noexcept { return false; }
};

/// What a broker knows of a queue.
struct queue_info {
  std::string name;
  std::uint64_t waiting = 0;  ///< can be had now
  std::uint64_t held = 0;     ///< by workers of tutti
  std::uint64_t delayed = 0;  ///< not due yet
};

/// A broker that can be reached: thread-safe, made by open_broker. All members but those of consumers and listeners
/// throw broker_error when `patience` is over; it names the broker without its password.
class broker {
 public:
  virtual ~broker() = default;

  /// Sends all of them: they are with the broker when it returns. Redis takes some 1000 in one step, a file 10,000, or
  /// 4 MB, and the rest in the next ones, between which others get their turn; when this throws, none of the step that
  /// failed is there, and those before it are. Each is there once, even when the connection broke meanwhile and it was
  /// tried again; a broker that dies may have lost or kept some when this throws.
  virtual void publish(std::span<const outgoing_message> messages) = 0;
  /// `name`: of the worker, for people; `queues` in the order in which they are looked at.
  [[nodiscard]] virtual std::unique_ptr<consumer> consume(const std::string& name, std::vector<std::string> queues) = 0;

  /// The named queues, or all that are known. For people: many are counted in steps, a moment apart.
  [[nodiscard]] virtual std::vector<queue_info> queues(std::span<const std::string> names) = 0;
  /// Up to `most` texts that wait in a queue, sooner ones first, which stay there: for people.
  [[nodiscard]] virtual std::vector<std::string> peek(const std::string& queue, std::size_t most) = 0;
  /// Drops what waits in a queue, delayed ones too, not what is held. How many that was.
  virtual std::uint64_t purge(const std::string& queue) = 0;

  /// Sends to all that listen at this moment. Channels of Celery: "celery.pidbox", and "celeryev/worker.heartbeat".
  virtual void broadcast(const std::string& channel, const std::string& text) = 0;
  /// Hears broadcasts from now on; a `*` at the end of the channel stands for anything.
  [[nodiscard]] virtual std::unique_ptr<listener> listen(const std::string& channel) = 0;
  /// Sends to who asked: `exchange` and `routing_key` are what the question named.
  virtual void answer(const std::string& exchange, const std::string& routing_key, const std::string& text) = 0;
  /// Hears what is answered to `routing_key` at the exchange "reply.celery.pidbox".
  [[nodiscard]] virtual std::unique_ptr<listener> answers(const std::string& routing_key) = 0;

  /// Where it is, without a password.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Whether messages survive the end of this process, so that other processes can take part.
  [[nodiscard]] virtual bool is_shared() const noexcept = 0;
};

/// The broker at `where`. Connects when it is first used. Those of one process with the same URL "memory://NAME" are
/// one. Throws bad_spec for a scheme that no broker has.
[[nodiscard]] std::shared_ptr<broker> open_broker(const broker_url& where, const broker_options& options = {});

}  // namespace tutti::cluster
