// What must not compile, and what the compiler must say.
#include <string>
#include <tutti/core/core.hpp>
#include <tutti/task/task.hpp>
#include <vector>

#pragma GCC diagnostic error "-Wunused-result"

namespace misuse {

tutti::task<int> number();
tutti::task<> nothing();
tutti::task<int> by_reference(int& a);

struct not_awaitable {};

}  // namespace misuse

using namespace misuse;

tutti::task<> use(tutti::thread_pool& pool) {
  auto t = number();
  const int n = co_await std::move(t);
  auto f = pool.submit(number());
  static_cast<void>(n + co_await std::move(f));
  std::vector<tutti::task<int>> tasks;
  auto copyable = [] {};

#ifdef FAIL_awaiting_an_lvalue  // expect: co_await std::move(
  auto named = number();
  co_await named;
#endif
#ifdef FAIL_awaiting_a_const_task  // expect: co_await std::move(
  const auto named = number();
  co_await std::move(named);
#endif
#ifdef FAIL_awaiting_a_named_future  // expect: co_await std::move(
  auto named = pool.submit(number());
  co_await named;
#endif
#ifdef FAIL_copying  // expect: deleted
  auto a = number();
  auto b = a;
#endif
#ifdef FAIL_task_of_a_reference  // expect: reference_wrapper
  tutti::task<int&> reference;
#endif
#ifdef FAIL_discarding  // expect: nodiscard
  number();
#endif
#ifdef FAIL_discarding_with_timeout  // expect: nodiscard
  tutti::with_timeout(number(), std::chrono::seconds(1));
#endif
#ifdef FAIL_discarding_when_all  // expect: nodiscard
  tutti::when_all(number(), number());
#endif
#ifdef FAIL_discarding_sleep  // expect: nodiscard
  tutti::sleep_for(std::chrono::seconds(1));
#endif
#ifdef FAIL_discarding_yield  // expect: nodiscard
  tutti::yield_now();
#endif
#ifdef FAIL_discarding_resume_on  // expect: nodiscard
  tutti::resume_on(pool);
#endif
#ifdef FAIL_discarding_a_group  // expect: nodiscard
  tutti::task_group::run([](tutti::task_group&) -> tutti::task<> { co_return; });
#endif
#ifdef FAIL_discarding_a_spawned_one  // expect: to drop it, which lets the call run on, write (void)
  tutti::spawn(number());
#endif
#ifdef FAIL_sync_wait_of_an_lvalue  // expect: hand it on with std::move(t)
  auto named = number();
  tutti::sync_wait(named);
#endif
#ifdef FAIL_submit_of_an_lvalue  // expect: hand it on with std::move(t)
  auto named = number();
  (void)pool.submit(named);
#endif
#ifdef FAIL_spawn_of_an_lvalue  // expect: hand it on with std::move(t)
  auto named = number();
  (void)tutti::spawn(named);
#endif
#ifdef FAIL_sync_wait_of_a_named_future  // expect: hand it on with std::move(f), or share() it
  auto named = pool.submit(number());
  tutti::sync_wait(named);
#endif
#ifdef FAIL_posting_a_task  // expect: nobody would learn how it ends
  pool.post(number());
#endif
#ifdef FAIL_when_all_of_functions  // expect: call the functions that return tasks
  co_await tutti::when_all(number, nothing);
#endif
#ifdef FAIL_when_all_of_tasks_and_futures  // expect: a future becomes a task by a coroutine that awaits it
  co_await tutti::when_all(number(), std::move(f));
#endif
#ifdef FAIL_when_all_settled_of_functions  // expect: call the functions that return tasks
  co_await tutti::when_all_settled(number, nothing);
#endif
#ifdef FAIL_when_any_of_functions  // expect: call the functions that return tasks
  co_await tutti::when_any(number, nothing);
#endif
#ifdef FAIL_when_all_of_an_lvalue  // expect: hand the range over with std::move
  co_await tutti::when_all(tasks);
#endif
#ifdef FAIL_awaiting_what_is_no_awaitable  // expect: cannot be awaited
  co_await not_awaitable();
#endif
#ifdef FAIL_timeout_of_what_is_no_awaitable  // expect: work is a task or a future
  co_await tutti::with_timeout(not_awaitable(), std::chrono::seconds(1));
#endif
#ifdef FAIL_timeout_of_a_function  // expect: call the function that returns one
  co_await tutti::with_timeout(number, std::chrono::seconds(1));
#endif
#ifdef FAIL_timeout_without_a_unit  // expect: limit is a duration, such as 2s
  co_await tutti::with_timeout(number(), 5);
#endif
#ifdef FAIL_sleep_without_a_unit  // expect: sleep_for
  co_await tutti::sleep_for(5);
#endif
#ifdef FAIL_fork_join_of_tasks  // expect: await them together with when_all
  (void)tutti::fork_join([] { return number(); }, [] {});
#endif
#ifdef FAIL_group_body_that_is_no_coroutine  // expect: must return a task
  co_await tutti::task_group::run([](tutti::task_group&) {});
#endif
#ifdef FAIL_group_child_that_is_no_coroutine  // expect: spawn
  co_await tutti::task_group::run([&](tutti::task_group& g) -> tutti::task<> {
    g.spawn(copyable);
    co_return;
  });
#endif
#ifdef FAIL_for_each_without_tasks  // expect: f(element) must return a task
  co_await tutti::for_each_async(std::vector<int>(3), 2, [](int) {});
#endif
#ifdef FAIL_retry_without_tasks  // expect: must return a task
  co_await tutti::retry([] { return 1; }, tutti::retry_options{});
#endif
#ifdef FAIL_retry_of_a_task  // expect: give the function itself, not its task
  co_await tutti::retry(number());
#endif
#ifdef FAIL_result_of_another_type  // expect: return_value
  auto wrong = []() -> tutti::task<int> { co_return std::string("text"); };
#endif
#ifdef FAIL_reference_parameter  // expect: a portable function cannot take T&
  int a = 1;
  (void)pool.submit<by_reference>(a);
#endif
#ifdef FAIL_awaiting_in_a_generator  // expect: make it an async_generator
  auto wrong = []() -> tutti::generator<int> {
    co_await nothing();
    co_yield 1;
  };
#endif
}
