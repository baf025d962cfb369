// transpose: a matrix whose rows are shared by the ranks becomes one whose rows were its columns.
// Teaches: alltoall of blocks that differ in size, as they do whenever the number of rows is no multiple of the ranks.
//   mpirun -n 3 build/examples/mpi/transpose
#include <tutti/mpi/mpi.hpp>

#include <cstddef>
#include <iostream>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

constexpr std::size_t rows = 100;
constexpr std::size_t columns = 70;

double element(std::size_t row, std::size_t column) { return static_cast<double>(1000 * row + column); }

// `mine`: this rank's rows of a `height` x `width` matrix, one after the other; gives its rows of the transposed one.
std::vector<double> transpose(const mpi::communicator& ranks, const std::vector<double>& mine, std::size_t height,
                              std::size_t width) {
  // What rank r gets are my rows' elements in those columns that become its rows, column by column.
  const std::size_t my_rows = mpi::block_of(height, ranks.rank(), ranks.size()).count;
  std::vector<std::vector<double>> parts;
  for (int r = 0; r < ranks.size(); ++r) {
    const auto [first, count] = mpi::block_of(width, r, ranks.size());
    std::vector<double>& part = parts.emplace_back();
    for (std::size_t j = first; j < first + count; ++j) {
      for (std::size_t i = 0; i < my_rows; ++i) part.push_back(mine[i * width + j]);
    }
  }

  // What came from rank r is a piece of each of my new rows, beside the pieces of the ranks before it.
  const std::vector<std::vector<double>> came = ranks.alltoall(parts);
  const std::size_t my_columns = mpi::block_of(width, ranks.rank(), ranks.size()).count;
  std::vector<double> turned(my_columns * height);
  for (int r = 0; r < ranks.size(); ++r) {
    const auto [first, count] = mpi::block_of(height, r, ranks.size());
    auto next = came[static_cast<std::size_t>(r)].begin();
    for (std::size_t j = 0; j < my_columns; ++j) {
      for (std::size_t i = 0; i < count; ++i) turned[j * height + first + i] = *next++;
    }
  }
  return turned;
}

}  // namespace

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();

  const mpi::block mine = mpi::block_of(rows, world.rank(), world.size());
  std::vector<double> matrix;
  for (std::size_t i = mine.first; i < mine.end(); ++i) {
    for (std::size_t j = 0; j < columns; ++j) matrix.push_back(element(i, j));
  }
  const std::vector<double> turned = transpose(world, matrix, rows, columns);

  const mpi::block now = mpi::block_of(columns, world.rank(), world.size());
  std::size_t wrong = 0;
  for (std::size_t j = 0; j < now.count; ++j) {
    for (std::size_t i = 0; i < rows; ++i) wrong += turned[j * rows + i] != element(i, now.first + j) ? 1 : 0;
  }
  const bool back = transpose(world, turned, columns, rows) == matrix;
  const std::size_t all_wrong = world.allreduce(wrong, mpi::sum);
  const bool all_back = world.allreduce(back, mpi::land);
  if (world.rank() == 0) {
    std::cout << rows << " x " << columns << " turned: " << all_wrong
              << " elements wrong; turned back: " << (all_back ? "the same" : "ANOTHER MATRIX") << '\n';
  }
  return all_wrong == 0 && all_back ? 0 : 1;
}
