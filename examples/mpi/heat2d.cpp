// heat2d: heat spreads over a plate, of which each rank has a rectangle; the same to the last bit as in one piece.
// Teaches: a cartesian grid of ranks, whose rims travel (isend, irecv_into) while the cells that need no rim are
// computed. Beyond the edge of the plate is no_rank: what is received from there leaves the memory as it is.
//   mpirun -n 4 build/examples/mpi/heat2d [--frames DIR]      DIR/0000.ppm, 0020.ppm, ...: the plate as pictures
#include <tutti/mpi/mpi.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

constexpr std::size_t plate_rows = 60;
constexpr std::size_t plate_columns = 80;
constexpr int steps = 200;
constexpr int steps_per_frame = 20;

// The sides of a rectangle, in the order of a grid's neighbours.
enum side : std::uint8_t { up, down, left, right };
constexpr std::array edge_temperature{100.0, 0.0, 20.0, 50.0};

// A rectangle of cells, row by row, and its rim: four lines of cells that are somebody else's.
struct sheet {
  std::size_t rows, columns;
  std::vector<double> cells;
  std::array<std::vector<double>, 4> rim;

  sheet(std::size_t height, std::size_t width) : rows(height), columns(width), cells(rows * columns, 0.0) {
    for (const side s : {up, down, left, right}) rim[s].assign(length(s), edge_temperature[s]);
  }
  std::size_t length(side s) const { return s == up || s == down ? columns : rows; }

  double at(std::size_t row, std::size_t column) const { return cells[row * columns + column]; }
  double above(std::size_t row, std::size_t column) const { return row == 0 ? rim[up][column] : at(row - 1, column); }
  double below(std::size_t row, std::size_t column) const {
    return row + 1 == rows ? rim[down][column] : at(row + 1, column);
  }
  double before(std::size_t row, std::size_t column) const {
    return column == 0 ? rim[left][row] : at(row, column - 1);
  }
  double after(std::size_t row, std::size_t column) const {
    return column + 1 == columns ? rim[right][row] : at(row, column + 1);
  }

  // This rectangle's own cells along a side, for the neighbour's rim.
  std::vector<double> line(side s) const {
    std::vector<double> all(length(s));
    for (std::size_t i = 0; i < all.size(); ++i) {
      switch (s) {
        case up: all[i] = at(0, i); break;
        case down: all[i] = at(rows - 1, i); break;
        case left: all[i] = at(i, 0); break;
        case right: all[i] = at(i, columns - 1); break;
      }
    }
    return all;
  }
};

// One step of one cell.
double next_of(const sheet& now, std::size_t row, std::size_t column) {
  const double t = now.at(row, column);
  const double vertical = now.above(row, column) + now.below(row, column);
  const double horizontal = now.before(row, column) + now.after(row, column);
  return t + 0.2 * (vertical + horizontal - 4 * t);
}

// One step of the cells that have, or have not, a neighbour in the rim.
enum class part : std::uint8_t { inside, border };
void step(const sheet& now, sheet& next, part which) {
  for (std::size_t row = 0; row < now.rows; ++row) {
    const bool edge_row = row == 0 || row + 1 == now.rows;
    const auto one = [&](std::size_t column) { next.cells[row * now.columns + column] = next_of(now, row, column); };
    if (which == part::inside && !edge_row) {
      for (std::size_t column = 1; column + 1 < now.columns; ++column) one(column);
    } else if (which == part::border && edge_row) {
      for (std::size_t column = 0; column < now.columns; ++column) one(column);
    } else if (which == part::border) {
      one(0);
      one(now.columns - 1);
    }
  }
}

// A step of all ranks: the rims are exchanged while the inside is computed.
void step(const mpi::cartesian& grid, sheet& now, sheet& next) {
  std::array<std::vector<double>, 4> lines;
  std::vector<mpi::request> under_way;
  for (const side s : {up, down, left, right}) {
    lines[s] = now.line(s);
    under_way.push_back(grid.irecv_into(now.rim[s], grid.sources()[s]));
    under_way.push_back(grid.isend(lines[s], grid.destinations()[s]));
  }
  step(now, next, part::inside);
  mpi::wait_all(under_way);
  step(now, next, part::border);
}

// Where a rank's rectangle lies in the plate.
std::pair<mpi::block, mpi::block> rectangle(const mpi::cartesian& grid, int rank) {
  const std::vector<int> at = grid.coords(rank);
  return {mpi::block_of(plate_rows, at[0], grid.dims()[0]), mpi::block_of(plate_columns, at[1], grid.dims()[1])};
}

// The whole plate, at rank 0.
std::optional<sheet> collect(const mpi::cartesian& grid, const sheet& mine) {
  const std::vector<std::vector<double>> all = grid.gather(mine.cells);
  if (grid.rank() != 0) return std::nullopt;
  sheet plate(plate_rows, plate_columns);
  for (int rank = 0; rank < grid.size(); ++rank) {
    const auto [rows, columns] = rectangle(grid, rank);
    auto cell = all[static_cast<std::size_t>(rank)].begin();
    for (std::size_t row = rows.first; row < rows.end(); ++row) {
      for (std::size_t i = 0; i < columns.count; ++i) plate.cells[row * plate_columns + columns.first + i] = *cell++;
    }
  }
  return plate;
}

// Blue is cold, red is hot.
void write_picture(const std::filesystem::path& file, const sheet& plate) {
  std::ofstream out(file, std::ios::binary);
  out << "P6\n" << plate.columns << ' ' << plate.rows << "\n255\n";
  for (const double t : plate.cells) {
    const auto red = static_cast<unsigned char>(std::clamp(t * 2.55, 0.0, 255.0));
    const std::array<unsigned char, 3> pixel{red, 0, static_cast<unsigned char>(255 - red)};
    out.write(reinterpret_cast<const char*>(pixel.data()), pixel.size());
  }
}

sheet in_one_piece() {
  sheet now(plate_rows, plate_columns);
  sheet next = now;
  for (int i = 0; i < steps; ++i) {
    step(now, next, part::inside);
    step(now, next, part::border);
    std::swap(now, next);
  }
  return now;
}

}  // namespace

int main(int argc, char** argv) {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  std::optional<std::filesystem::path> frames;
  if (argc == 3 && std::string_view(argv[1]) == "--frames") frames = argv[2];

  const std::vector<int> dims = mpi::dims_create(world.size(), 2);
  if (dims[0] > static_cast<int>(plate_rows) || dims[1] > static_cast<int>(plate_columns)) {
    if (world.rank() == 0) std::cerr << "heat2d has no cells for all of " << world.size() << " ranks\n";
    return 2;
  }
  const mpi::cartesian grid(world, dims);
  const auto [rows, columns] = rectangle(grid, grid.rank());
  sheet now(rows.count, columns.count);
  sheet next = now;
  if (frames && grid.rank() == 0) std::filesystem::create_directories(*frames);
  for (int i = 0; i <= steps; ++i) {
    if (frames && i % steps_per_frame == 0) {
      const std::string number = std::to_string(10'000 + i).substr(1);
      if (const auto plate = collect(grid, now)) write_picture(*frames / (number + ".ppm"), *plate);
    }
    if (i == steps) break;
    step(grid, now, next);
    std::swap(now, next);
  }

  const std::optional<sheet> plate = collect(grid, now);
  if (!plate) return 0;
  const bool same = plate->cells == in_one_piece().cells;
  const double mean =
      std::accumulate(plate->cells.begin(), plate->cells.end(), 0.0) / static_cast<double>(plate->cells.size());
  std::cout << plate_rows << " x " << plate_columns << " cells after " << steps << " steps: mean " << std::fixed
            << std::setprecision(6) << mean << ", " << (same ? "as in one piece" : "NOT AS IN ONE PIECE") << '\n';
  return same ? 0 : 1;
}
