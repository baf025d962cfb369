// What must not compile, and what the compiler must say.
#include <list>
#include <optional>
#include <string>
#include <tutti/parallel/parallel.hpp>
#include <vector>

namespace misuse {

void good() {
  std::vector<int> x(10);
  tutti::parallel_for(0, 10, [](int) {});
  tutti::parallel_for(x.begin(), x.end(), [](std::vector<int>::iterator) {});
  tutti::parallel_for(tutti::box(2, 3), [](std::ptrdiff_t, std::ptrdiff_t) {});
  tutti::parallel_for_each(x, [](int&) {});
  tutti::pipeline({}, [] { return std::optional<int>(); }, tutti::in_parallel([](int) {}));
}

#ifdef FAIL_body_takes_elements  // expect: elements of a range are for parallel_for_each
void bad() {
  std::vector<std::string> x;
  tutti::parallel_for(x.begin(), x.end(), [](std::string&) {});
}
#endif
#ifdef FAIL_body_takes_nothing  // expect: takes one index or iterator, body(i), or a block, body(first, last)
void bad() {
  tutti::parallel_for(0, 10, [] {});
}
#endif
#ifdef FAIL_reduce_body_takes_nothing  // expect: takes one index or iterator, body(i), or a block, body(first, last)
int bad() {
  return tutti::parallel_reduce(0, 10, 0, [] { return 1; }, std::plus<>());
}
#endif
#ifdef FAIL_list_iterators  // expect: the bounds of a parallel loop are integers or random access iterators
void bad() {
  std::list<int> x;
  tutti::parallel_for(x.begin(), x.end(), [](std::list<int>::iterator) {});
}
#endif
#ifdef FAIL_numbers_between  // expect: the bounds of a parallel loop are integers or random access iterators
void bad() {
  tutti::parallel_for(0.0, 1.0, [](double) {});
}
#endif
#ifdef FAIL_range_without_each  // expect: the elements of a range are for parallel_for_each
void bad() {
  tutti::parallel_for(std::vector<int>(), [](int) {});
}
#endif
#ifdef FAIL_range_without_each_on_a_pool  // expect: the elements of a range are for parallel_for_each
void bad(tutti::local_executor& pool) {
  tutti::parallel_for(pool, std::vector<int>(), [](int) {});
}
#endif
#ifdef FAIL_reduce_to_something_else  // expect: cannot combine the identity with what the body returns
std::string bad() {
  return tutti::parallel_reduce(0, 10, std::string(), [](int i) { return std::vector<int>(i); }, std::plus<>());
}
#endif
#ifdef FAIL_filter_of_a_list  // expect: parallel_filter needs a range with random access and a size
std::vector<int> bad() {
  return tutti::parallel_filter(std::list<int>(), [](int) { return true; });
}
#endif
#ifdef FAIL_pipeline_stage_of_no_kind  // expect: say which
void bad() {
  tutti::pipeline({}, [] { return std::optional<int>(); }, [](int) {});
}
#endif
#ifdef FAIL_box_body  // expect: takes an index for each dimension, or a const box<N>&
void bad() {
  tutti::parallel_for(tutti::box(2, 3), [](std::ptrdiff_t) {});
}
#endif
#ifdef FAIL_for_each_body  // expect: takes an element of the range, or an element and a feeder
void bad() {
  tutti::parallel_for_each(std::vector<int>(), [](std::string&) {});
}
#endif
#ifdef FAIL_pipeline_source  // expect: source takes nothing and returns std::optional of an item
void bad() {
  tutti::pipeline({}, [] { return 1; }, tutti::in_parallel([](int) {}));
}
#endif
#ifdef FAIL_pipeline_stage_takes_something_else  // expect: does not take what the stage before it returns
void bad() {
  tutti::pipeline({}, [] { return std::optional<int>(); }, tutti::in_parallel([](std::string) {}));
}
#endif
#ifdef FAIL_pipeline_stage_returns_nothing  // expect: returns nothing, but there is one after it
void bad() {
  tutti::pipeline(
      {}, [] { return std::optional<int>(); }, tutti::in_parallel([](int) {}), tutti::serial_in_order([](int) {}));
}
#endif

}  // namespace misuse
