#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <tutti/base/registry.hpp>

namespace registry_test {

int add(int a, int b) { return a + b; }
std::string join(const std::vector<std::string>& parts, std::string_view between) {
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : std::string(between)) + part;
  return out;
}
void fails(int code) { throw std::out_of_range("code " + std::to_string(code)); }
int registered_by_mention(int a) { return a * 2; }
struct opaque {
  explicit opaque(int v) : value(v) {}
  int value;
};
int takes_opaque(const opaque& o) { return o.value; }

}  // namespace registry_test

namespace {

using namespace registry_test;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using tutti::decode;
using tutti::encode;
using tutti::find_function;

std::string call(const tutti::function_info& function, std::string_view arguments) {
  std::string result;
  function.invoke(arguments, result);
  return result;
}

std::string lookup_error(std::string_view name) {
  try {
    (void)find_function(name);
  } catch (const tutti::error& e) {
    return e.what();
  }
  return "found";
}

// A loaded plugin; unloaded at the end of its block.
class plugin {
 public:
  explicit plugin(const std::string& name) : path_(TUTTI_TESTLIB_DIR "/" + name + ".so") {
    handle_ = dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) ADD_FAILURE() << dlerror();
  }
  ~plugin() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  plugin(const plugin&) = delete;
  plugin& operator=(const plugin&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  void* handle_ = nullptr;
};

TEST(registry, decodes_calls_encodes) {
  const auto& info = tutti::function_of<join>();
  EXPECT_EQ(info.name, "registry_test::join");
  EXPECT_EQ(info.address, reinterpret_cast<void*>(&join));
  EXPECT_THAT(info.library, HasSubstr("base_test"));
  const auto arguments = tutti::function_traits<join>::store(std::vector<std::string>{"a", "b"}, "-");
  EXPECT_EQ(decode<std::string>(call(find_function("registry_test::join"), encode(arguments))), "a-b");
}

TEST(registry, result_is_appended) {
  std::string out = "header ";
  tutti::function_of<add>().invoke(encode(std::tuple(2, 3)), out);
  ASSERT_EQ(out.substr(0, 7), "header ");
  EXPECT_EQ(decode<int>(out.substr(7)), 5);
}

TEST(registry, a_mention_registers) {
  [[maybe_unused]] const auto value = tutti::fn<registered_by_mention>;
  EXPECT_EQ(decode<int>(call(find_function("registry_test::registered_by_mention"), encode(std::tuple(21)))), 42);
}

TEST(registry, what_cannot_be_encoded_is_a_value_but_not_registered) {
  EXPECT_EQ(tutti::fn<takes_opaque>(opaque(3)), 3);
  EXPECT_THROW((void)find_function("registry_test::takes_opaque"), tutti::not_registered);
}

TEST(registry, exceptions_pass_through) {
  const auto& info = tutti::function_of<fails>();
  EXPECT_THROW((void)call(info, encode(std::tuple(3))), std::out_of_range);
  EXPECT_THROW((void)call(info, ""), tutti::decode_error);
  EXPECT_THROW((void)call(info, encode(std::tuple(3, 4))), tutti::decode_error);
}

TEST(registry, unknown_names_get_near_ones) {
  (void)tutti::function_of<add>();
  EXPECT_THROW((void)find_function("no::such"), tutti::not_registered);
  EXPECT_THAT(lookup_error("registry_test::ad"), AllOf(HasSubstr("\"registry_test::ad\""), HasSubstr("did you mean"),
                                                       HasSubstr("\"registry_test::add\"")));
  EXPECT_THAT(lookup_error("other::add"), HasSubstr("\"registry_test::add\""));
  EXPECT_THAT(lookup_error("zzzzzzzzzzzzzzzzzzz"), Not(HasSubstr("did you mean")));
  EXPECT_LT(lookup_error(std::string(1 << 20, 'x')).size(), 2000u);
}

TEST(registry, another_signature_is_another_function) {
  const auto& info = tutti::function_of<add>();
  EXPECT_EQ(&find_function(info.name, info.signature), &info);
  try {
    (void)find_function(info.name, info.signature + 1);
    FAIL() << "found";
  } catch (const tutti::not_registered& e) {
    EXPECT_THAT(e.what(), HasSubstr("other parameters"));
  }
}

TEST(registry, libraries_come_and_go) {
  EXPECT_THROW((void)find_function("plugins::greet"), tutti::not_registered);
  const std::size_t before = tutti::registered_functions().size();
  for (int round = 0; round < 3; ++round) {
    const plugin alpha("registry_alpha_testlib");
    const auto& info = find_function("plugins::greet");
    EXPECT_EQ(info.library, alpha.path());
    EXPECT_EQ(decode<std::string>(call(info, encode(std::tuple(std::string("you"))))), "alpha greets you");
  }
  EXPECT_THROW((void)find_function("plugins::greet"), tutti::not_registered);
  EXPECT_EQ(tutti::registered_functions().size(), before);
}

TEST(registry, two_libraries_with_one_identity) {
  auto alpha = std::make_unique<plugin>("registry_alpha_testlib");
  const plugin beta("registry_beta_testlib");
  EXPECT_EQ(decode<std::string>(call(find_function("plugins::who"), encode(std::tuple()))), "alpha");
  alpha.reset();
  EXPECT_EQ(decode<std::string>(call(find_function("plugins::who"), encode(std::tuple()))), "beta");
}

TEST(registry, two_libraries_that_disagree) {
  const plugin alpha("registry_alpha_testlib");
  const plugin beta("registry_beta_testlib");
  EXPECT_THROW((void)find_function("plugins::changed"), tutti::ambiguous_function);
  EXPECT_THAT(lookup_error("plugins::changed"), AllOf(HasSubstr(alpha.path()), HasSubstr(beta.path())));
  // The signature tells them apart.
  const auto& chosen = find_function("plugins::changed", tutti::detail::hash_text("St5tupleIJllEE"));
  EXPECT_EQ(chosen.library, beta.path());
  EXPECT_EQ(decode<long>(call(chosen, encode(std::tuple(2L, 3L)))), 5);
}

TEST(registry, one_library_with_one_name_for_two_functions) {
  const plugin beta("registry_beta_testlib");
  EXPECT_THROW((void)find_function("plugins.twice"), tutti::ambiguous_function);
  EXPECT_THAT(lookup_error("plugins.twice"),
              AllOf(HasSubstr("plugins::first"), HasSubstr("plugins::second"), HasSubstr("named<")));
}

TEST(registry, lookups_while_libraries_come_and_go) {
  std::jthread reader([](const std::stop_token& stop) {
    while (!stop.stop_requested()) EXPECT_EQ(find_function("registry_test::add").name, "registry_test::add");
  });
  for (int i = 0; i < 50; ++i) const plugin alpha("registry_alpha_testlib");
}

}  // namespace
