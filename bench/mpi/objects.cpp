#include "objects.hpp"

#include <tutti/mpi/mpi.hpp>

#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "systems.hpp"

namespace bench::mpi {
namespace {

// The same values as in peer_mpi.py.
using texts = std::vector<std::string>;
using lists = std::map<std::string, std::vector<int>>;
constexpr int entries = 1000;

texts make_texts() {
  texts all;
  for (int i = 0; i < entries; ++i) all.push_back("this is text number " + std::to_string(i));
  return all;
}
lists make_lists() {
  lists all;
  for (int i = 0; i < entries; ++i) {
    std::vector<int>& list = all["key " + std::to_string(i)];
    list.resize(10);
    std::iota(list.begin(), list.end(), i);
  }
  return all;
}

// What a reduction makes of two: so many texts again, or lists added up.
struct merge {
  texts operator()(texts a, const texts& b) const {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = std::max(a[i], b[i]);
    return a;
  }
  lists operator()(lists a, const lists& b) const {
    for (const auto& [key, list] : b) {
      std::vector<int>& sum = a[key];
      sum.resize(list.size());
      for (std::size_t i = 0; i < list.size(); ++i) sum[i] += list[i];
    }
    return a;
  }
};

template <class T>
double figure(std::string_view what, const T& value, std::size_t count) {
  const auto world = tutti::mpi::world();
  const int rank = world.rank();
  const int other = 1 - rank;
  T last = value;
  std::vector<T> all;
  const auto us = [&](auto once) {
    const double ns = ns_per_round(count, [&](std::size_t rounds) {
      for (std::size_t i = 0; i < rounds; ++i) once(static_cast<int>(i % 2));
    });
    return ns * 1e-3;
  };
  const auto trip = [&](auto receive) {
    return us([&](int) {
      if (rank == 0) world.send(value, other);
      receive();
      if (rank == 1) world.send(last, other);
    });
  };
  double took = 0;
  if (what == "trip") {
    took = trip([&] { world.recv_into(last, other); });
  } else if (what == "trip_new") {
    took = trip([&] { last = world.recv<T>(other); });
  } else if (what == "bcast") {
    took = us([&](int root) { world.bcast_into(last, root); });
  } else if (what == "bcast_new") {
    took = us([&](int root) { last = root == rank ? world.bcast(value, root) : world.bcast(T(), root); });
  } else if (what == "gather") {
    took = us([&](int root) { world.gather_into(value, all, root); });
  } else if (what == "gather_new") {
    took = us([&](int root) {
      auto came = world.gather(value, root);
      if (root == rank) all = std::move(came);
    });
  } else if (what == "allreduce") {
    took = us([&](int) { last = world.allreduce(value, merge()); });
    last = last == merge()(value, value) ? value : T();
  } else {
    throw std::runtime_error("no case " + std::string(what));
  }
  if (what.starts_with("gather")) last = all == std::vector<T>{value, value} ? value : T();
  if (last != value) throw std::runtime_error("an object arrived changed");
  return took;
}

}  // namespace

double object_figure(std::string_view what, std::string_view type, std::size_t count) {
  return type == "texts" ? figure(what, make_texts(), count) : figure(what, make_lists(), count);
}

}  // namespace bench::mpi
