// pipeline: a stream of items through stages, of which some may run for several items at once.
//
// Items travel in tokens, of which there is a fixed number: a source that is ahead waits for one to come back. A worker
// takes a token as far as it can. At a serial stage that is occupied, or where an earlier item is due first, it leaves
// the token at the gate and looks for another; who comes out of the gate makes the next one ready. So nobody ever waits
// inside a stage, and at least one token can always go on: the one whose item is the earliest. Where items are so short
// that sharing them costs more than they take, members look on while one works.
#pragma once
#include <tutti/core/small_mutex.hpp>
#include <tutti/parallel/team.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace tutti {

/// How a pipeline runs. Trivially destructible.
struct pipeline_options {
  /// The most items on their way at once, and so the most workers; at least 1, else std::invalid_argument. Room for so
  /// many is made at once.
  std::size_t tokens = 16;
  /// A stop request ends the pipeline: no further stage begins, and it throws `cancelled`.
  stop_ref stop = {};
};

/// Which items a stage may have at once.
enum class stage_mode : std::uint8_t {
  serial_in_order,      ///< one at a time, in the source's order
  serial_out_of_order,  ///< one at a time, in any order
  parallel,             ///< any number at once
};

/// A stage of a pipeline: what `function` makes of an item goes to the next one.
template <stage_mode Mode, class F>
struct pipeline_stage {
  static constexpr stage_mode mode = Mode;
  F function;
};

/// One item at a time, in the source's order: for what must see them as a plain loop would.
template <class F>
auto serial_in_order(F&& function) {
  return pipeline_stage<stage_mode::serial_in_order, std::decay_t<F>>{std::forward<F>(function)};
}
/// One item at a time, in any order: for what must not run twice at once, as adding up.
template <class F>
auto serial_out_of_order(F&& function) {
  return pipeline_stage<stage_mode::serial_out_of_order, std::decay_t<F>>{std::forward<F>(function)};
}
/// Any number of items at once: `function` is called from several threads.
template <class F>
auto in_parallel(F&& function) {
  return pipeline_stage<stage_mode::parallel, std::decay_t<F>>{std::forward<F>(function)};
}

namespace detail {

template <class S>
inline constexpr bool is_stage = false;
template <stage_mode Mode, class F>
inline constexpr bool is_stage<pipeline_stage<Mode, F>> = true;

template <class T>
struct item_of_source {
  static_assert(
      !std::is_same_v<T, T>,
      "tutti: a pipeline's source takes nothing and returns std::optional of an item; nothing ends the stream");
};
template <class T>
struct item_of_source<std::optional<T>> {
  using type = T;
};

// The items' types from stage to stage: std::tuple<T0, T1, ...>.
template <class Done, class... Stages>
struct item_types;
template <class... T>
struct item_types<std::tuple<T...>> {
  using type = std::tuple<T...>;
};
template <class... T, class Stage, class... Rest>
struct item_types<std::tuple<T...>, Stage, Rest...> {
  using item = std::tuple_element_t<sizeof...(T) - 1, std::tuple<T...>>;
  using function = decltype(Stage::function);
  static_assert(std::invocable<function&, item&&>,
                "tutti: a stage of the pipeline does not take what the stage before it returns");
  using result = std::invoke_result_t<function&, item&&>;
  static_assert(!std::is_void_v<result> || sizeof...(Rest) == 0,
                "tutti: a stage of the pipeline returns nothing, but there is one after it");
  using next = std::conditional_t<std::is_void_v<result>, std::monostate, std::decay_t<result>>;
  using type = typename item_types<std::tuple<T..., next>, Rest...>::type;
};

template <class Source, class... Stages>
class pipeline_run {
  static constexpr std::size_t length = sizeof...(Stages);
  using first_item = typename item_of_source<std::decay_t<std::invoke_result_t<Source&>>>::type;
  using items = typename item_types<std::tuple<first_item>, Stages...>::type;
  template <class Tuple>
  struct variant_of;
  template <class... T>
  struct variant_of<std::tuple<T...>> {
    using type = std::variant<std::monostate, T...>;  // alternative k + 1: what stage k takes
  };

  struct alignas(cpu::cache_line) token {
    typename variant_of<items>::type item;
    std::uint64_t number = 0;
    token* next = nullptr;                            // at a gate, among the ready or the free
    token* (pipeline_run::*go_on)(token&) = nullptr;  // from where it is ready
  };

  struct token_queue {
    token* first = nullptr;
    token** end = &first;
    std::atomic<std::size_t> count{0};  // changed under the queue's lock, read by anyone as a hint

    void push(token& t) noexcept {
      t.next = nullptr;
      *end = &t;
      end = &t.next;
      count.store(size() + 1, std::memory_order_relaxed);
    }
    token* pop() noexcept {
      token* const t = first;
      if (t == nullptr) return nullptr;
      first = t->next;
      if (first == nullptr) end = &first;
      count.store(size() - 1, std::memory_order_relaxed);
      return t;
    }
    std::size_t size() const noexcept { return count.load(std::memory_order_relaxed); }
    bool any() const noexcept { return size() > 0; }
  };

  // Of a stage that takes items in order. Only the token whose number is due may enter, so the gate needs no lock. Who
  // comes early parks and looks at `due` again; who leaves raises `due` and looks who is parked: of a store and a load
  // on each side, all sequentially consistent, at least one sees the other, and the exchange decides between both.
  // Numbers from `due` on are all on their way, fewer than there are tokens, so they park in different places.
  struct alignas(cpu::cache_line) ordered_gate {
    std::atomic<std::uint64_t> due{0};
    std::vector<std::atomic<token*>> parked;

    void make_room(std::size_t tokens) { parked = std::vector<std::atomic<token*>>(tokens); }
    std::atomic<token*>& place(std::uint64_t number) noexcept { return parked[number % parked.size()]; }

    /// The token that goes in now, which need not be `mine`; null: none.
    token* enter(token& mine) noexcept {
      for (token* t = &mine;;) {
        const std::uint64_t number = t->number;  // once it is parked, the token is whose who takes it
        // acquire: what the stage wrote for the item before is visible.
        if (due.load(std::memory_order_acquire) == number) return t;
        place(number).store(t, std::memory_order_seq_cst);
        if (due.load(std::memory_order_seq_cst) != number) return nullptr;
        // If it was taken, it may have come back meanwhile with another item and parked here again: so look once more.
        t = place(number).exchange(nullptr, std::memory_order_acq_rel);
        if (t == nullptr) return nullptr;
      }
    }
    /// The token that may go in next, if it waits.
    token* leave(std::uint64_t number) noexcept {
      due.store(number + 1, std::memory_order_seq_cst);
      std::atomic<token*>& next = place(number + 1);
      if (next.load(std::memory_order_seq_cst) == nullptr) return nullptr;
      token* const t = next.exchange(nullptr, std::memory_order_acq_rel);
      // Since `due` was raised, that one may have been and gone, and a later one have parked here.
      return t == nullptr ? nullptr : enter(*t);
    }
  };

  // Of a serial stage that takes items as they come.
  struct alignas(cpu::cache_line) serial_gate {
    small_mutex lock;
    bool held = false;
    token_queue waiting;

    void make_room(std::size_t) noexcept {}
    token* enter(token& mine) noexcept {
      const std::lock_guard guard(lock);
      if (std::exchange(held, true)) {
        waiting.push(mine);
        return nullptr;
      }
      return &mine;
    }
    token* leave(std::uint64_t) noexcept {
      const std::lock_guard guard(lock);
      token* const next = waiting.pop();
      held = next != nullptr;
      return next;
    }
  };

  struct no_gate {
    void make_room(std::size_t) noexcept {}
  };
  template <class Stage>
  using gate_of =
      std::conditional_t<Stage::mode == stage_mode::parallel, no_gate,
                         std::conditional_t<Stage::mode == stage_mode::serial_in_order, ordered_gate, serial_gate>>;

 public:
  pipeline_run(const pipeline_options& options, Source& source, std::tuple<Stages...>& stages, loop_control& control)
      : source_(source), stages_(stages), control_(control), tokens_(options.tokens) {
    for (token& t : tokens_) free_.push(t);
    [&]<std::size_t... K>(std::index_sequence<K...>) {
      (std::get<K>(gates_).make_room(options.tokens), ...);
    }(std::index_sequence_for<Stages...>());
  }
  pipeline_run(const pipeline_run&) = delete;
  pipeline_run& operator=(const pipeline_run&) = delete;

  static constexpr int items_between_looks = 256;
  struct member {
    int items_before_a_look = 0;  // at what the others do
  };
  member new_member() const noexcept { return {}; }
  member guest_of(const member&) const noexcept { return {}; }  // looks first

  team_room& room() noexcept { return room_; }
  // relaxed: hints.
  bool may_step() const noexcept {
    return ready_.any() || (free_.any() && !source_held_.load(std::memory_order_relaxed) && !ended());
  }
  bool may_get_more() const noexcept { return !ended() || free_.size() < tokens_.size(); }
  bool can_step() noexcept {
    const std::lock_guard lock(lock_);
    return ready_.any() || may_read();
  }

  bool step(const worker* w, member& me) {
    if (me.items_before_a_look <= 0) {
      if (others_are_quick()) return true;  // to be asked, and to look again
      me.items_before_a_look = items_between_looks;
    }
    visit here(inside_);
    --me.items_before_a_look;
    token* mine = next(nullptr);
    if (mine == nullptr) return false;
    control_.run([&] {
      do {
        mine = next((this->*mine->go_on)(*mine));
        if (--me.items_before_a_look <= 0) {
          if (here.leave_to_others()) break;
          me.items_before_a_look = items_between_looks;
        }
      } while (mine != nullptr && !asked_to_invite(w, room_));
    });
    if (mine != nullptr) get_ready(*mine);  // somebody asks for work, or is better off without us
    return true;
  }

 private:
  class visit {
   public:
    explicit visit(std::atomic<int>& inside) noexcept : inside_(inside) {
      inside_.fetch_add(1, std::memory_order_relaxed);
    }
    ~visit() {
      if (!over_) inside_.fetch_sub(1, std::memory_order_relaxed);
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    // Of two who want to, one stays: else both would find nobody inside and come back.
    bool leave_to_others() noexcept {
      int now = inside_.load(std::memory_order_relaxed);
      while (now > 1 && !over_) over_ = inside_.compare_exchange_weak(now, now - 1, std::memory_order_relaxed);
      return over_;
    }

   private:
    std::atomic<int>& inside_;
    bool over_ = false;
  };

  // Members that share items of a few instructions spend most of their time on moving cache lines to and fro: one alone
  // is up to twenty times as fast. So who comes, or has been here for a while, looks on for a microsecond or two, and
  // on and on while those who are inside take less time for an item than sharing would cost. relaxed: hints; whoever
  // finds nobody inside, or no progress, goes in and asks under the lock.
  bool others_are_quick() const noexcept {
    constexpr std::chrono::nanoseconds cost_of_sharing{700};  // measured on an AMD EPYC
    constexpr int pauses = 64;
    const int inside = inside_.load(std::memory_order_relaxed);
    if (inside == 0 || control_.over()) return false;
    const std::uint64_t before = count_.load(std::memory_order_relaxed);
    const auto since = std::chrono::steady_clock::now();
    for (int i = 0; i < pauses; ++i) cpu::pause();
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - since;
    const auto passed = static_cast<std::int64_t>(count_.load(std::memory_order_relaxed) - before);
    return passed * cost_of_sharing > took * inside;
  }

  // The next token to go on with: one that is ready, or else one for the source, which is ours then. `back`, if there
  // is one, is free.
  token* next(token* back) noexcept {
    token* mine = nullptr;
    bool more = false;
    {
      const std::lock_guard lock(lock_);
      if (back != nullptr) free_.push(*back);
      const bool reads = !ready_.any();
      if ((reads && !may_read()) || control_.stopped()) return nullptr;
      mine = reads ? free_.pop() : ready_.pop();
      if (reads) {
        mine->go_on = &pipeline_run::read;
        source_held_.store(true, std::memory_order_relaxed);
      }
      more = ready_.any() || may_read();
    }
    if (more) room_.more();
    return mine;
  }
  void get_ready(token& mine) noexcept {
    {
      const std::lock_guard lock(lock_);
      ready_.push(mine);
    }
    room_.more();
  }
  // Under lock_. seq_cst, which is acquire: the source's last state and whether it has ended; and see team_room::more.
  bool may_read() const noexcept { return free_.any() && !source_held_.load(std::memory_order_seq_cst) && !ended(); }

  // This, as `arrive` and `serve`, returns a token that is free again; null: none is.
  token* read(token& mine) {
    std::optional<first_item> item = std::invoke(source_);
    mine.number = count_.load(std::memory_order_relaxed);
    if (item) {
      count_.store(mine.number + 1, std::memory_order_relaxed);
    } else {
      ended_.store(true, std::memory_order_relaxed);
    }
    source_held_.store(false, std::memory_order_seq_cst);
    if (!item) return &mine;
    if (free_.any()) room_.more();
    mine.item.template emplace<1>(*std::move(item));
    return arrive<0>(mine);
  }

  template <std::size_t K>
  token* arrive(token& mine) {
    if constexpr (K == length) {
      mine.item.template emplace<0>();
      return &mine;
    } else if (control_.stopped()) {
      return &mine;  // with its item, which is dropped with it
    } else if constexpr (mode<K> == stage_mode::parallel) {
      return serve<K>(mine);
    } else {
      token* const first = std::get<K>(gates_).enter(mine);
      return first == nullptr ? nullptr : serve<K>(*first);
    }
  }

  template <std::size_t K>
  static constexpr stage_mode mode = std::tuple_element_t<K, std::tuple<Stages...>>::mode;

  template <std::size_t K>
  token* serve(token& mine) {
    auto& function = std::get<K>(stages_).function;
    auto& item = std::get<K + 1>(mine.item);
    if constexpr (std::is_void_v<decltype(std::invoke(function, std::move(item)))>) {
      std::invoke(function, std::move(item));
    } else {
      auto made = std::invoke(function, std::move(item));  // which may refer to the item that goes now
      mine.item.template emplace<K + 2>(std::move(made));
    }
    if constexpr (mode<K> != stage_mode::parallel) {
      if (token* const waiting = std::get<K>(gates_).leave(mine.number)) {
        waiting->go_on = &pipeline_run::serve<K>;
        get_ready(*waiting);
      }
    }
    return arrive<K + 1>(mine);
  }

  bool ended() const noexcept { return ended_.load(std::memory_order_relaxed); }

  Source& source_;
  std::tuple<Stages...>& stages_;
  loop_control& control_;
  std::tuple<gate_of<Stages>...> gates_;
  std::vector<token> tokens_;

  alignas(cpu::cache_line) small_mutex lock_;
  token_queue ready_, free_;  // under lock_
  alignas(cpu::cache_line) std::atomic<bool> source_held_{false}, ended_{false};
  std::atomic<std::uint64_t> count_{0};  // of items; changed by who holds the source
  std::atomic<int> inside_{0};           // members in `step`
  team_room room_;
};

template <class Source, class... Stages>
void run_pipeline(worker* w, const pipeline_options& options, Source& source, std::tuple<Stages...> stages) {
  static_assert(
      (is_stage<Stages> && ...),
      "tutti: a stage of a pipeline is made by serial_in_order, serial_out_of_order or in_parallel: say which");
  if (options.tokens == 0) {
    throw std::invalid_argument("pipeline: tokens is 0, but an item needs one to travel in; give at least 1");
  }
  loop_control control("pipeline", {.stop = options.stop});
  pipeline_run<Source, Stages...> run(options, source, stages, control);
  work_together(w, run, control);
  control.finish();
}

}  // namespace detail

/// Sends what `source()` returns, until that is std::nullopt, through `stages`, made by serial_in_order,
/// serial_out_of_order and in_parallel; each takes what the one before it returns. `source` is called by one thread at
/// a time. Returns when the last item has left. What the last stage returns is dropped.
///
/// At most `options.tokens` items are on their way at once. An exception of any stage ends it, with the items that are
/// on their way dropped, and is thrown here, as is `cancelled` after a stop request. Pools and nesting: as
/// parallel_for; without other workers it runs serially on the caller.
template <class Source, class... Stages>
  requires std::invocable<Source&>
void pipeline(pipeline_options options, Source&& source, Stages... stages) {
  detail::as_worker(
      [&](worker* w) { detail::run_pipeline(w, options, source, std::tuple<Stages...>(std::move(stages)...)); });
}
/// The same with the options' defaults.
template <class Source, class... Stages>
  requires std::invocable<Source&>
void pipeline(Source&& source, Stages... stages) {
  pipeline(pipeline_options{}, std::forward<Source>(source), std::move(stages)...);
}
/// The same on a pool, with options or their defaults.
template <class Source, class... Stages>
  requires std::invocable<Source&>
void pipeline(local_executor& pool, pipeline_options options, Source&& source, Stages... stages) {
  detail::as_worker(
      pool, [&](worker* w) { detail::run_pipeline(w, options, source, std::tuple<Stages...>(std::move(stages)...)); });
}
template <class Source, class... Stages>
  requires std::invocable<Source&>
void pipeline(local_executor& pool, Source&& source, Stages... stages) {
  pipeline(pool, pipeline_options{}, std::forward<Source>(source), std::move(stages)...);
}

}  // namespace tutti
