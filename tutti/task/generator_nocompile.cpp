// What must not compile, and what the compiler must say.
#include <coroutine>
#include <memory>
#include <tutti/task/generator.hpp>
#include <vector>

#pragma GCC diagnostic error "-Wunused-result"

namespace misuse {

using pointer = std::unique_ptr<int>;

tutti::generator<int> numbers();

tutti::generator<pointer> good() {
  pointer p = std::make_unique<int>(1);
  co_yield std::move(p);
  co_yield std::make_unique<int>(2);
}

#ifdef FAIL_co_await  // expect: co_await in a generator: its body runs inside the consumer's ++
tutti::generator<int> bad() { co_await std::suspend_never(); }
#endif
#ifdef FAIL_co_await_names_the_way_out  // expect: make it an async_generator
tutti::generator<int> bad() { co_yield co_await std::suspend_never(); }
#endif
#ifdef FAIL_move_only_variable_yielded  // expect: co_yield std::move(x)
tutti::generator<pointer> bad() {
  pointer p;
  co_yield p;
}
#endif
#ifdef FAIL_temporary_as_reference  // expect: error
tutti::generator<int&> bad() { co_yield 1; }
#endif
#ifdef FAIL_constant_as_reference  // expect: error
tutti::generator<int&> bad() {
  const int i = 1;
  co_yield i;
}
#endif
#ifdef FAIL_another_type_yielded  // expect: error
tutti::generator<int> bad() { co_yield "one"; }
#endif
#ifdef FAIL_elements_of_a_variable  // expect: elements_of(std::move(g))
tutti::generator<int> bad() {
  tutti::generator<int> g = numbers();
  co_yield tutti::elements_of(g);
}
#endif
#ifdef FAIL_elements_of_no_range  // expect: error
tutti::generator<int> bad() { co_yield tutti::elements_of(1); }
#endif
#ifdef FAIL_value_returned  // expect: return_value
tutti::generator<int> bad() { co_return 1; }
#endif
#ifdef FAIL_generator_of_void  // expect: a generator has elements; name their type
tutti::generator<void> bad() { co_return; }
#endif
#ifdef FAIL_generator_of_rvalues  // expect: write generator<T>, whose elements are T&&
tutti::generator<int&&> bad() { co_yield 1; }
#endif
#ifdef FAIL_generator_of_constants  // expect: generator<const T&> to yield without copies
tutti::generator<const int> bad() { co_yield 1; }
#endif

void use() {
#ifdef FAIL_copied  // expect: deleted
  tutti::generator<int> g = numbers();
  tutti::generator<int> h = g;
#endif
#ifdef FAIL_iterator_copied  // expect: deleted
  tutti::generator<int> g = numbers();
  auto i = g.begin();
  auto j = i;
#endif
#ifdef FAIL_discarded  // expect: nodiscard
  numbers();
#endif
#ifdef FAIL_constant_generator_read  // expect: begin
  const tutti::generator<int> g = numbers();
  for (int i : g) static_cast<void>(i);
#endif
#ifdef FAIL_element_bound_to_a_plain_reference  // expect: error
  for (int& i : numbers()) static_cast<void>(i);
#endif
}

}  // namespace misuse
