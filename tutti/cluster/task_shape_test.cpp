// task_shape: where a task's code is.
#include <gtest/gtest.h>
#include <tutti/cluster/task_shape.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>

namespace tutti::cluster::detail {
namespace {

namespace fs = std::filesystem;

const char* library_of_cos() {
  double (*const function)(double) = &std::cos;
  return library_of(reinterpret_cast<const void*>(function));
}

// A process that goes elsewhere must find it, too.
TEST(LibraryOf, IsAWholePathAlsoWhenItWasLoadedByLess) {
  EXPECT_STREQ(library_of(reinterpret_cast<const void*>(&library_of_cos)), "");  // this program
  std::string folder = testing::TempDir() + "tutti_library_XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const fs::path before = fs::current_path();
  fs::copy_file(library_of_cos(), folder + "/libcopy.so");
  fs::current_path(folder);
  const std::unique_ptr<void, int (*)(void*)> library(::dlopen("./libcopy.so", RTLD_NOW | RTLD_LOCAL), &::dlclose);
  const fs::path found =
      library ? library_of(::dlsym(library.get(), "cos")) : "";  // as its tasks do when they are entered
  fs::current_path(before);
  EXPECT_TRUE(found.is_absolute()) << found;
  EXPECT_TRUE(fs::equivalent(found, folder + "/libcopy.so")) << found;
  fs::remove_all(folder);
}

}  // namespace
}  // namespace tutti::cluster::detail
