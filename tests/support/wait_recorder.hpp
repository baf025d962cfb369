// wait_recorder: an observer of waits that remembers what it is told.
#pragma once
#include <mutex>
#include <string>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/core/wait_graph.hpp>
#include <vector>

namespace tutti_test {

struct wait_event {
  std::string kind;  // "begin", "end", "born", "gone", "holds", "releases"
  const void* who = nullptr;
  const void* resource = nullptr;
  std::string what = {};  // of a wait; the kind of a resource that is held
  std::string name = {};  // the resource's
  tutti::wait_rule rule = tutti::wait_rule::unknown;
  tutti::place here = {};
  bool flag = false;  // begin: limited; holds: waited
};

/// Installed while it lives.
class wait_recorder final : public tutti::wait_observer {
 public:
  wait_recorder() : before_(tutti::wait_graph::observe(this)) {}
  ~wait_recorder() override { tutti::wait_graph::observe(before_); }
  wait_recorder(const wait_recorder&) = delete;
  wait_recorder& operator=(const wait_recorder&) = delete;

  void begin_wait(const wait& begun) override {
    add("begin", begun);
    const std::lock_guard lock(mutex_);
    if (refused_ != nullptr && !begun.targets.empty() && begun.targets.front().resource == refused_) {
      throw tutti::deadlock("refused");
    }
  }
  void end_wait(const wait& ended) noexcept override { add("end", ended); }
  void born(const tutti::wait_target& made, std::size_t) noexcept override {
    add({.kind = "born", .resource = made.resource, .what = made.kind, .name = std::string(made.name)});
  }
  void gone(const void* lost) noexcept override { add({.kind = "gone", .resource = lost}); }
  void holds(const tutti::wait_party& who, const tutti::wait_target& held, const tutti::place& here,
             bool waited) noexcept override {
    add({"holds", who.id, held.resource, held.kind, std::string(held.name), held.rule, here, waited});
  }
  void releases(const void* who, const void* given_up) noexcept override {
    add({.kind = "releases", .who = who, .resource = given_up});
  }
  void ended(const void*) noexcept override {}

  std::vector<wait_event> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  /// Their kinds, with spaces between: "holds begin releases".
  std::string kinds() {
    std::string text;
    for (const auto& one : events()) text += (text.empty() ? "" : " ") + one.kind;
    return text;
  }
  std::size_t count(const std::string& kind) {
    std::size_t n = 0;
    for (const auto& one : events()) n += one.kind == kind ? 1U : 0U;
    return n;
  }
  void wait_for(const std::string& kind, std::size_t n) {
    while (count(kind) < n) std::this_thread::yield();
  }
  /// Waits for `resource` are refused from now on; null: none.
  void refuse(const void* resource) {
    const std::lock_guard lock(mutex_);
    refused_ = resource;
  }

 private:
  void add(const char* kind, const wait& of) {
    const tutti::wait_target target = of.targets.empty() ? tutti::wait_target() : of.targets.front();
    add({kind, of.who.id, target.resource, of.what, std::string(target.name), target.rule, of.here, of.limited});
  }
  void add(wait_event e) noexcept {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(e));
  }
  std::mutex mutex_;
  std::vector<wait_event> events_;
  const void* refused_ = nullptr;
  tutti::wait_observer* before_;
};

}  // namespace tutti_test
