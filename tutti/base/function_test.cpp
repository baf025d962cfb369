#include <gtest/gtest.h>
#include <memory>
#include <tutti/base/registry.hpp>

namespace function_test {

int add(int a, int b) { return a + b; }
int quiet(int a) noexcept { return -a; }
std::size_t measure(std::string_view text, std::span<const int> numbers, const std::string& more) {
  return text.size() + numbers.size() + more.size();
}
std::unique_ptr<int> pass_on(std::unique_ptr<int>&& owned, const std::unique_ptr<int>& looked_at) {
  *owned += *looked_at;
  return std::move(owned);
}
const std::string& longest(const std::string& a, const std::string& b) { return a.size() < b.size() ? b : a; }
int sum_of_three(std::span<const int, 3> v) { return v[0] + v[1] + v[2]; }
void nothing() {}
inline namespace v2 {
int inlined(int a) { return a; }
}  // namespace v2
struct outer {
  struct inner {
    static long twice(long a) { return 2 * a; }
  };
};
template <class T>
T scaled(T a, T b) {
  return a * b;
}
int overloaded(int a) { return a; }
double overloaded(double a) { return a; }

}  // namespace function_test

extern "C" int function_test_in_c(int a) { return a + 100; }
int function_test_global(int a) { return a + 1; }

namespace {

using namespace function_test;
using tutti::fn;
using tutti::function_traits;
using tutti::identity;
using tutti::named;

TEST(function, parameters_become_values) {
  using traits = function_traits<measure>;
  static_assert(std::is_same_v<traits::stored_args, std::tuple<std::string, std::vector<int>, std::string>>);
  static_assert(std::is_same_v<traits::result, std::size_t>);
  static_assert(traits::arity == 3);
  static_assert(std::is_same_v<function_traits<longest>::result, std::string>);
  static_assert(std::is_same_v<function_traits<nothing>::result, void>);
  static_assert(std::is_same_v<function_traits<sum_of_three>::stored_args, std::tuple<std::array<int, 3>>>);
  static_assert(std::is_same_v<function_traits<quiet>::stored_args, std::tuple<int>>);
}

TEST(function, arguments_convert_implicitly) {
  const std::vector<int> numbers{1, 2, 3};
  const int raw[] = {1, 2};
  auto a = function_traits<measure>::store("abc", numbers, "x");
  EXPECT_EQ(function_traits<measure>::call(a), 7u);
  auto b = function_traits<measure>::store(std::string_view("ab"), raw, std::string("yz"));
  EXPECT_EQ(function_traits<measure>::call(b), 6u);
  auto c = function_traits<measure>::store(std::string("ab"), std::vector<int>{7}, "");
  EXPECT_EQ(function_traits<measure>::call(c), 3u);
  auto d = function_traits<sum_of_three>::store(std::array<int, 3>{1, 2, 3});
  EXPECT_EQ(function_traits<sum_of_three>::call(d), 6);
  auto e = function_traits<add>::store('a', true);
  EXPECT_EQ(function_traits<add>::call(e), 'a' + 1);
}

TEST(function, the_stored_copy_is_the_callers_no_more) {
  std::string text = "before";
  auto stored = function_traits<measure>::store(std::string_view(text), std::vector<int>(), "");
  text = "changed afterwards";
  EXPECT_EQ(std::get<0>(stored), "before");
}

TEST(function, moves_what_can_only_move) {
  auto stored = function_traits<pass_on>::store(std::make_unique<int>(40), std::make_unique<int>(2));
  EXPECT_EQ(*function_traits<pass_on>::call(std::move(stored)), 42);
}

TEST(function, identity_is_the_qualified_name) {
  EXPECT_EQ(identity<add>().name, "function_test::add");
  EXPECT_EQ(identity<&add>().name, "function_test::add");
  EXPECT_EQ(identity<quiet>().name, "function_test::quiet");
  EXPECT_EQ(identity<longest>().name, "function_test::longest");
  EXPECT_EQ(identity<nothing>().name, "function_test::nothing");
  EXPECT_EQ(identity<inlined>().name, "function_test::v2::inlined");
  EXPECT_EQ(identity<outer::inner::twice>().name, "function_test::outer::inner::twice");
  EXPECT_EQ(identity<function_test_global>().name, "function_test_global");
  EXPECT_EQ(identity<function_test_in_c>().name, "function_test_in_c");
  EXPECT_EQ(identity<fn<add>>(), identity<add>());
}

TEST(function, identity_by_name) {
  EXPECT_EQ((identity<named<"calc.scaled", scaled<int>>>().name), "calc.scaled");
  EXPECT_EQ((identity<named<"calc.over", static_cast<double (*)(double)>(overloaded)>>().name), "calc.over");
  EXPECT_EQ((identity<named<"calc.lambda", [](int a) { return a; }>>().name), "calc.lambda");
}

// The numbers are part of the wire format: g++ and clang must both give them.
TEST(function, signature_is_the_same_on_every_compiler) {
  EXPECT_EQ(identity<add>().signature, tutti::detail::hash_text("St5tupleIJiiEE"));
  EXPECT_EQ(
      identity<measure>().signature,
      tutti::detail::hash_text("St5tupleIJNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESt6vectorIiSaIiEES5_EE"));
  EXPECT_EQ(tutti::detail::hash_text(""), 0xcbf29ce484222325u);
  EXPECT_EQ(tutti::detail::hash_text("a"), 0xaf63dc4c8601ec8cu);
}

TEST(function, signature_follows_the_parameters) {
  EXPECT_NE(identity<add>().signature, identity<quiet>().signature);
  EXPECT_EQ((identity<named<"x", add>>().signature), identity<add>().signature);
}

TEST(function, a_value_can_be_called) {
  EXPECT_EQ(fn<add>(2, 3), 5);
  EXPECT_EQ((fn<named<"calc.scaled", scaled<int>>>(2, 3)), 6);
  EXPECT_EQ((function_traits<named<"calc.scaled", scaled<int>>>::pointer), &scaled<int>);
  static_assert(tutti::portable_value<decltype(fn<add>)>);
  static_assert(tutti::portable_value<decltype(named<"x", add>)>);
  static_assert(!tutti::portable_value<decltype(&add)>);
}

}  // namespace
