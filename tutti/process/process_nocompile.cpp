// What must not compile, and what the compiler must say.
#include <memory>
#include <string>
#include <tutti/process/process_channel.hpp>
#include <tutti/process/process_pool.hpp>
#include <tutti/process/shared_array.hpp>
#include <tutti/process/shared_value.hpp>

namespace calls {
void listen(tutti::process_reader<int>) {}
void load(int) {}
}  // namespace calls

void start(tutti::process_reader<int> end) {
#ifdef FAIL_process_of_a_lambda  // expect: another process finds a function by its name
  const tutti::process p([] {});
#endif
#ifdef FAIL_process_of_a_function  // expect: write tutti::fn<f> for a function f
  const tutti::process p(calls::load, 1);
#endif
#ifdef FAIL_initializer_of_a_function  // expect: write tutti::fn<f> for a function f
  const tutti::process_pool pool({.workers = 1}, calls::load, 1);
#endif
#ifdef FAIL_initializer_of_a_lambda  // expect: another process finds a function by its name
  const tutti::process_pool pool(1, [](int) {}, 1);
#endif
#ifdef FAIL_end_that_is_not_given_away  // expect: give it away with std::move
  const tutti::process p(tutti::fn<calls::listen>, end);
#endif
  const tutti::process p(tutti::fn<calls::listen>, std::move(end));
  const tutti::process_pool pool(1, tutti::fn<calls::load>, 1);
}

void use(const tutti::shared_value<int>& number, const tutti::shared_value<double>& real) {
  (void)number.fetch_add(1);
  (void)real.fetch_add(1);

#ifdef FAIL_value_of_a_string  // expect: a shared_value needs a trivially copyable type
  tutti::shared_value<std::string> text("x");
#endif
#ifdef FAIL_value_of_a_pointer  // expect: a shared_value cannot hold a pointer: an address means nothing
  tutti::shared_value<int*> pointer(nullptr);
#endif
#ifdef FAIL_value_of_a_constant  // expect: needs a T without const or volatile
  tutti::shared_value<const int> constant(1);
#endif
#ifdef FAIL_array_of_strings  // expect: a shared_array needs a trivially copyable type
  tutti::shared_array<std::string> texts(1);
#endif
#ifdef FAIL_array_of_pointers  // expect: a shared_array cannot hold pointers: an address means nothing
  tutti::shared_array<const char*> pointers(1);
#endif
#ifdef FAIL_array_of_constants  // expect: needs a T without const or volatile
  tutti::shared_array<const int> constants(1);
#endif
#ifdef FAIL_bits_of_a_real  // expect: fetch_or
  (void)real.fetch_or(1);
#endif
#ifdef FAIL_update_that_gives_something_else  // expect: update
  (void)number.update([](int) { return std::string(); });
#endif
}
