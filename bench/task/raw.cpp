// Plain C++20 coroutines on the calling thread: symmetric transfer and nothing else. Children are not inlined, so that
// their frames exist, as those of the others do.
#include <coroutine>
#include <exception>
#include <utility>

#include "systems.hpp"

namespace bench::task {

namespace {

// Owns a coroutine's frame.
template <class Promise>
class frame {
 public:
  explicit frame(Promise& promise) : handle(std::coroutine_handle<Promise>::from_promise(promise)) {}
  frame(frame&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  frame(const frame&) = delete;
  frame& operator=(const frame&) = delete;
  frame& operator=(frame&&) = delete;
  ~frame() {
    if (handle) handle.destroy();
  }

  std::coroutine_handle<Promise> handle;
};

// Keeps the last frame for the next coroutine: what is measured is coroutines, not malloc. For one thread.
class reused_frame {
 public:
  static void* operator new(std::size_t size) {
    return size == spare_size_ && spare_ != nullptr ? std::exchange(spare_, nullptr) : ::operator new(size);
  }
  static void operator delete(void* block, std::size_t size) {
    if (spare_ != nullptr) return ::operator delete(block);
    spare_ = block;
    spare_size_ = size;
  }

 private:
  static inline void* spare_ = nullptr;
  static inline std::size_t spare_size_ = 0;
};

// A lazy coroutine that hands its result to the one that awaits it.
class lazy {
 public:
  struct promise_type : reused_frame {
    std::size_t value = 0;
    std::coroutine_handle<> awaiter = std::noop_coroutine();

    struct to_awaiter {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> me) noexcept {
        return me.promise().awaiter;
      }
      void await_resume() noexcept {}
    };

    lazy get_return_object() { return lazy(*this); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    to_awaiter final_suspend() noexcept { return {}; }
    void return_value(std::size_t v) noexcept { value = v; }
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };

  explicit lazy(promise_type& promise) : frame_(promise) {}

  bool await_ready() noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
    frame_.handle.promise().awaiter = awaiter;
    return frame_.handle;
  }
  std::size_t await_resume() noexcept { return frame_.handle.promise().value; }

  std::coroutine_handle<> handle() const noexcept { return frame_.handle; }
  std::size_t run() {
    frame_.handle.resume();
    return await_resume();
  }

 private:
  frame<promise_type> frame_;
};

// A range of the values that its body yields.
class generator {
 public:
  struct promise_type {
    std::size_t value = 0;

    generator get_return_object() { return generator(*this); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(std::size_t v) noexcept {
      value = v;
      return {};
    }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };

  explicit generator(promise_type& promise) : frame_(promise) {}

  bool next() {
    frame_.handle.resume();
    return !frame_.handle.done();
  }
  std::size_t value() const noexcept { return frame_.handle.promise().value; }

 private:
  frame<promise_type> frame_;
};

// Suspends the running coroutine and goes on with the other.
struct hand_over {
  std::coroutine_handle<> other;
  bool await_ready() noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<>) noexcept { return other; }
  void await_resume() noexcept {}
};

[[gnu::noinline]] lazy child(std::size_t i) { co_return i; }

lazy await_children(std::size_t count) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += co_await child(i);
  co_return total;
}

struct game {
  std::size_t count, turn = 0, total = 0;
  std::coroutine_handle<> players[2] = {};
};

lazy play(game& table, std::size_t me) {
  for (std::size_t i = me; i < table.count; i += 2) {
    if (table.turn++ == i) table.total += i;
    hand_over next{table.players[1 - me]};
    co_await next;
  }
  co_return 0;
}

[[gnu::noinline]] generator integers(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) co_yield i;
}

class raw_system : public system {
 public:
  sum await_child(std::size_t count) override { return await_children(count).run(); }

  sum take_turns(std::size_t count) override {
    game table{.count = count};
    lazy first = play(table, 0), second = play(table, 1);
    table.players[0] = first.handle();
    table.players[1] = second.handle();
    first.run();  // until its loop ends, after the other's last turn
    return table.total;
  }

  sum generate(std::size_t count) override {
    std::size_t total = 0;
    for (generator values = integers(count); values.next();) total += values.value();
    return total;
  }
};

}  // namespace

std::unique_ptr<system> make_raw(int) { return std::make_unique<raw_system>(); }

}  // namespace bench::task
