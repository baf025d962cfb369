// prefix_sums: two problems that look serial, as each answer depends on all that is before it, solved in parallel.
// Teaches: parallel_exclusive_scan (where each row of a sparse matrix begins), parallel_inclusive_scan with another
// operation than plus (what hides behind hills), parallel_scan (to list what is left). Usage: prefix_sums [N]
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

namespace {

using numbers = std::vector<std::size_t>;

// A sparse matrix's column numbers, row after row: row r has the multiples of r up to n. The sums of the rows' lengths
// tell each row its place, so that rows can be written in any order.
numbers multiples_serially(std::size_t n) {
  numbers columns;
  for (std::size_t row = 1; row <= n; ++row) {
    for (std::size_t column = row; column <= n; column += row) columns.push_back(column);
  }
  return columns;
}
numbers multiples(std::size_t n) {
  const auto lengths =
      std::views::iota(std::size_t{1}, n + 2) | std::views::transform([=](auto row) { return n / row; });
  numbers begins(n + 1);  // the last one: where a further row, of length 0, would begin
  tutti::parallel_exclusive_scan(lengths, begins.begin(), std::size_t{0});
  numbers columns(begins[n]);
  tutti::parallel_for(1, n + 1, [&](std::size_t row) {
    for (std::size_t i = begins[row - 1]; i < begins[row]; ++i) columns[i] = (i - begins[row - 1] + 1) * row;
  });
  return columns;
}

// Which points somebody at the origin sees, when one hill stands at each of the distances 1, 2, ...: those that appear
// higher than all before them. (Blelloch, "Prefix sums and their applications", 1990, section 1.2.)
double angle(const std::vector<double>& heights, std::size_t i) {
  return std::atan2(heights[i], static_cast<double>(i + 1));
}
numbers visible_serially(const std::vector<double>& heights) {
  numbers visible;
  double highest = 0;
  for (std::size_t i = 0; i < heights.size(); ++i) {
    const double here = angle(heights, i);
    if (here > highest) visible.push_back(i);
    highest = std::max(highest, here);
  }
  return visible;
}
numbers visible(std::vector<double> heights) {
  const std::size_t n = heights.size();
  std::vector<double>& highest = heights;  // in place: heights become angles, and angles the highest so far
  tutti::parallel_for(0, n, [&](std::size_t i) { highest[i] = angle(heights, i); });
  tutti::parallel_inclusive_scan(highest, highest.begin(), [](double a, double b) { return std::max(a, b); });

  const auto is_visible = [&](std::size_t i) { return highest[i] > (i == 0 ? 0 : highest[i - 1]); };
  numbers visible(tutti::parallel_reduce(0, n, std::size_t{0}, is_visible, std::plus<>()));
  // Each block is called with how many are visible before it, `count`, once that is known, and lists its own. Before,
  // it may be asked only how many it has.
  const auto list = [&](std::size_t first, std::size_t last, std::size_t count, bool final) {
    for (std::size_t i = first; i < last; ++i) {
      if (!is_visible(i)) continue;
      if (final) visible[count] = i;
      ++count;
    }
    return count;
  };
  tutti::parallel_scan(0, n, std::size_t{0}, list, std::plus<>());
  return visible;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const std::size_t n = argc > 1 ? std::stoul(argv[1]) : 500'000;
  std::vector<double> heights(n);  // each hundredth hides all that is before the next
  for (std::size_t i = 0; i < n; ++i) heights[i] = static_cast<double>(i % 100 == 0 ? i * i + 1 : i % 7);

  bool right = true;
  const auto time = [&](const char* what, auto serially, auto in_parallel) {
    const auto start = std::chrono::steady_clock::now();
    const numbers expected = serially();
    const auto middle = std::chrono::steady_clock::now();
    const numbers result = in_parallel();
    const auto end = std::chrono::steady_clock::now();
    right = right && result == expected;
    using milliseconds = std::chrono::duration<double, std::milli>;
    std::cout << result.size() << what << ": " << milliseconds(middle - start).count() << " ms serially, "
              << milliseconds(end - middle).count() << " ms in parallel\n";
    return result.size();
  };
  const std::size_t entries =
      time(" entries of a sparse matrix", [=] { return multiples_serially(n / 5); }, [=] { return multiples(n / 5); });
  const std::size_t seen =
      time(" visible hills", [&] { return visible_serially(heights); }, [&] { return visible(std::move(heights)); });
  right = right && seen == (n + 99) / 100 && (n != 500'000 || entries == 1'166'750);
  return right ? 0 : 1;
}
