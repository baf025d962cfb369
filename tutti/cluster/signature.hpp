// signature: a call of a task that has not been sent, and what is built from them: chains, groups and chords.
#pragma once
#include <tutti/cluster/arguments.hpp>
#include <tutti/cluster/async_result.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/send_options.hpp>

#include <concepts>
#include <memory>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster {

namespace detail {
struct canvas_node;

/// What was sent: one task's id, or a group's with those of its tasks.
struct sent_canvas {
  std::string id;
  std::vector<std::string> ids;
  bool is_group = false;
  std::vector<bool> ignored;          // of each of `ids`, or of `id`: nobody keeps its result
  std::vector<earlier_tasks> before;  // of each: those without which it never comes
};
}  // namespace detail

/// A task's name, arguments and options, as a value; or a chain, a group, a chord of others, nested at will. As JSON it
/// is what Celery calls a signature: it travels in messages, and each side runs what the other has made. Cheap to copy;
/// never changes.
class signature {
 public:
  /// A call of a task with these arguments; a result that is handed to it comes before them.
  template <class... A>
  explicit signature(std::string_view task, const A&... arguments)
      : signature(task, detail::encode_arguments(arguments...)) {}
  /// The same with arguments that are JSON already.
  signature(std::string_view task, detail::call_arguments arguments);
  /// From Celery's JSON. Throws decode_error.
  [[nodiscard]] static signature from_json(std::string_view text);
  /// As Celery's JSON.
  [[nodiscard]] std::string json() const;

  /// With other options; a countdown and an expiry that is a duration count from when it is sent. `id` and `where` are
  /// for apply_async, and std::invalid_argument here.
  [[nodiscard]] signature set(const send_options& options) const;
  /// With one more task that is called with the result. Throws std::invalid_argument for a group: use a chord.
  [[nodiscard]] signature link(const signature& callback) const;
  /// With one more task that is called, with the failed one's id, when it fails; of more than one task: when any does.
  [[nodiscard]] signature on_error(const signature& errback) const;
  /// One that takes no result of what runs before it.
  [[nodiscard]] signature immutable() const;

  /// Sends it; the arguments come before its own. Blocks for a round trip to the broker for each thousand tasks, and
  /// one to the result store for each chord; a broker_error in between leaves running what was sent. R is the result's
  /// type, of a group at the end a vector. Throws as send_task.
  template <class R = cluster::json, class... A>
  async_result<R> delay(const A&... arguments) const {
    return apply_async<R>({}, arguments...);
  }
  template <class R = cluster::json, class... A>
  async_result<R> apply_async(const send_options& options, const A&... arguments) const {
    const app where = detail::app_for(options);
    auto sent = send(where, options, detail::encode_arguments(arguments...));
    auto result = sent.is_group
                      ? result_access::parts<R>(where, std::move(sent.id), std::move(sent.ids), std::move(sent.ignored))
                      : result_access::task<R>(where, std::move(sent.id), name(), sent.ignored.front());
    result_access::fail_with(result, sent.before);
    return result;
  }

  /// One after the other: each is called with the result of the one before. A group with something behind it is a
  /// chord.
  friend signature operator|(const signature& first, const signature& next);

 protected:
  explicit signature(std::shared_ptr<const detail::canvas_node> node) : node_(std::move(node)) {}
  [[nodiscard]] detail::sent_canvas send(const app& where, const send_options& options,
                                         detail::call_arguments arguments) const;

 private:
  friend class canvas_access;
  [[nodiscard]] std::string name() const;

  std::shared_ptr<const detail::canvas_node> node_;
};

/// A range of signatures.
template <class R>
concept signature_range =
    std::ranges::input_range<R> && !std::same_as<std::remove_cvref_t<R>, std::vector<signature>> &&
    std::convertible_to<std::ranges::range_reference_t<R>, const signature&>;

/// Tasks that run at once; made by group().
class group_signature : public signature {
 public:
  /// Sends all, as signature::delay. An empty group is ready at once, with no results.
  template <class R = cluster::json, class... A>
  group_result<R> delay(const A&... arguments) const {
    return apply_async<R>({}, arguments...);
  }
  template <class R = cluster::json, class... A>
  group_result<R> apply_async(const send_options& options, const A&... arguments) const {
    const app where = detail::app_for(options);
    auto sent = send(where, options, detail::encode_arguments(arguments...));
    auto result = result_access::group<R>(where, std::move(sent.id), std::move(sent.ids), std::move(sent.ignored));
    result_access::fail_with(result, sent.before);
    return result;
  }

 private:
  friend class canvas_access;
  using signature::signature;
};

namespace detail {
template <signature_range R>
[[nodiscard]] std::vector<signature> to_vector(R&& tasks) {
  std::vector<signature> all;
  for (auto&& task : tasks) all.push_back(static_cast<const signature&>(task));
  return all;
}
}  // namespace detail

/// Tasks that run at once. In a group, a group's tasks are its own.
[[nodiscard]] group_signature group(const std::vector<signature>& tasks);
template <signature_range R>
[[nodiscard]] group_signature group(R&& tasks) {
  return group(detail::to_vector(tasks));
}
template <std::convertible_to<const signature&>... S>
[[nodiscard]] group_signature group(const S&... tasks) {
  return group(std::vector<signature>{static_cast<const signature&>(tasks)...});
}

/// Tasks one after the other, each called with the result of the one before. An empty one cannot be sent:
/// std::invalid_argument.
[[nodiscard]] signature chain(const std::vector<signature>& tasks);
template <signature_range R>
[[nodiscard]] signature chain(R&& tasks) {
  return chain(detail::to_vector(tasks));
}
template <std::convertible_to<const signature&>... S>
[[nodiscard]] signature chain(const S&... tasks) {
  return chain(std::vector<signature>{static_cast<const signature&>(tasks)...});
}

/// `body` is called with the results of the header's tasks, in order, when all have ended well. An empty header gives
/// it an empty list.
[[nodiscard]] signature chord(const std::vector<signature>& header, const signature& body);
template <std::same_as<group_signature> G>
[[nodiscard]] signature chord(const G& header, const signature& body) {
  return chord(std::vector<signature>{header}, body);
}

}  // namespace tutti::cluster
