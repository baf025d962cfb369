// collect: the results of a map in a vector.
#pragma once
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti_test {

template <class Results>
auto collect(Results results) {
  std::vector<std::remove_cvref_t<decltype(*results.begin())>> all;
  for (auto& one : results) all.push_back(std::move(one));
  return all;
}

}  // namespace tutti_test
