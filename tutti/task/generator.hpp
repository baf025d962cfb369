// generator: a sequence whose values are computed one at a time, when somebody asks for the next.
#pragma once
#include <tutti/core/block_cache.hpp>
#include <tutti/task/elements_of.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <ranges>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace tutti {

namespace detail {

[[noreturn]] void throw_generator_misuse(const std::type_info& generator, const char* mistake);
void destroy_unstarted(std::coroutine_handle<> frame) noexcept;

template <class>
inline constexpr bool never = false;

}  // namespace detail

/// A lazy sequence, made by a coroutine that gives its values with co_yield:
///
///     tutti::generator<std::uint64_t> fibonacci() {
///       for (std::uint64_t a = 0, b = 1;; a = std::exchange(b, a + b)) co_yield a;
///     }
///     for (std::uint64_t n : fibonacci() | std::views::take(10)) std::cout << n << '\n';
///
/// The body runs in its consumer, from one co_yield to the next, in begin() and in ++: nothing runs at once, nothing is
/// computed that nobody asks for (but views::take(n) advances to the element after its last one). Leaving early
/// destroys the generator, and with it the locals of the body. A sequence that must wait for something is an
/// async_generator.
///
/// **Recursion.** `co_yield elements_of(inner)` gives all elements of another generator of the same type, which it
/// takes over. A step costs the same however deep the innermost one is, and a million levels need no stack, neither in
/// stepping nor in destroying, whatever the compiler and its options:
///
///     tutti::generator<const std::string&> in_order(const node* tree) {
///       if (tree == nullptr) co_return;
///       co_yield tutti::elements_of(in_order(tree->left));
///       co_yield tree->value;
///       co_yield tutti::elements_of(in_order(tree->right));
///     }
///
/// Any other input range does too: `co_yield elements_of(vector)`.
///
/// **What the consumer gets**, the same as from C++23's std::generator:
///
/// | type                | `*it`      | in the body                                                                 |
/// |---------------------|------------|-----------------------------------------------------------------------------|
/// | generator<T>        | `T&&`      | temporaries and `std::move(x)` are passed on in place, variables are copied |
/// | generator<const T&> | `const T&` | nothing is copied or moved                                                  |
/// | generator<T&>       | `T&`       | variables, which the consumer may change                                    |
///
/// So `for (T x : g)` moves, and move-only types are fine. The element lives in the generator, until the next ++. A
/// function that takes elements of a generator<T> by value takes them away: let predicates have a `const T&`.
///
/// **A view.** Move-only, an input range that is read once: `g | ...` needs std::move(g) for a variable. Its iterator
/// stays valid when the generator is moved.
///
/// **Errors.** An exception of the body comes out of begin() or ++, after which the sequence is at its end; from a
/// nested generator it first comes out of `co_yield elements_of(...)`. std::logic_error for begin() a second time or of
/// a generator that was moved from, and for ++ and * at the end.
///
/// **Lifetimes.** Arguments are kept in the coroutine as its parameters are declared: references refer. A lambda's
/// captures are not kept: they live in the lambda, which must outlive the generator. So `[n]() -> generator<int>
/// {...}()` is wrong and `[](int n) -> generator<int> {...}(n)` is right.
///
/// g++ 12 destroys the temporary of `co_yield T{...}` twice if T is an aggregate with a destructor, and so it does with
/// by-value captures of lambdas in a co_yield expression. `T t{...}; co_yield std::move(t);` is fine.
///
/// One thread at a time may use a generator and its iterator; it may be another one at each step.
template <class T>
class [[nodiscard]] generator : public std::ranges::view_base {
  static_assert(!std::is_void_v<T>, "generator<void>: a generator has elements; name their type");
  static_assert(!std::is_rvalue_reference_v<T>, "generator<T&&>: write generator<T>, whose elements are T&&");
  static_assert(std::is_reference_v<T> || std::same_as<T, std::remove_cv_t<T>>,
                "generator<const T>: write generator<T>, or generator<const T&> to yield without copies");

 public:
  class promise_type;
  class iterator;

  using value_type = std::remove_cvref_t<T>;
  using reference = T&&;  ///< what the consumer gets; T& stays T&

  generator(generator&& from) noexcept : frame_(std::exchange(from.frame_, nullptr)) {}
  generator& operator=(generator&& from) noexcept {
    generator old(std::move(from));
    std::swap(frame_, old.frame_);
    return *this;
  }
  /// Destroys the body's locals and those of nested generators, the innermost first, as leaving their blocks would. Not
  /// from inside the body.
  ~generator() {
    if (frame_) promise_type::destroy(frame_);
  }

  /// Runs the body to its first co_yield. Once per generator.
  iterator begin() {
    if (!frame_) detail::throw_generator_misuse(typeid(generator), "begin() of a generator that was moved from");
    frame_.promise().begin();
    return iterator(frame_.promise());
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  explicit generator(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

/// Where a generator stands. `*` may be used any number of times, ++ runs the body to its next co_yield.
template <class T>
class generator<T>::iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = generator::value_type;
  using difference_type = std::ptrdiff_t;

  iterator(iterator&&) noexcept = default;
  iterator& operator=(iterator&&) noexcept = default;
  ~iterator() = default;

  reference operator*() const { return promise_->element(); }
  iterator& operator++() {
    promise_->advance();
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const noexcept { return promise_->at_end(); }

 private:
  friend class generator;
  explicit iterator(promise_type& promise) noexcept : promise_(&promise) {}

  promise_type* promise_;
};

// Generators nested with elements_of are a linked list, and the outermost one, which the consumer has, knows the
// innermost. A step resumes the innermost directly. Where one begins or ends, it only suspends with another one as the
// innermost, and step() goes on with that in a loop: no coroutine ever resumes or destroys another one from within, so
// the stack does not grow with the depth.
template <class T>
class generator<T>::promise_type {
  using handle = std::coroutine_handle<promise_type>;

 public:
  generator get_return_object() noexcept { return generator(self()); }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  // co_yield: of what can be passed on in place,
  std::suspend_always yield_value(reference element) noexcept {
    outermost_->element_ = std::addressof(element);
    return {};
  }
  // of a variable that the consumer may not have,
  auto yield_value(const value_type& element)
    requires(!std::is_reference_v<T>)
  {
    static_assert(std::copy_constructible<T>, "this type cannot be copied: co_yield std::move(x)");
    return yielded_copy(element);
  }
  // of all elements of a generator of this type,
  auto yield_value(elements_of<generator&&> inner) { return nested(*this, std::move(inner.get())); }
  // and of any other range.
  template <std::ranges::input_range Range>
  auto yield_value(elements_of<Range> range) {
    static_assert(!std::same_as<Range, generator&>, "elements_of takes the generator over: elements_of(std::move(g))");
    auto&& elements = range.get();
    return nested(*this, each(std::ranges::begin(elements), std::ranges::end(elements)));
  }

  template <class Awaited>
  std::suspend_never await_transform(const Awaited&) const noexcept {
    static_assert(detail::never<Awaited>,
                  "co_await in a generator: its body runs inside the consumer's ++ and cannot wait for anything; make "
                  "it an async_generator");
    return {};
  }

  auto final_suspend() const noexcept {
    struct go_outwards {
      bool await_ready() const noexcept { return false; }
      void await_suspend(handle ended) const noexcept {
        ended.promise().outermost_->innermost_ = ended.promise().outer_;
      }
      void await_resume() const noexcept {}
    };
    return go_outwards();
  }

  static void* operator new(std::size_t size) { return block_cache::allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { block_cache::deallocate(frame, size); }

 private:
  friend class generator;
  friend class iterator;

  class yielded_copy {
   public:
    explicit yielded_copy(const value_type& element) : element_(element) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(handle yielding) noexcept { yielding.promise().outermost_->element_ = std::addressof(element_); }
    void await_resume() const noexcept {}

   private:
    value_type element_;
  };

  // The outer one waits in co_yield elements_of(...) until the nested one has ended. That belongs to the list
  // meanwhile, not to a `generator` in the outer one's frame: destroy() finds it there.
  class nested {
   public:
    nested(promise_type& outer, generator&& taken) : inner_(taken.frame_) {
      if (!inner_) detail::throw_generator_misuse(typeid(generator), "elements_of a generator that was moved from");
      promise_type& inner = inner_.promise();
      if (inner.begun_) detail::throw_generator_misuse(typeid(generator), "elements_of a generator that was begun");
      taken.frame_ = nullptr;
      inner.begun_ = true;
      inner.outermost_ = outer.outermost_;
      inner.outer_ = outer.self();
      outer.outermost_->innermost_ = inner_;
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(handle) const noexcept {}
    void await_resume() const {
      const std::exception_ptr error = std::move(inner_.promise().error_);
      inner_.destroy();
      if (error) std::rethrow_exception(error);
    }

   private:
    handle inner_;
  };

  template <class Iterator, class Sentinel>
  static generator each(Iterator i, Sentinel end) {
    for (; i != end; ++i) co_yield *i;
  }

  handle self() noexcept { return handle::from_promise(*this); }

  void begin() {
    if (begun_)
      detail::throw_generator_misuse(typeid(generator), "begin() a second time: its elements can be read once");
    begun_ = true;
    innermost_ = self();
    step();
  }

  bool at_end() const noexcept { return element_ == nullptr; }
  reference element() const {
    if (at_end()) [[unlikely]]
      detail::throw_generator_misuse(typeid(generator), "* at the end");
    return static_cast<reference>(*element_);
  }
  void advance() {
    if (at_end()) [[unlikely]]
      detail::throw_generator_misuse(typeid(generator), "++ at the end, or from inside the body");
    element_ = nullptr;
    step();
  }

  // Resumes the innermost until there is an element, or nothing is left to resume.
  void step() {
    do {
      innermost_.resume();
      if (element_ != nullptr) return;
    } while (innermost_);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  static void destroy(handle outermost) noexcept {
    if (!outermost.promise().begun_) return detail::destroy_unstarted(outermost);
    for (handle inner = outermost.promise().innermost_; inner && inner != outermost;) {
      const handle outer = inner.promise().outer_;
      inner.destroy();
      inner = outer;
    }
    outermost.destroy();
  }

  promise_type* outermost_ = this;
  handle outer_;  // who yields elements_of this one
  std::exception_ptr error_;
  bool begun_ = false;

  // Of the outermost only:
  std::remove_reference_t<T>* element_ = nullptr;  // null while the body runs, and at the end
  handle innermost_;                               // null at the end
};

}  // namespace tutti
