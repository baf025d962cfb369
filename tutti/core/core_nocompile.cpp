// What must not compile, and what the compiler must say.
#include <memory>
#include <string>
#include <tutti/core/core.hpp>
#include <vector>

#pragma GCC diagnostic error "-Wunused-result"

namespace misuse {

int good(int a);
int by_reference(int& a);
int by_pointer(const char* a);
struct opaque {
  explicit opaque(int);
};
int takes_opaque(const opaque& a);
std::shared_ptr<int> returns_opaque(int a);

struct fake_task {};

}  // namespace misuse

template <>
inline constexpr bool tutti::is_task<misuse::fake_task> = true;

using namespace misuse;

void use(tutti::executor& anywhere, tutti::thread_pool& pool) {
  (void)anywhere.submit<good>(1);
  (void)pool.submit<takes_opaque>(opaque(1));  // where memory is shared, nothing is encoded
  std::vector<int> numbers;
  std::vector<tutti::future<int>> futures;

#ifdef FAIL_lambda_anywhere  // expect: takes functions by name only
  anywhere.submit([] {});
#endif
#ifdef FAIL_lambda_with_arguments_anywhere  // expect: takes functions by name only
  anywhere.submit([](int) {}, 1);
#endif
#ifdef FAIL_lambda_through_a_view  // expect: takes functions by name only
  anywhere.with({.name = "x"}).submit([] {});
#endif
#ifdef FAIL_lambda_mapped_anywhere  // expect: takes functions by name only
  anywhere.map(numbers, [](int i) { return i; });
#endif
#ifdef FAIL_lambda_bulk_anywhere  // expect: takes functions by name only
  anywhere.submit_bulk(numbers, [](int i) { return i; });
#endif
#ifdef FAIL_reference  // expect: a portable function cannot take T&
  int a = 1;
  (void)anywhere.submit<by_reference>(a);
#endif
#ifdef FAIL_reference_locally  // expect: a portable function cannot take T&
  int a = 1;
  (void)pool.submit<by_reference>(a);
#endif
#ifdef FAIL_pointer  // expect: a portable function cannot take a pointer
  (void)anywhere.submit<by_pointer>("text");
#endif
#ifdef FAIL_argument_that_cannot_be_encoded  // expect: this type cannot be encoded
  (void)anywhere.submit<takes_opaque>(opaque(1));
#endif
#ifdef FAIL_result_that_cannot_be_encoded  // expect: this type cannot be encoded
  (void)anywhere.submit<returns_opaque>(1);
#endif
#ifdef FAIL_map_of_what_cannot_be_encoded  // expect: this type cannot be encoded
  for (int i : anywhere.map<takes_opaque>(std::vector<opaque>())) (void)i;
#endif
#ifdef FAIL_too_few_arguments  // expect: wrong number of arguments
  (void)anywhere.submit<good>();
#endif
#ifdef FAIL_argument_of_another_type  // expect: an argument does not convert implicitly to the parameter's type
  (void)pool.submit<good>("one");
#endif
#ifdef FAIL_named_lambda  // expect: a lambda has no name that another process could find
  (void)anywhere.submit<[](int i) { return i; }>(1);
#endif

#ifdef FAIL_branch_returns_a_task  // expect: await them together with when_all
  (void)tutti::fork_join([] { return fake_task(); }, [] {});
#endif
#ifdef FAIL_branch_with_arguments  // expect: constraint
  tutti::fork_join([](int) {}, [] {});
#endif

#ifdef FAIL_future_copied  // expect: deleted
  auto f = pool.submit([] { return 1; });
  auto g = f;
#endif
#ifdef FAIL_promise_copied  // expect: deleted
  tutti::promise<int> p;
  auto q = p;
#endif
#ifdef FAIL_future_discarded  // expect: nodiscard
  pool.submit([] { return 1; });
#endif
#ifdef FAIL_portable_future_discarded  // expect: nodiscard
  anywhere.submit<good>(1);
#endif
#ifdef FAIL_map_discarded  // expect: nodiscard
  pool.map(numbers, [](int i) { return i; });
#endif
#ifdef FAIL_binding_discarded  // expect: nodiscard
  tutti::task_local<int>().bind(1);
#endif
#ifdef FAIL_then_takes_something_else  // expect: g must take the result, or the future
  (void)pool.submit([] { return 1; }).then([](std::string) {});
#endif
#ifdef FAIL_map_function_takes_something_else  // expect: the function takes neither the range's elements nor
  for (auto& i : pool.map(numbers, [](std::string) { return 1; })) (void)i;
#endif
#ifdef FAIL_awaiting_an_lvalue  // expect: future
  [](tutti::future<int> f) -> tutti::future<int> { co_return co_await f; }(pool.submit([] { return 1; }));
#endif
#ifdef FAIL_when_all_of_an_lvalue  // expect: when_all
  (void)tutti::when_all(futures);
#endif
#ifdef FAIL_wait_for_no_futures  // expect: future_range
  (void)tutti::wait(numbers);
#endif
#ifdef FAIL_value_of_another_type  // expect: set_value
  tutti::promise<std::unique_ptr<int>>().set_value(1);
#endif
#ifdef FAIL_submit_with_arguments  // expect: let a lambda capture them
  (void)pool.submit([](int) {}, 1);
#endif
}
