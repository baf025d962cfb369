#include <tutti/task/generator.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using tutti::elements_of;
using tutti::generator;

constexpr int million = 1'000'000;

static_assert(std::ranges::view<generator<int>>);
static_assert(std::ranges::input_range<generator<int>> && !std::ranges::forward_range<generator<int>>);
static_assert(std::ranges::input_range<generator<std::unique_ptr<int>>>);
static_assert(std::ranges::input_range<generator<std::string&>>);
static_assert(std::ranges::input_range<generator<const std::string&>>);
static_assert(std::same_as<std::ranges::range_reference_t<generator<int>>, int&&>);
static_assert(std::same_as<std::ranges::range_reference_t<generator<int&>>, int&>);
static_assert(std::same_as<std::ranges::range_reference_t<generator<const int&>>, const int&>);
static_assert(std::same_as<std::ranges::range_value_t<generator<const std::string&>>, std::string>);
static_assert(!std::copy_constructible<generator<int>> && std::movable<generator<int>>);
static_assert(sizeof(generator<int>) == sizeof(void*));

generator<std::uint64_t> fibonacci() {
  for (std::uint64_t a = 0, b = 1;; a = std::exchange(b, a + b)) co_yield a;
}

generator<int> count(int from, int to) {
  for (int i = from; i < to; ++i) co_yield i;
}

template <class Range>
auto list(Range&& range) {
  std::vector<std::ranges::range_value_t<Range>> all;
  for (auto&& element : range) all.push_back(std::forward<decltype(element)>(element));
  return all;
}

// What happens, as text.
struct journal {
  std::string text;
};
// Says when it goes out of scope.
class witness {
 public:
  witness(journal& all, std::string name) : all_(all), name_(std::move(name)) {}
  witness(const witness&) = delete;
  witness& operator=(const witness&) = delete;
  ~witness() { all_.text += "~" + name_ + " "; }

 private:
  journal& all_;
  std::string name_;
};

template <class Act>
std::string misuse(Act act) {
  try {
    act();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "no std::logic_error";
}

TEST(generator, gives_what_is_yielded) {
  EXPECT_EQ(list(count(3, 7)), (std::vector{3, 4, 5, 6}));
  EXPECT_TRUE(list(count(0, 0)).empty());
}

TEST(generator, infinite_ones_are_taken_from) {
  EXPECT_EQ(list(fibonacci() | std::views::take(10)), (std::vector<std::uint64_t>{0, 1, 1, 2, 3, 5, 8, 13, 21, 34}));
  std::uint64_t last = 0;
  for (const std::uint64_t n : fibonacci()) {
    if (n > 1'000'000) break;
    last = n;
  }
  EXPECT_EQ(last, 832'040U);
}

TEST(generator, runs_only_when_asked) {
  int steps = 0;
  auto steps_of = [&]() -> generator<int> {
    for (;;) {
      ++steps;
      co_yield steps;
    }
  };
  {
    auto g = steps_of();
    EXPECT_EQ(steps, 0);
    auto i = g.begin();
    EXPECT_EQ(steps, 1);
    EXPECT_EQ(*i, 1);
    EXPECT_EQ(*i, 1);  // looking changes nothing
    ++i;
    i++;
    EXPECT_EQ(*i, 3);
  }
  EXPECT_EQ(steps, 3);
}

TEST(generator, goes_through_pipelines) {
  auto even = [](const int& i) { return i % 2 == 0; };
  auto squares = count(0, 100) | std::views::filter(even) | std::views::transform([](int i) { return i * i; }) |
                 std::views::drop(1) | std::views::take_while([](int i) { return i < 50; });
  EXPECT_EQ(list(squares), (std::vector{4, 16, 36}));

  auto g = count(0, 5);
  EXPECT_EQ(list(std::move(g) | std::views::drop_while([](const int& i) { return i < 3; })), (std::vector{3, 4}));

  auto words = []() -> generator<std::vector<std::string>> {
    std::vector<std::string> line{"a", "b"};
    co_yield line;
    line.push_back("c");
    co_yield line;
  };
  EXPECT_EQ(list(words() | std::views::join), (std::vector<std::string>{"a", "b", "a", "b", "c"}));

  auto pairs = []() -> generator<std::pair<int, std::string>> { co_yield std::pair(1, std::string("one")); };
  EXPECT_EQ(list(pairs() | std::views::values), std::vector<std::string>{"one"});
}

TEST(generator, goes_through_algorithms) {
  std::vector<int> all;
  std::ranges::copy(count(0, 4), std::back_inserter(all));
  EXPECT_EQ(all, (std::vector{0, 1, 2, 3}));
  EXPECT_EQ(std::ranges::count_if(count(0, 10), [](const int& i) { return i > 6; }), 3);
  EXPECT_EQ(std::ranges::max(count(0, 10)), 9);
  EXPECT_TRUE(std::ranges::equal(count(0, 3), std::vector{0, 1, 2}));
  EXPECT_TRUE(std::ranges::all_of(count(0, 3), [](int i) { return i < 3; }));
  int sum = 0;
  std::ranges::for_each(count(0, 10), [&](int i) { sum += i; });
  EXPECT_EQ(sum, 45);
  auto g = count(0, 10);
  auto four = std::ranges::find(g, 4);
  EXPECT_EQ(*four, 4);
  ++four;
  EXPECT_EQ(*four, 5);
}

TEST(generator, a_million_elements) {
  std::int64_t sum = 0;
  for (const int i : count(0, million)) sum += i;
  EXPECT_EQ(sum, std::int64_t{million} * (million - 1) / 2);
}

// ---- what the consumer gets

TEST(generator, variables_are_copied_and_what_is_moved_is_passed_on) {
  const std::string* address = nullptr;
  auto strings = [&]() -> generator<std::string> {
    std::string text = "a text too long to live inside a string";
    address = &text;
    co_yield text;
    EXPECT_EQ(text.size(), 39U);
    co_yield std::move(text);
    EXPECT_TRUE(text.empty()) << "the consumer took it";
    co_yield "from a pointer to characters";
    co_yield std::string("temporary ") + std::to_string(4);
  };
  auto g = strings();
  auto i = g.begin();
  EXPECT_NE(&static_cast<const std::string&>(*i), address);
  const std::string first = *i;
  ++i;
  EXPECT_EQ(&static_cast<const std::string&>(*i), address);
  const std::string second = *i;
  EXPECT_EQ(first, second);
  ++i;
  EXPECT_EQ(static_cast<const std::string&>(*i), "from a pointer to characters");
  ++i;
  EXPECT_EQ(static_cast<const std::string&>(*i), "temporary 4");
  ++i;
  EXPECT_EQ(i, g.end());
}

TEST(generator, move_only_elements) {
  auto numbers = []() -> generator<std::unique_ptr<int>> {
    for (int i = 0; i < 3; ++i) co_yield std::make_unique<int>(i);
    auto last = std::make_unique<int>(3);
    co_yield std::move(last);
  };
  std::vector<std::unique_ptr<int>> all;
  for (std::unique_ptr<int> p : numbers()) all.push_back(std::move(p));
  for (auto&& p : numbers()) all.push_back(std::forward<decltype(p)>(p));
  std::ranges::copy(numbers(), std::back_inserter(all));
  ASSERT_EQ(all.size(), 12U);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(*all[i], static_cast<int>(i % 4));
}

TEST(generator, of_references_lets_the_consumer_change_variables) {
  std::vector<int> numbers{1, 2, 3};
  auto each = [&]() -> generator<int&> {
    for (int& n : numbers) co_yield n;
  };
  for (int& n : each()) n *= 10;
  for (int& n : each() | std::views::drop(2)) ++n;
  EXPECT_EQ(numbers, (std::vector{10, 20, 31}));
}

TEST(generator, of_constant_references_copies_nothing) {
  struct unmovable {
    explicit unmovable(int v) : value(v) {}
    unmovable(const unmovable&) = delete;
    unmovable& operator=(const unmovable&) = delete;
    ~unmovable() = default;
    int value;
  };
  const unmovable one(1);
  auto each = [&]() -> generator<const unmovable&> {
    co_yield one;
    co_yield unmovable(2);  // lives until the next ++
    unmovable three(3);
    co_yield three;
  };
  auto g = each();
  auto i = g.begin();
  EXPECT_EQ(&*i, &one);
  EXPECT_EQ((*++i).value, 2);
  EXPECT_EQ((*++i).value, 3);
}

// An exception of a copy belongs to the co_yield that makes it.
TEST(generator, a_copy_that_throws_does_so_in_the_body) {
  struct fragile {
    fragile() = default;
    fragile(const fragile&) { throw std::runtime_error("copied"); }
    fragile(fragile&&) = default;
    fragile& operator=(const fragile&) = delete;
    ~fragile() = default;
  };
  std::string seen;
  auto one = [&]() -> generator<fragile> {
    fragile f;
    try {
      co_yield f;
    } catch (const std::runtime_error& error) {
      seen = error.what();
    }
    co_yield std::move(f);
  };
  int elements = 0;
  for (auto&& f : one()) {
    static_cast<void>(f);
    ++elements;
  }
  EXPECT_EQ(seen, "copied");
  EXPECT_EQ(elements, 1);
}

TEST(generator, arguments_live_in_the_coroutine) {
  auto letters = [](std::string text) -> generator<char> {
    for (const char c : text) co_yield c;
  };
  auto g = letters(std::string("abc"));
  EXPECT_EQ(list(g), (std::vector{'a', 'b', 'c'}));
}

TEST(generator, captures_live_in_the_lambda) {
  const auto shared = std::make_shared<int>(7);
  auto sevens = [shared]() -> generator<int> {
    for (;;) co_yield *shared;
  };
  EXPECT_EQ(list(sevens() | std::views::take(2)), (std::vector{7, 7}));
  int n = 0;
  auto by_reference = [&n]() -> generator<int> {
    while (n < 3) co_yield n++;
  };
  EXPECT_EQ(list(by_reference()), (std::vector{0, 1, 2}));
  EXPECT_EQ(n, 3);
}

TEST(generator, large_frames) {
  auto large = []() -> generator<int> {
    std::array<int, 4096> numbers{};
    std::iota(numbers.begin(), numbers.end(), 0);
    for (const int n : numbers) co_yield n;
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(list(large()).back(), 4095);
}

// ---- ends

TEST(generator, leaving_early_destroys_the_locals_in_their_order) {
  journal all;
  auto numbers = [&]() -> generator<int> {
    const witness first(all, "first");
    const witness second(all, "second");
    for (int i = 0;; ++i) {
      const witness inner(all, std::to_string(i));
      co_yield i;
    }
  };
  for (const int i : numbers()) {
    if (i == 2) break;
  }
  EXPECT_EQ(all.text, "~0 ~1 ~2 ~second ~first ");
}

TEST(generator, one_that_never_ran_destroys_its_arguments) {
  const auto shared = std::make_shared<int>(1);
  {
    auto g = [](std::shared_ptr<int> p) -> generator<int> { co_yield *p; }(shared);
    EXPECT_EQ(shared.use_count(), 2);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

TEST(generator, exceptions_come_out_of_begin_and_of_increment) {
  journal all;
  auto failing = [&](int at) -> generator<int> {
    const witness local(all, "local");
    for (int i = 0;; ++i) {
      if (i == at) throw std::runtime_error("at " + std::to_string(at));
      co_yield i;
    }
  };
  auto at_once = failing(0);
  EXPECT_THROW(static_cast<void>(at_once.begin()), std::runtime_error);
  EXPECT_EQ(all.text, "~local ");

  auto later = failing(1);
  auto i = later.begin();
  EXPECT_EQ(*i, 0);
  EXPECT_THROW(++i, std::runtime_error);
  EXPECT_EQ(i, later.end());
  EXPECT_NE(misuse([&] { ++i; }).find("++ at the end"), std::string::npos);

  std::vector<int> seen;
  EXPECT_THROW(std::ranges::copy(failing(3), std::back_inserter(seen)), std::runtime_error);
  EXPECT_EQ(seen, (std::vector{0, 1, 2}));
}

TEST(generator, moves_with_its_iterator) {
  auto g = count(0, 5);
  auto i = g.begin();
  auto h = std::move(g);
  ++i;
  EXPECT_EQ(*i, 1);
  h = count(7, 9);  // ends the old one
  EXPECT_EQ(list(h), (std::vector{7, 8}));
  auto& same = h;
  h = std::move(same);
  EXPECT_NE(misuse([&] { static_cast<void>(h.begin()); }).find("begin() a second time"), std::string::npos);
}

TEST(generator, goes_on_in_another_thread) {
  auto g = count(0, 3);
  auto i = g.begin();
  std::thread([&] { ++i; }).join();
  ++i;
  EXPECT_EQ(*i, 2);
  std::thread([h = std::move(g)] {}).join();  // destroyed there
}

TEST(generator, misuse_is_named) {
  auto g = count(0, 1);
  auto i = g.begin();
  EXPECT_EQ(misuse([&] { static_cast<void>(g.begin()); }),
            "tutti::generator<int>: begin() a second time: its elements can be read once");
  ++i;
  EXPECT_EQ(misuse([&] { static_cast<void>(*i); }), "tutti::generator<int>: * at the end");
  EXPECT_EQ(misuse([&] { ++i; }), "tutti::generator<int>: ++ at the end, or from inside the body");
  const auto h = std::move(g);
  EXPECT_EQ(misuse([&] { static_cast<void>(g.begin()); }),  // NOLINT(bugprone-use-after-move)
            "tutti::generator<int>: begin() of a generator that was moved from");
}

TEST(generator, a_body_cannot_step_itself) {
  std::string seen;
  generator<int>::iterator* self = nullptr;
  auto body = [&]() -> generator<int> {
    co_yield 1;
    seen = misuse([&] { ++*self; });
    co_yield 2;
  };
  auto g = body();
  auto i = g.begin();
  self = &i;
  ++i;
  EXPECT_EQ(*i, 2);
  EXPECT_NE(seen.find("from inside the body"), std::string::npos);
}

// ---- elements_of

struct node {
  std::string value;
  std::unique_ptr<node> left, right;
};

generator<const std::string&> in_order(const node* tree) {
  if (tree == nullptr) co_return;
  co_yield elements_of(in_order(tree->left.get()));
  co_yield tree->value;
  co_yield elements_of(in_order(tree->right.get()));
}

std::unique_ptr<node> tree_of(int first, int last) {
  if (first == last) return nullptr;
  const int middle = first + (last - first) / 2;
  auto tree = std::make_unique<node>();
  tree->value = std::to_string(middle);
  tree->left = tree_of(first, middle);
  tree->right = tree_of(middle + 1, last);
  return tree;
}

TEST(generator_elements_of, walks_a_tree) {
  const auto tree = tree_of(0, 1000);
  int next = 0;
  for (const std::string& value : in_order(tree.get())) EXPECT_EQ(value, std::to_string(next++));
  EXPECT_EQ(next, 1000);
}

TEST(generator_elements_of, a_variable_is_moved) {
  auto outer = []() -> generator<int> {
    generator<int> g = count(0, 2);
    co_yield -1;
    co_yield elements_of(std::move(g));
    EXPECT_NE(misuse([&] { static_cast<void>(g.begin()); }).find("moved from"), std::string::npos);
    co_yield elements_of(count(0, 0));
    co_yield 2;
  };
  EXPECT_EQ(list(outer()), (std::vector{-1, 0, 1, 2}));
}

TEST(generator_elements_of, other_ranges) {
  std::vector<int> numbers{1, 2};
  auto outer = [&]() -> generator<std::int64_t> {
    co_yield elements_of(numbers);
    co_yield elements_of(std::vector<int>(2, 4));  // a temporary
    co_yield elements_of(count(5, 7));             // a generator of another type
    co_yield elements_of(std::views::iota(7, 9));
    co_yield elements_of(count(9, 100) | std::views::take(1));
  };
  EXPECT_EQ(list(outer()), (std::vector<std::int64_t>{1, 2, 4, 4, 5, 6, 7, 8, 9}));
  auto references = [&]() -> generator<int&> { co_yield elements_of(numbers); };
  for (int& n : references()) ++n;
  EXPECT_EQ(numbers, (std::vector{2, 3}));
  const std::array<const char*, 2> letters{"a", "b"};
  auto strings = [&]() -> generator<std::string> { co_yield elements_of(letters); };
  EXPECT_EQ(list(strings()), (std::vector<std::string>{"a", "b"}));
}

generator<int> nest(int depth, journal& all) {
  const witness local(all, std::to_string(depth));
  if (depth > 0) co_yield elements_of(nest(depth - 1, all));
  co_yield depth;
}

TEST(generator_elements_of, locals_go_from_the_innermost_outwards) {
  journal all;
  for (const int i : nest(3, all)) {
    if (i == 1) break;
  }
  EXPECT_EQ(all.text, "~0 ~1 ~2 ~3 ");
  all.text.clear();
  EXPECT_EQ(list(nest(2, all)), (std::vector{0, 1, 2}));
  EXPECT_EQ(all.text, "~0 ~1 ~2 ");
}

TEST(generator_elements_of, exceptions_come_out_of_the_co_yield_first) {
  auto failing = [](int elements) -> generator<int> {
    for (int i = 0; i < elements; ++i) co_yield i;
    throw std::runtime_error("inner");
  };
  auto catching = [&]() -> generator<int> {
    try {
      co_yield elements_of(failing(2));
    } catch (const std::runtime_error&) {
    }
    co_yield 10;
    co_yield elements_of(failing(1));
    co_yield 11;
  };
  std::vector<int> seen;
  EXPECT_THROW(std::ranges::copy(catching(), std::back_inserter(seen)), std::runtime_error);
  EXPECT_EQ(seen, (std::vector{0, 1, 10, 0}));
}

TEST(generator_elements_of, misuse_is_named) {
  auto outer = [](generator<int> inner) -> generator<int> { co_yield elements_of(std::move(inner)); };
  auto g = count(0, 3);
  auto i = g.begin();
  EXPECT_EQ(*i, 0);
  EXPECT_EQ(misuse([&] { static_cast<void>(list(outer(std::move(g)))); }),
            "tutti::generator<int>: elements_of a generator that was begun");
  EXPECT_EQ(misuse([&] { static_cast<void>(list(outer(std::move(g)))); }),  // NOLINT(bugprone-use-after-move)
            "tutti::generator<int>: elements_of a generator that was moved from");
}

// ---- a million levels: nothing may recurse, and no step may cost more for the depth.

generator<int> deep(int levels, int elements) {
  if (levels == 0) {
    for (int i = 0; i < elements; ++i) co_yield i;
  } else {
    co_yield elements_of(deep(levels - 1, elements));
  }
}

TEST(generator_depth, a_million_elements_below_a_million_levels) {
  std::int64_t sum = 0;
  for (const int i : deep(million, million)) sum += i;
  EXPECT_EQ(sum, std::int64_t{million} * (million - 1) / 2);
}

TEST(generator_depth, leaving_a_million_levels) {
  int seen = 0;
  for (const int i : deep(million, 10)) {
    ++seen;
    if (i == 3) break;
  }
  EXPECT_EQ(seen, 4);
}

TEST(generator_depth, an_element_at_each_level) {
  auto levels = [](auto& self, int n) -> generator<int> {
    co_yield n;
    if (n > 0) co_yield elements_of(self(self, n - 1));
    co_yield -n;
  };
  std::int64_t sum = 0, elements = 0;
  for (const int i : levels(levels, million)) {
    sum += i;
    ++elements;
  }
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(elements, 2 * (million + 1));
}

TEST(generator_depth, an_exception_passes_many_levels) {
  auto failing = [](auto& self, int n) -> generator<int> {
    if (n == 0) throw std::runtime_error("innermost");
    co_yield elements_of(self(self, n - 1));
  };
  auto g = failing(failing, 100'000);
  EXPECT_THROW(static_cast<void>(g.begin()), std::runtime_error);
}

TEST(generator_depth, wrapped_a_million_times) {
  auto wrap = [](generator<int> inner) -> generator<int> { co_yield elements_of(std::move(inner)); };
  auto wrapped = [&] {
    auto g = count(0, 1000);
    for (int i = 0; i < million; ++i) g = wrap(std::move(g));
    return g;
  };
  EXPECT_EQ(list(wrapped()).size(), 1000U);
  auto left = wrapped();
  EXPECT_EQ(*left.begin(), 0);
  static_cast<void>(wrapped());  // never run
}

TEST(generator_depth, wrapped_in_several_ways_and_never_run) {
  const auto shared = std::make_shared<int>(1);
  auto first = [](std::shared_ptr<int>, generator<int> inner) -> generator<int> {
    co_yield elements_of(std::move(inner));
  };
  auto second = [](generator<int> inner, generator<int> other, std::shared_ptr<int>) -> generator<int&> {
    for (int i : inner) co_yield i;
    for (int i : other) co_yield i;
  };
  auto third = [](generator<int&> inner) -> generator<int> { co_yield elements_of(std::move(inner)); };
  {
    auto g = count(0, 3);
    for (int i = 0; i < 1000; ++i) g = third(second(first(shared, std::move(g)), first(shared, count(0, 1)), shared));
    EXPECT_EQ(shared.use_count(), 3001);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

}  // namespace
