#include <tutti/mpi/cartesian.hpp>

#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/together.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace tutti::mpi {
namespace {

using namespace detail;

std::string text_of(std::span<const int> numbers, const char* between) {
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : between) + std::to_string(number);
  return text;
}

// Row by row; -1 beyond an edge.
int place_of(std::span<const int> coords, const std::vector<int>& dims, const std::vector<bool>& periodic) {
  long number = 0;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    int at = coords[d];
    if (at < 0 || at >= dims[d]) {
      if (!periodic[d]) return no_rank;
      at %= dims[d];
      if (at < 0) at += dims[d];
    }
    number = number * dims[d] + at;
  }
  return static_cast<int>(number);
}

std::vector<int> coords_of(int rank, const std::vector<int>& dims) {
  std::vector<int> coords(dims.size());
  for (std::size_t d = dims.size(); d-- > 0;) {
    coords[d] = rank % dims[d];
    rank /= dims[d];
  }
  return coords;
}

int moved(std::vector<int> coords, std::size_t dimension, int displacement, const std::vector<int>& dims,
          const std::vector<bool>& periodic) {
  const long size = dims[dimension];
  long at = static_cast<long>(coords[dimension]) + displacement;
  if (at < 0 || at >= size) {
    if (!periodic[dimension]) return no_rank;
    at = (at % size + size) % size;
  }
  coords[dimension] = static_cast<int>(at);
  return place_of(coords, dims, periodic);
}

// Collective.
neighbors neighbors_of(comm_state& where, const std::vector<int>& coords, const std::vector<int>& dims,
                       const std::vector<bool>& periodic, const place& here) {
  neighbors who;
  who.is_grid = true;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    who.sources.push_back(moved(coords, d, -1, dims, periodic));
    who.sources.push_back(moved(coords, d, 1, dims, periodic));
  }
  who.destinations = who.sources;
  make_each_once(where, who, here);
  return who;
}

// What is wrong with them, or how many ranks stand in a grid of such sizes.
struct product {
  std::string wrong;
  long ranks = 1;
};
product product_of(std::span<const int> dims, bool zeros_too) {
  product all;
  for (const int size : dims) {
    if (size < 0 || (size == 0 && !zeros_too)) {
      all.wrong = ": dims " + text_of(dims, " x ") + ": " + std::to_string(size) + " is no size";
      return all;
    }
    if (size != 0) all.ranks *= size;
    if (all.ranks > std::numeric_limits<int>::max()) {
      all.wrong = ": dims " + text_of(dims, " x ") + ": there are not so many ranks";
      return all;
    }
  }
  if (dims.empty()) all.wrong = ": there must be a dimension";
  return all;
}

// Chooses those that are 0: what is wrong, or empty.
std::string choose(int ranks, std::vector<int>& dims) {
  const product fixed = product_of(dims, true);
  if (!fixed.wrong.empty()) return fixed.wrong;
  if (ranks < 1) return ": a grid of " + std::to_string(ranks) + " ranks";
  if (std::find(dims.begin(), dims.end(), 0) == dims.end()) return "";
  if (ranks % fixed.ranks != 0) {
    return ": dims " + text_of(dims, " x ") + ": " + std::to_string(ranks) + " ranks cannot be divided by " +
           std::to_string(fixed.ranks);
  }
  return MPI_Dims_create(ranks, static_cast<int>(dims.size()), dims.data()) == MPI_SUCCESS
             ? ""
             : ": MPI finds no sizes for " + std::to_string(ranks) + " ranks";
}

// The communicator of a grid; nothing on ranks that are left over.
std::optional<communicator> make_grid(comm_state& where, const std::vector<int>& dims,
                                      const std::vector<bool>& periodic, bool reorder, const place& here) {
  const std::vector<int> wraps(periodic.begin(), periodic.end());
  const together waits(where, {.call = "cartesian"}, here);
  MPI_Comm made = MPI_COMM_NULL;
  check(
      MPI_Cart_create(comm_of(where), static_cast<int>(dims.size()), dims.data(), wraps.data(), reorder ? 1 : 0, &made),
      where, "cartesian", here);
  if (made == MPI_COMM_NULL) return {};
  auto grid = std::make_shared<comm_state>();
  adopt(*grid, number_of(made), where.name + ".cartesian(" + text_of(dims, "x") + ")", true);
  return access::make(std::move(grid));
}

}  // namespace

std::vector<int> dims_create(int ranks, std::vector<int> dims, place here) {
  if (!is_on()) {
    throw std::logic_error("mpi::dims_create: MPI is not there: make a tutti::mpi::environment first in main (" +
                           to_string(here) + ")");
  }
  const product fixed = product_of(dims, true);
  std::string wrong = choose(ranks, dims);
  if (wrong.empty() && product_of(dims, false).ranks != ranks) {
    wrong = ": dims " + text_of(dims, " x ") + " are of " + std::to_string(fixed.ranks) + " ranks, not " +
            std::to_string(ranks);
  }
  if (!wrong.empty()) throw error("mpi::dims_create" + wrong + " (" + to_string(here) + ")", MPI_ERR_DIMS);
  return dims;
}

std::vector<int> dims_create(int ranks, int dimensions, place here) {
  return dims_create(ranks, std::vector<int>(static_cast<std::size_t>(std::max(dimensions, 0))), here);
}

cartesian::cartesian(const communicator& ranks, std::vector<int> dims, std::vector<bool> periodic, bool reorder,
                     place here)
    : cartesian([&] {
        const comm_state& where = state_of(ranks);
        check_alive(where, "cartesian", here);
        const std::string wrong = choose(where.size, dims);
        if (!wrong.empty()) refuse(MPI_ERR_DIMS, where, "cartesian", wrong, here);
        const product all = product_of(dims, false);
        if (all.ranks != where.size) {
          refuse(MPI_ERR_DIMS, where, "cartesian",
                 ": dims " + text_of(dims, " x ") + " are of " + std::to_string(all.ranks) + " ranks, and there are " +
                     std::to_string(where.size) +
                     (all.ranks < where.size ? "; cartesian::of_first leaves some out" : ""),
                 here);
        }
        return *of_first(ranks, std::move(dims), std::move(periodic), reorder, here);
      }()) {}

std::optional<cartesian> cartesian::of_first(const communicator& ranks, std::vector<int> dims,
                                             std::vector<bool> periodic, bool reorder, place here) {
  comm_state& where = state_of(ranks);
  check_alive(where, "cartesian", here);
  std::string wrong = choose(where.size, dims);
  const product all = product_of(dims, false);
  if (wrong.empty() && all.ranks > where.size) {
    wrong = ": dims " + text_of(dims, " x ") + " are of " + std::to_string(all.ranks) + " ranks, and there are " +
            std::to_string(where.size);
  }
  if (periodic.empty()) periodic.resize(dims.size());
  if (wrong.empty() && periodic.size() != dims.size()) {
    wrong =
        ": periodic is given for " + std::to_string(periodic.size()) + " dimensions of " + std::to_string(dims.size());
  }
  if (!wrong.empty()) refuse(MPI_ERR_DIMS, where, "cartesian", wrong, here);
  auto made = make_grid(where, dims, periodic, reorder, here);
  if (!made) return {};
  std::vector<int> coords = coords_of(made->rank(), dims);
  return cartesian({std::move(dims), std::move(periodic), std::move(coords)}, *std::move(made), here);
}

cartesian::cartesian(shape of, const communicator& grid, const place& here)
    : neighborhood(grid, neighbors_of(state_of(grid), of.coords, of.dims, of.periodic, here)),
      shape_(std::make_shared<const shape>(std::move(of))) {}

std::vector<int> cartesian::coords(int rank, place here) const {
  check_root(state(), rank, "coords", here);
  return coords_of(rank, dims());
}

int cartesian::rank_at(std::span<const int> coords, place here) const {
  if (coords.size() != dims().size()) {
    refuse(MPI_ERR_ARG, state(), "rank_at",
           ": (" + text_of(coords, ", ") + ") are " + std::to_string(coords.size()) + " coordinates, and there are " +
               std::to_string(dims().size()) + " dimensions",
           here);
  }
  return place_of(coords, dims(), periodic());
}

cartesian::shifted cartesian::shift(int dimension, int displacement, place here) const {
  if (dimension < 0 || static_cast<std::size_t>(dimension) >= dims().size()) {
    refuse(MPI_ERR_DIMS, state(), "shift",
           ": dimension " + std::to_string(dimension) + " is not one of 0 to " + std::to_string(dims().size() - 1),
           here);
  }
  const auto d = static_cast<std::size_t>(dimension);
  // Not by -displacement, which the smallest int does not have.
  const int size = dims()[d];
  const bool far = displacement <= -size || displacement >= size;
  if (far && !periodic()[d]) return {};
  const int near = displacement % size;
  return {moved(coords(), d, -near, dims(), periodic()), moved(coords(), d, near, dims(), periodic())};
}

cartesian cartesian::sub(const std::vector<bool>& kept, place here) const {
  if (kept.size() != dims().size() || std::find(kept.begin(), kept.end(), true) == kept.end()) {
    refuse(MPI_ERR_DIMS, state(), "sub",
           ": needs a bool for each of " + std::to_string(dims().size()) + " dimensions, one of them true", here);
  }
  const std::vector<int> remain(kept.begin(), kept.end());
  shape of;
  std::string name = state().name + ".sub(";
  for (std::size_t d = 0; d < kept.size(); ++d) {
    name += (d == 0 ? "" : ", ") + (kept[d] ? std::string("*") : std::to_string(coords()[d]));
    if (!kept[d]) continue;
    of.dims.push_back(dims()[d]);
    of.periodic.push_back(periodic()[d]);
    of.coords.push_back(coords()[d]);
  }
  const together waits(state(), {.call = "sub"}, here);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Cart_sub(comm_of(state()), remain.data(), &made), state(), "sub", here);
  auto part = std::make_shared<comm_state>();
  adopt(*part, number_of(made), name + ")", true);
  return cartesian(std::move(of), access::make(std::move(part)), here);
}

}  // namespace tutti::mpi
