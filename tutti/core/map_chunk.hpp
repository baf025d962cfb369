// map_chunk: some elements of a range as one call, for this process or another; the unit of work of map.
#pragma once
#include <tutti/base/codec.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/registry.hpp>
#include <tutti/base/throw_stack.hpp>
#include <tutti/core/future.hpp>
#include <tutti/core/portable_task.hpp>
#include <tutti/core/this_task.hpp>

#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace tutti {
namespace detail {

// A value or an error.
template <class T>
struct element_outcome {
  std::optional<T> value;
  std::exception_ptr error;
};

template <class T>
struct element_result {
  static_assert(!is_task<std::decay_t<T>>,
                "tutti: a function given to map or submit_bulk returns a coroutine task, which they would only create: "
                "use for_each_async or when_all in a coroutine");
  using type = std::conditional_t<std::is_void_v<T>, std::monostate, std::decay_t<T>>;
};
template <class T>
using value_or_monostate = typename element_result<T>::type;

// What a chunk comes back with: an outcome per element, and how long it took.
template <class T>
struct chunk_result {
  std::vector<element_outcome<T>> outcomes;
  std::chrono::nanoseconds took{};
};

// An outcome on the wire: the value, or the encoded exception.
template <class T>
using wire_outcome = std::variant<T, std::string>;

template <class T, class Call, class Item>
void fill_outcome(element_outcome<T>& slot, Call& call, Item& item) {
  if constexpr (std::is_void_v<std::invoke_result_t<Call&, Item&>>) {
    call(item);
    slot.value.emplace();
  } else {
    slot.value.emplace(call(item));
  }
}

// What the chunks of one map or bulk share: that nobody wants the rest, and how many are inside right now. A chunk
// whose future is done may still be inside: its timeout was over, but its element cannot be killed.
//
// Who is inside may touch the caller's range, who sees `stopped` does not: a chunk counts itself in, then looks
// (seq_cst); who gives the range up stops first, then looks whether anybody is inside (seq_cst).
class chunk_gate {
 public:
  struct listener {
    virtual void on_empty() noexcept = 0;

   protected:
    ~listener() = default;
  };
  class visit {
   public:
    explicit visit(chunk_gate* gate) noexcept : gate_(gate) {
      if (gate_ != nullptr) gate_->inside_.fetch_add(1, std::memory_order_seq_cst);
    }
    ~visit() {
      if (gate_ != nullptr && gate_->inside_.fetch_sub(1, std::memory_order_seq_cst) == 1) gate_->emptied();
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    bool stopped() const noexcept { return gate_ != nullptr && gate_->stopped_.load(std::memory_order_seq_cst); }

   private:
    chunk_gate* gate_;
  };

  void stop() noexcept { stopped_.store(true, std::memory_order_seq_cst); }
  /// After stop: blocks until nobody is inside. May throw pool_exhausted.
  void wait_empty() {
    waiters_.wait([this] { return inside_.load(std::memory_order_seq_cst) == 0; }, wait_how{.what = "map"});
  }
  /// After stop: calls `to` once, as soon as nobody is inside, perhaps at once. The caller holds the gate: from the
  /// store on, another thread may call `to`, which may give up what kept the gate until now.
  void when_empty(listener& to) noexcept {
    listener_.store(&to, std::memory_order_seq_cst);
    if (inside_.load(std::memory_order_seq_cst) == 0) tell();
  }

 private:
  void emptied() noexcept {
    waiters_.wake_all();
    tell();
  }
  void tell() noexcept {
    // Most chunks find nobody: a look (seq_cst, as it pairs with the look at `inside_`) is cheaper than an exchange.
    if (listener_.load(std::memory_order_seq_cst) == nullptr) return;
    if (listener* const to = listener_.exchange(nullptr, std::memory_order_seq_cst)) to->on_empty();
  }
  std::atomic<bool> stopped_{false};
  std::atomic<std::uint32_t> inside_{0};
  std::atomic<listener*> listener_{nullptr};
  wait_list waiters_;
};

// Calls `begins(i)` and `call(item)` for the i-th item; an exception is that item's outcome, the others go on. While
// `retries` are left, a copy of the item is used up in its place. Once the task is asked to stop, the rest is
// cancelled.
template <class T, class Items, class Call, class Begins>
chunk_result<T> run_chunk(Items& items, Call&& call, chunk_gate* gate, int retries, Begins begins) {
  const auto start = std::chrono::steady_clock::now();
  const chunk_gate::visit inside(gate);
  chunk_result<T> result;
  result.outcomes.reserve(items.size());
  for (auto& item : items) {
    if (inside.stopped()) break;
    if (this_task::stop_requested()) {
      const auto why = std::make_exception_ptr(cancelled("the call was stopped before this element"));
      while (result.outcomes.size() < items.size()) result.outcomes.push_back({std::nullopt, why});
      break;
    }
    begins(result.outcomes.size());
    element_outcome<T>& slot = result.outcomes.emplace_back();
    for (int left = retries;; --left) {
      try {
        if constexpr (std::copy_constructible<std::remove_cvref_t<decltype(item)>>) {
          if (left > 0) {
            auto copy = item;
            fill_outcome(slot, call, copy);
            break;
          }
        }
        fill_outcome(slot, call, item);
        break;
      } catch (...) {
        slot.error = std::current_exception();
        if (left <= 0 || this_task::stop_requested() || !is_retryable(slot.error)) break;
        slot.error = nullptr;
      }
    }
  }
  result.took = std::chrono::steady_clock::now() - start;
  return result;
}

template <class T, class Items, class Call>
chunk_result<T> run_chunk(Items& items, Call&& call, chunk_gate* gate, int retries) {
  return run_chunk<T>(items, std::forward<Call>(call), gate, retries, [](std::size_t) {});
}

template <class T>
inline constexpr bool is_tuple_like = requires { std::tuple_size<std::remove_cvref_t<T>>::value; };

// Arrays and ranges are values, not argument lists, when the function takes them whole.
template <class G, class Element>
decltype(auto) call_with(G& g, Element&& element) {
  if constexpr (std::invocable<G&, Element>) {
    return g(std::forward<Element>(element));
  } else {
    static_assert(is_tuple_like<Element>,
                  "tutti: map: the function takes neither the range's elements nor, as they are "
                  "not tuples, their parts");
    return std::apply(g, std::forward<Element>(element));
  }
}

// Waits, whatever happens.
template <class Wait>
void surely(Wait wait) noexcept {
  for (;;) {
    try {
      return wait();
    } catch (...) {  // pool_exhausted: then without a thread in our place
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

// The items of a range as they go into a chunk. Elements of an lvalue range that can be visited again are referenced,
// anything else is moved or copied in. R is a reference for lvalues; an rvalue range must be kept alive by the caller.
template <class R>
struct local_items {
  // Holds a value, also a bool: a vector<bool> has no elements to refer to.
  struct value_item {
    std::ranges::range_value_t<R> value;
  };
  static constexpr bool by_reference =
      std::ranges::forward_range<R> && std::is_lvalue_reference_v<std::ranges::range_reference_t<R>>;
  using element = std::ranges::range_reference_t<R>;
  using item = std::conditional_t<by_reference, std::add_pointer_t<element>, value_item>;
  template <class I>
  static item make(I& at) {
    if constexpr (by_reference) {
      return std::addressof(*at);
    } else {
      return item{static_cast<std::ranges::range_value_t<R>>(*at)};
    }
  }
  static decltype(auto) use(item& i) {
    if constexpr (by_reference) {
      return static_cast<element>(*i);
    } else {
      return std::move(i.value);
    }
  }
};

template <class G, class R>
using local_map_value = value_or_monostate<decltype(call_with(
    std::declval<G&>(), local_items<R>::use(std::declval<typename local_items<R>::item&>())))>;

// Of a chunk of `count` elements, the `at`-th, for portable_call::part_text.
std::string chunk_part_text(std::size_t first, std::size_t count, std::size_t at);

// A chunk of portable calls.
template <auto F>
struct portable_chunk {
  using traits = function_traits<F>;
  using args = typename traits::stored_args;
  using T = value_or_monostate<typename traits::result>;
  using wire_arguments = std::pair<std::int32_t, std::vector<args>>;
  using wire_result = std::pair<std::vector<wire_outcome<T>>, std::int64_t>;

  template <class Element>
  static args make(Element&& element) {
    if constexpr (traits::arity == 1 &&
                  !(is_tuple_like<Element> && !requires { traits::store(std::forward<Element>(element)); })) {
      return traits::store(std::forward<Element>(element));
    } else {
      return std::apply([](auto&&... parts) { return traits::store(std::forward<decltype(parts)>(parts)...); },
                        std::forward<Element>(element));
    }
  }
  static chunk_result<T> run(std::vector<args>& items, chunk_gate* gate, int retries) {
    return run_chunk<T>(items, [](args& item) -> decltype(auto) { return traits::call(item); }, gate, retries);
  }
  // In the other process.
  static void invoke(std::string_view arguments, std::string& result) {
    auto [retries, items] = decode<wire_arguments>(arguments);
    // What is thrown is told at once: where it was is known only until the next throw.
    std::vector<std::pair<std::exception_ptr, std::string>> told;
    auto done = run_chunk<T>(
        items,
        [&told](args& item) -> decltype(auto) {
          try {
            return noting_throws([&]() -> decltype(auto) { return traits::call(item); });
          } catch (...) {
            told.emplace_back(std::current_exception(), encode_exception(std::current_exception(), &throw_stack));
            throw;
          }
        },
        nullptr, retries,
        [](std::size_t at) {  // read when this process is dead: no order is needed
          if (part_begun != nullptr) part_begun->store(static_cast<std::uint32_t>(at), std::memory_order_relaxed);
        });
    auto encoded = [&told, at = std::size_t{0}](const std::exception_ptr& error) mutable {
      for (std::size_t i = at; i < told.size(); ++i) {  // they are in the same order, attempts that were repeated too
        if (told[i].first != error) continue;
        at = i + 1;
        return std::move(told[i].second);
      }
      return encode_exception(error);
    };
    wire_result wire;
    wire.second = done.took.count();
    for (auto& one : done.outcomes) {
      if (one.value) {
        wire.first.emplace_back(std::in_place_index<0>, std::move(*one.value));
      } else {
        wire.first.emplace_back(std::in_place_index<1>, encoded(one.error));
      }
    }
    encode(result, wire);
  }
  static chunk_result<T> decode_result(std::string_view encoded) {
    auto wire = decode<wire_result>(encoded);
    chunk_result<T> result;
    result.took = std::chrono::nanoseconds(wire.second);
    for (auto& one : wire.first) {
      element_outcome<T>& slot = result.outcomes.emplace_back();
      if (one.index() == 0) {
        slot.value.emplace(std::get<0>(std::move(one)));
      } else {
        slot.error = decode_exception(std::get<1>(one));
      }
    }
    return result;
  }
  // Registered beside F itself, as "F[]", so that a worker process finds it.
  static const function_info& info() {
    (void)&at_start;
    static const std::string* const name = new std::string(std::string(function_of<F>().name) + "[]");
    static const function_registration entry({*name, function_of<F>().signature}, reinterpret_cast<void*>(&invoke),
                                             &invoke);
    return entry.info;
  }
  static inline const bool at_start = (static_cast<void>(info()), true);
};

template <auto F>
struct invoke_portable_chunk {
  std::vector<typename portable_chunk<F>::args> items;
  std::shared_ptr<chunk_gate> gate;
  int retries;        // of each element
  std::size_t first;  // element, counted from 0
  auto operator()(bool) { return portable_chunk<F>::run(items, gate.get(), retries); }
  // The bytes of wire_arguments: a pair is its parts in order.
  void encode_to(std::string& out) const {
    encode(out, std::int32_t{retries});
    encode(out, items);
  }
  static auto decode_result(std::string_view encoded) { return portable_chunk<F>::decode_result(encoded); }
};

template <auto F>
class portable_chunk_task final
    : public portable_task_base<chunk_result<typename portable_chunk<F>::T>, invoke_portable_chunk<F>> {
 public:
  using portable_task_base<chunk_result<typename portable_chunk<F>::T>, invoke_portable_chunk<F>>::portable_task_base;
  const function_info& function() const override { return portable_chunk<F>::info(); }
  std::string part_text(std::size_t at) const override {
    return chunk_part_text(this->invoke_.first, this->invoke_.items.size(), at);
  }
};

}  // namespace detail
}  // namespace tutti
