// cartesian: ranks in a grid.
#pragma once
#include <tutti/mpi/neighborhood.hpp>

#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

namespace tutti::mpi {

/// The sizes of a grid of so many ranks, as equal to each other as can be, in falling order. `dims`: 0 where MPI is to
/// choose; what is not 0 stays. Throws mpi::error when what is fixed does not divide `ranks`.
std::vector<int> dims_create(int ranks, std::vector<int> dims, place here = place::current());
inline std::vector<int> dims_create(int ranks, std::initializer_list<int> dims, place here = place::current()) {
  return dims_create(ranks, std::vector<int>(dims), here);
}
/// The same, all of `dimensions` sizes chosen.
std::vector<int> dims_create(int ranks, int dimensions, place here = place::current());

/// A communicator whose ranks stand in a grid of one or more dimensions, row by row: the last coordinate counts
/// fastest. In a periodic dimension the last is the neighbour of the first.
///
/// As a neighborhood, each rank has two neighbours per dimension, first the one with the smaller coordinate, then the
/// other; no_rank beyond an edge. Copies are handles to the same one.
class cartesian : public neighborhood {
 public:
  /// All ranks of `ranks` in a grid of these sizes; 0: chosen so that all fit. `periodic`: for each dimension; none
  /// when left out. `reorder`: ranks may be numbered anew, so that neighbours are near each other. Collective. Throws
  /// mpi::error when size() is not the product; see of_first for those that are left over.
  cartesian(const communicator& ranks, std::vector<int> dims, std::vector<bool> periodic = {}, bool reorder = false,
            place here = place::current());
  /// The same of as many ranks as it takes, from rank 0 on; nothing on the others. Collective. Throws mpi::error when
  /// there are fewer.
  [[nodiscard]] static std::optional<cartesian> of_first(const communicator& ranks, std::vector<int> dims,
                                                         std::vector<bool> periodic = {}, bool reorder = false,
                                                         place here = place::current());

  /// The size of each dimension.
  [[nodiscard]] const std::vector<int>& dims() const noexcept { return shape_->dims; }
  /// Whether each dimension wraps around.
  [[nodiscard]] const std::vector<bool>& periodic() const noexcept { return shape_->periodic; }
  /// Where this rank stands.
  [[nodiscard]] const std::vector<int>& coords() const noexcept { return shape_->coords; }
  /// Where a rank stands. Throws mpi::error for a rank out of range.
  [[nodiscard]] std::vector<int> coords(int rank, place here = place::current()) const;
  /// Who stands there. Wraps around in periodic dimensions; beyond the edge of others: no_rank. Throws mpi::error for
  /// another number of coordinates than of dimensions.
  [[nodiscard]] int rank_at(std::span<const int> coords, place here = place::current()) const;
  [[nodiscard]] int rank_at(std::initializer_list<int> coords, place here = place::current()) const {
    return rank_at(std::span<const int>(coords.begin(), coords.size()), here);
  }

  /// Whom this rank receives from and sends to when all send so far along a dimension.
  struct shifted {
    int source = no_rank;  ///< no_rank: beyond the edge
    int dest = no_rank;    ///< the same
    friend bool operator==(const shifted&, const shifted&) = default;
  };
  /// For `sendrecv(what, dest, source)`. Throws mpi::error for a dimension that is not.
  [[nodiscard]] shifted shift(int dimension, int displacement = 1, place here = place::current()) const;

  /// The grid of the ranks that differ from this one in the dimensions `kept` alone: of rows, columns, planes.
  /// Collective. Throws mpi::error when there is not one bool for each dimension, or none is true.
  [[nodiscard]] cartesian sub(const std::vector<bool>& kept, place here = place::current()) const;

 private:
  struct shape {
    std::vector<int> dims;
    std::vector<bool> periodic;
    std::vector<int> coords;  // of this rank
  };
  cartesian(shape of, const communicator& grid, const place& here);

  std::shared_ptr<const shape> shape_;
};

}  // namespace tutti::mpi
