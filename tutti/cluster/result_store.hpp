// result_store: where results wait for who asked, and where the parts of chords are counted.
#pragma once
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/url.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// What is to be kept for a task: `text` is the JSON object that Celery keeps (result_text.hpp).
struct stored_result {
  std::string id;
  std::string text;
  std::chrono::seconds expires{86400};  ///< 0: never; see kept_for()
  bool is_success = false;              ///< a success that is there is replaced by nothing else than another one
  bool is_passing = false;              ///< a state on the way: it replaces no success, failure or revocation

  /// `expires` as all stores take it: clocks do not reach much further than a hundred years. 0: for ever.
  [[nodiscard]] std::chrono::seconds kept_for() const noexcept {
    return std::clamp<std::chrono::seconds>(expires, std::chrono::seconds(0), std::chrono::hours(24) * 365 * 100);
  }
};

/// The parts of a chord that is complete, in the order of its header.
using chord_parts = std::vector<std::string>;

/// Hears of results. next() is for one thread, the others for any.
class result_watch {
 public:
  virtual ~result_watch() = default;
  /// From now on results of these tasks are heard of, also what is stored already.
  virtual void add(std::span<const std::string> ids) = 0;
  virtual void remove(std::span<const std::string> ids) = 0;
  /// Results (id, text) that came; waits up to `patience` for the first one. One may come twice, and states on the way
  /// (STARTED, progress) may come or be left out. Empty when the time is up or wake() came. Reconnects by itself and
  /// misses nothing that is still stored.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> next(std::chrono::nanoseconds patience) = 0;
  virtual void wake() noexcept = 0;
};

/// A result store that can be reached: thread-safe, made by open_result_store. All members throw broker_error when
/// `patience` is over.
class result_store {
 public:
  virtual ~result_store() = default;

  /// Keeps all of them, and tells who watches.
  virtual void store(std::span<const stored_result> results) = 0;
  /// What is kept for each; nothing when nothing is.
  [[nodiscard]] virtual std::vector<std::optional<std::string>> fetch(std::span<const std::string> ids) = 0;
  /// Drops what is kept.
  virtual void forget(std::span<const std::string> ids) = 0;
  [[nodiscard]] virtual std::unique_ptr<result_watch> watch() = 0;

  /// A chord of `size` parts begins; its parts may have come already.
  virtual void begin_chord(const std::string& group, std::int64_t size) = 0;
  /// A part has ended: `text` is its JSON `[1, id, state, result]`. The same task's part counts once, whoever sends it
  /// again; a success that is there stays. All parts when this completes the chord, also when the same task says so
  /// again; nothing before, for another task then, and after end_chord.
  [[nodiscard]] virtual std::optional<chord_parts> add_chord_part(const std::string& group, std::int64_t index,
                                                                  const std::string& id, const std::string& text) = 0;
  /// Forgets the parts, once the chord's body was sent.
  virtual void end_chord(const std::string& group) = 0;

  /// Where it is, without a password.
  [[nodiscard]] virtual std::string name() const = 0;
};

/// The store at `where`, which may be the broker's URL. Those of one process with the same URL "memory://NAME" are one.
/// Throws bad_spec for a scheme that no store has.
[[nodiscard]] std::shared_ptr<result_store> open_result_store(const broker_url& where,
                                                              const broker_options& options = {});

}  // namespace tutti::cluster
