// particles: points that turn around the origin at speeds of their own, in 10,000 small steps each.
// Teaches: what does not interact needs no synchronisation: map over the particles, each call taking one and giving it
// back. Split over the workers or not, every result is the same to the last bit. Usage: particles [EXECUTOR]
#include <tutti/tutti.hpp>

#include <cmath>
#include <iostream>
#include <random>
#include <vector>

namespace particles {

struct particle {
  double x = 0;
  double y = 0;
  double speed = 0;  // along the circle
  bool operator==(const particle&) const = default;
};

// The particle after `seconds`, by Euler steps of 10 microseconds along the tangent.
particle evolve(particle p, double seconds) {
  constexpr double step = 0.00001;
  const long steps = std::lround(seconds / step);
  for (long i = 0; i < steps; ++i) {
    const double norm = std::sqrt(p.x * p.x + p.y * p.y);
    const double dx = step * p.speed * (-p.y / norm);
    const double dy = step * p.speed * (p.x / norm);
    p.x += dx;
    p.y += dy;
  }
  return p;
}

particle evolve_tenth(const particle& p) { return evolve(p, 0.1); }

bool near(double a, double b) { return std::abs(a - b) < 1e-5; }

}  // namespace particles

int main(int argc, char** argv) {
  using particles::particle;
  tutti::init(argc, argv);
  auto pool = tutti::make_executor(argc > 1 ? argv[1] : "threads");

  const std::vector<particle> three = {{0.3, 0.5, 1}, {0.0, -0.5, -1}, {-0.1, -0.4, 3}};
  const std::vector<particle> golden = {{0.210269, 0.543863, 1}, {-0.099334, -0.490034, -1}, {0.191358, -0.365227, 3}};
  bool right = true;
  std::size_t at = 0;
  for (const particle& p : pool->map<particles::evolve_tenth>(three)) {
    std::cout << p.x << ' ' << p.y << '\n';
    right = right && particles::near(p.x, golden[at].x) && particles::near(p.y, golden[at].y);
    ++at;
  }

  std::vector<particle> many(1000);
  std::mt19937 random(1);
  std::uniform_real_distribution<double> anywhere(-1, 1);
  for (particle& p : many) p = {anywhere(random), anywhere(random), anywhere(random)};
  std::size_t same = 0;
  at = 0;
  for (const particle& p : pool->map<particles::evolve_tenth>(many)) same += p == particles::evolve_tenth(many[at++]);
  std::cout << same << " of " << many.size() << " particles are where the serial program has them\n";
  return right && same == many.size() ? 0 : 1;
}
