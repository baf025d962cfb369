// routes: which handler answers which request.
#pragma once
#include <tutti/io/http/message.hpp>
#include <tutti/task/task.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace tutti::io::http {

namespace detail {

/// A handler that answers at once, or one that awaits something.
using plain_handler = std::function<response(request&)>;
using task_handler = std::function<task<response>(request&)>;
using handler = std::variant<plain_handler, task_handler>;

template <class H>
concept gives_task = std::is_invocable_r_v<task<response>, H&, request&>;
template <class H>
concept gives_response = !gives_task<H> && std::is_invocable_r_v<response, H&, request&>;

/// The patterns as a tree of segments.
class route_table {
 public:
  route_table();
  ~route_table();
  /// `method` "": all. Throws std::invalid_argument for a bad pattern, and one that is there already.
  void add(std::string_view method, std::string_view pattern, handler what);

  struct found {
    const handler* what = nullptr;
    bool path_known = false;
    std::string allow;  ///< the methods of a known path, when there is no handler
  };
  /// Sets what the request has in its path, too.
  found find(request& asked) const;

 private:
  struct node;
  struct entry;
  struct search;
  std::unique_ptr<node> root_;
};

}  // namespace detail

/// What a server answers. Patterns are paths: "/users/{id}" has a part that matches one segment, "/files/{path...}"
/// one that matches all that is left, perhaps nothing. Either may be put behind a folder's name: paths are answered
/// with 404 where it would, decoded, begin with "/" or "\", or have ".." or a zero byte in it, or, for one segment, any
/// "/" or "\". Text goes before parts, and those before the rest, whatever the order in which they were added. A path
/// that is known, but not for this method, is answered with 405 and Allow, others with 404; OPTIONS is answered with
/// Allow; HEAD as GET, without the body.
///
/// A handler is called as `handler(request&)` and returns a response, what one can be made of, or a task<response>;
/// with several loops, on their threads at once. The request is there until that has ended. Copies share the handlers.
class routes {
 public:
  /// Adds a handler. Throws std::invalid_argument for a pattern that does not begin with "/", has something wrong in
  /// braces, or is there already.
  template <class H>
    requires(detail::gives_task<std::decay_t<H>> || detail::gives_response<std::decay_t<H>>)
  routes& add(std::string_view method, std::string_view pattern, H&& handler) {
    if constexpr (detail::gives_task<std::decay_t<H>>) {
      table_->add(method, pattern, detail::task_handler(std::forward<H>(handler)));
    } else {
      table_->add(method, pattern, detail::plain_handler(std::forward<H>(handler)));
    }
    return *this;
  }
  template <class H>
  routes& get(std::string_view pattern, H&& handler) {
    return add("GET", pattern, std::forward<H>(handler));
  }
  template <class H>
  routes& post(std::string_view pattern, H&& handler) {
    return add("POST", pattern, std::forward<H>(handler));
  }
  template <class H>
  routes& put(std::string_view pattern, H&& handler) {
    return add("PUT", pattern, std::forward<H>(handler));
  }
  template <class H>
  routes& patch(std::string_view pattern, H&& handler) {
    return add("PATCH", pattern, std::forward<H>(handler));
  }
  template <class H>
  routes& del(std::string_view pattern, H&& handler) {
    return add("DELETE", pattern, std::forward<H>(handler));
  }
  /// For all methods that have no handler of their own.
  template <class H>
  routes& any(std::string_view pattern, H&& handler) {
    return add("", pattern, std::forward<H>(handler));
  }

  /// For this module.
  [[nodiscard]] std::shared_ptr<const detail::route_table> table() const noexcept { return table_; }

 private:
  std::shared_ptr<detail::route_table> table_ = std::make_shared<detail::route_table>();
};

}  // namespace tutti::io::http
