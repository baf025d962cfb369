// What must not compile, and what the compiler must say.
#include <memory>
#include <string>
#include <tutti/cluster/cluster.hpp>
#include <vector>

#pragma GCC diagnostic error "-Wunused-result"

namespace misuse {

int add(int a, int b);
int by_reference(int& a);
int by_pointer(const char* a);
struct opaque {
  explicit opaque(int);
};
int takes_opaque(const opaque& a);
std::shared_ptr<int> returns_opaque(int a);

}  // namespace misuse

using tutti::fn;
using tutti::cluster::kw;
using namespace misuse;

const tutti::cluster::function good{fn<add>, {.name = "misuse.add", .params = {"a", "b"}}};

void use() {
  (void)good.delay(1, 2);
  (void)good.delay(1, kw("b", 2));
  (void)good.s(2).link(good.s(1, kw("b", 2)));
  (void)good.apply_async({.priority = 3}, 1, 2).get();

#ifdef FAIL_argument_that_does_not_convert  // expect: an argument does not convert implicitly to the parameter's type
  (void)good.delay(1, "x");
#endif
#ifdef FAIL_argument_of_an_async_call  // expect: an argument does not convert implicitly to the parameter's type
  (void)good.apply_async({.priority = 3}, std::string("x"), 1);
#endif
#ifdef FAIL_argument_of_an_immutable_signature  // expect: an argument does not convert implicitly
  (void)good.si(1, "x");
#endif
#ifdef FAIL_too_many_arguments  // expect: too many arguments for this task
  (void)good.delay(1, 2, 3);
#endif
#ifdef FAIL_position_behind_name  // expect: stand behind those by position
  (void)good.delay(kw("a", 1), 2);
#endif
#ifdef FAIL_position_behind_name_untyped  // expect: stand behind those by position
  (void)tutti::cluster::send_task("x", {}, kw("a", 1), 2);
#endif
#ifdef FAIL_default_by_name  // expect: defaults are given by position
  (void)tutti::cluster::defaults(kw("a", 1));
#endif
#ifdef FAIL_reference  // expect: a portable function cannot take T&
  const tutti::cluster::function bad{fn<by_reference>};
#endif
#ifdef FAIL_pointer  // expect: a portable function cannot take a pointer
  const tutti::cluster::function bad{fn<by_pointer>};
#endif
#ifdef FAIL_lambda_without_name  // expect: has no name that another process could find
  const tutti::cluster::function bad{fn<[](int a) { return a; }>};
#endif
#ifdef FAIL_parameter_without_json  // expect: this type cannot be encoded
  const tutti::cluster::function bad{fn<takes_opaque>};
#endif
#ifdef FAIL_result_without_json  // expect: this type cannot be encoded
  const tutti::cluster::function bad{fn<returns_opaque>};
#endif
#ifdef FAIL_copied_function  // expect: deleted
  const tutti::cluster::function other = good;
#endif
#ifdef FAIL_signature_of_no_json  // expect: this type cannot be encoded
  (void)good.s(opaque(1));
#endif
#ifdef FAIL_too_many_arguments_of_a_signature  // expect: too many arguments for this task
  (void)good.s(1, 2, 3);
#endif
#ifdef FAIL_argument_of_a_whole_signature  // expect: an argument does not convert implicitly
  (void)good.s(1, "x");
#endif
#ifdef FAIL_dropped_signature  // expect: nodiscard
  good.s(1, 2);
#endif
#ifdef FAIL_dropped_chain  // expect: nodiscard
  tutti::cluster::chain(good.s(1, 2), good.s(1));
#endif
}
