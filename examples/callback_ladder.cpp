// callback_ladder: one program three times: with callbacks, with futures and then, as a coroutine.
// Teaches: what each step of the ladder saves. A callback passes every error on by hand; then passes it on by itself,
// but each step nests in the one before; a coroutine is straight-line code. A promise turns a callback into a future.
#include <tutti/tutti.hpp>

#include <chrono>
#include <cmath>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

using namespace std::chrono_literals;

// A service as C libraries offer them: each request is answered a second later, by a call.
using callback = std::function<void(std::exception_ptr error, double answer)>;

void request_square(double x, callback done) {
  tutti::call_later(1s, [x, done = std::move(done)] { done(nullptr, x * x); });
}

void request_root(double x, callback done) {
  tutti::call_later(1s, [x, done = std::move(done)] {
    if (x < 0) return done(std::make_exception_ptr(std::domain_error("no root of " + std::to_string(x))), 0);
    done(nullptr, std::sqrt(x));
  });
}

// The program: the other leg of a right-angled triangle. First with callbacks.
void leg_by_callbacks(double hypotenuse, double leg, callback done) {
  request_square(hypotenuse, [leg, done = std::move(done)](std::exception_ptr error, double c) {
    if (error != nullptr) return done(error, 0);
    request_square(leg, [c, done](std::exception_ptr error2, double a) {
      if (error2 != nullptr) return done(error2, 0);
      request_root(c - a, done);
    });
  });
}

// From callbacks to futures, written once: `start` is given the callback.
template <class Start>
tutti::future<double> as_future(Start start) {
  auto answer = std::make_shared<tutti::promise<double>>();
  start([answer](std::exception_ptr error, double value) {
    error != nullptr ? answer->set_exception(error) : answer->set_value(value);
  });
  return answer->get_future();
}

tutti::future<double> square(double x) {
  return as_future([x](callback done) { request_square(x, std::move(done)); });
}

tutti::future<double> root(double x) {
  return as_future([x](callback done) { request_root(x, std::move(done)); });
}

// Then with futures.
tutti::future<double> leg_by_futures(double hypotenuse, double leg) {
  return square(hypotenuse).then([leg](double c) { return square(leg).then([c](double a) { return root(c - a); }); });
}

// Then as a coroutine.
tutti::task<double> leg_by_coroutine(double hypotenuse, double leg) {
  const double c = co_await square(hypotenuse);
  const double a = co_await square(leg);
  co_return co_await root(c - a);
}

// What an awaitable gives: a number, or the text of an error.
template <class Awaitable>
tutti::task<std::string> text_of(Awaitable answer) {
  try {
    co_return std::to_string(co_await std::move(answer));
  } catch (const std::domain_error& error) {
    co_return error.what();
  }
}

tutti::task<bool> check(double hypotenuse, double leg, std::string expected) {
  const auto start = tutti::now();
  auto called_back = as_future([&](callback done) { leg_by_callbacks(hypotenuse, leg, std::move(done)); });
  const std::string first = co_await text_of(std::move(called_back));
  const std::string second = co_await text_of(leg_by_futures(hypotenuse, leg));
  const std::string third = co_await text_of(leg_by_coroutine(hypotenuse, leg));
  std::cout << "callbacks: " << first << "; futures: " << second << "; coroutine: " << third << '\n';
  const std::chrono::nanoseconds time = tutti::now() - start;
  const bool right = first == expected && second == expected && third == expected && time == 9s;
  co_return right;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const bool value = tutti::sync_wait(check(5, 4, "3.000000"));
  const bool error = tutti::sync_wait(check(4, 5, "no root of -9.000000"));
  return value && error ? 0 : 1;
}
