// What must not compile, and what the compiler must say.
#include <memory>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/json.hpp>
#include <tutti/base/registry.hpp>

namespace portable {

int by_reference(int& a);
int by_pointer(const int* a);
int by_text_pointer(const char* a);
int by_span(std::span<int> a);
int by_span_of_bool(std::span<const bool> a);
int good(int a, std::string_view b);
template <class T>
T instance(T a);
template <class T>
struct holder {
  static int in_template(int a);
};
struct opaque {
  explicit opaque(int);
};
int takes_opaque(const opaque& a);
int takes_unique(std::unique_ptr<int> a);
std::string_view returns_view(int a);
std::shared_ptr<int> returns_shared(int a);
struct has_pointer {
  int* p;
};
struct outer {
  std::vector<has_pointer> list;
};
struct point {
  int x;
};
struct with_base : point {
  int y;
};
struct mute_exception : std::exception {
  explicit mute_exception(int);
};

}  // namespace portable

namespace {
[[maybe_unused]] int hidden(int a) { return a; }
}  // namespace

using namespace portable;

void use() {
  (void)tutti::function_of<good>();
  (void)tutti::function_traits<good>::store(1, "x");

#ifdef FAIL_by_reference  // expect: a portable function cannot take T&
  (void)tutti::function_of<by_reference>();
#endif
#ifdef FAIL_by_reference_locally  // expect: a portable function cannot take T&
  (void)tutti::function_traits<by_reference>::store(1);
#endif
#ifdef FAIL_by_pointer  // expect: a portable function cannot take a pointer
  (void)tutti::function_of<by_pointer>();
#endif
#ifdef FAIL_by_text_pointer  // expect: a portable function cannot take a pointer
  (void)tutti::fn<by_text_pointer>;
#endif
#ifdef FAIL_by_span  // expect: a portable function cannot take std::span<T> of non-const T
  (void)tutti::function_of<by_span>();
#endif
#ifdef FAIL_by_span_of_bool  // expect: a portable function cannot take std::span<const bool>
  (void)tutti::function_of<by_span_of_bool>();
#endif
#ifdef FAIL_lambda  // expect: a lambda has no name that another process could find
  (void)tutti::function_of<[](int a) { return a; }>();
#endif
#ifdef FAIL_hidden  // expect: a function in an unnamed namespace or a local class has no name
  (void)tutti::function_of<hidden>();
#endif
#ifdef FAIL_template  // expect: an instance of a template has no name that another process could find
  (void)tutti::function_of<holder<int>::in_template>();
#ifndef __clang__  // clang spells it without the arguments
  (void)tutti::function_of<instance<int>>();
#endif
#endif
#ifdef FAIL_no_function  // expect: not a function: a portable function is a free function
  (void)tutti::function_of<5>();
#endif
#ifdef FAIL_member_function  // expect: not a function: a portable function is a free function
  (void)tutti::function_of<&std::string::size>();
#endif
#ifdef FAIL_too_few_arguments  // expect: wrong number of arguments
  (void)tutti::function_traits<good>::store(1);
#endif
#ifdef FAIL_forgotten_move  // expect: give it away with std::move
  std::unique_ptr<int> mine;
  (void)tutti::function_traits<takes_unique>::store(mine);
#endif
#ifdef FAIL_no_conversion  // expect: an argument does not convert implicitly to the parameter's type
  (void)tutti::function_traits<good>::store("one", "x");
#endif
#ifdef FAIL_explicit_conversion  // expect: an argument does not convert implicitly to the parameter's type
  (void)tutti::function_traits<takes_opaque>::store(1);
#endif
#ifdef FAIL_parameter  // expect: this type cannot be encoded
  (void)tutti::function_of<takes_opaque>();
#endif
#ifdef FAIL_result_view  // expect: a view cannot be encoded
  (void)tutti::function_of<returns_view>();
#endif
#ifdef FAIL_result_shared  // expect: this type cannot be encoded
  (void)tutti::function_of<returns_shared>();
#endif
#ifdef FAIL_encode_pointer  // expect: a pointer or reference cannot be encoded
  (void)tutti::encode(outer{});
#endif
#ifdef FAIL_encode_long_double  // expect: long double cannot be encoded
  (void)tutti::encode(std::vector<long double>());
#endif
#ifdef FAIL_encode_base  // expect: aggregate of encodable members without base classes
  (void)tutti::encode(with_base{});
#endif
#ifdef FAIL_json_pointer  // expect: a pointer or reference cannot be encoded
  (void)tutti::encode_json(outer{});
#endif
#ifdef FAIL_exception  // expect: this exception can neither be encoded
  (void)tutti::register_exception<mute_exception>();
#endif
}
