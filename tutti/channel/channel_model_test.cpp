// Channels, every operation by one thread, beside a plain container.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <tests/support/choices.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/channel/channels.hpp>

namespace {

using namespace std::chrono_literals;
using tutti::channel;
using tutti_test::choices;
using tutti_test::seed;
using tutti_test::watchdog;

enum class order { fifo, lifo, priority };

void compare_with_model(order which, std::ptrdiff_t capacity, std::uint64_t salt) {
  choices random(salt);
  std::unique_ptr<channel<int>> c;
  const auto tens = [](int x) { return x / 1000 % 10; };
  if (which == order::fifo) c = std::make_unique<channel<int>>(capacity);
  if (which == order::lifo) c = std::make_unique<channel<int>>(capacity, tutti::lifo);
  if (which == order::priority) c = std::make_unique<channel<int>>(capacity, tutti::by_priority(tens));
  std::deque<int> model;
  bool closed = false;
  std::size_t sent = 0, done = 0;
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(c->size(), model.size());
    ASSERT_EQ(c->empty(), model.empty());
    ASSERT_EQ(c->is_closed(), closed);
    const bool full = model.size() == static_cast<std::size_t>(capacity);
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2: {
        const int value = static_cast<int>(random.below(10'000));
        const auto send = [&]() -> bool {
          switch (random.below(4)) {
            case 0: return c->send_for(0s, value);
            case 1: return tutti::select(tutti::on_send(*c, value, [] {}), tutti::otherwise([] {})) == 0;
            default: return c->try_send(value);
          }
        };
        if (closed) {
          ASSERT_THROW(c->try_send(value), tutti::closed);
          ASSERT_THROW(c->send(value), tutti::closed);
        } else {
          ASSERT_EQ(send(), !full);
          if (!full) {
            model.push_back(value);
            ++sent;
          }
        }
        break;
      }
      case 3:
      case 4:
      case 5: {
        if (model.empty() && closed) {
          ASSERT_THROW(c->try_receive(), tutti::closed);
          ASSERT_EQ(c->next(), std::nullopt);
          break;
        }
        std::optional<int> expected;
        if (!model.empty()) {
          auto at = model.begin();
          if (which == order::lifo) at = std::prev(model.end());
          if (which == order::priority)
            at = std::ranges::max_element(model, [&](int a, int b) { return tens(a) < tens(b); });
          expected = *at;
          model.erase(at);
        }
        std::optional<int> got;
        switch (random.below(3)) {
          case 0: got = c->receive_for(0s); break;
          case 1: tutti::select_priority(tutti::on(*c, [&](int x) { got = x; }), tutti::otherwise([] {})); break;
          default: got = c->try_receive();
        }
        ASSERT_EQ(got, expected);
        break;
      }
      case 6:
        if (done < sent) {
          c->task_done();
          ++done;
        } else {
          ASSERT_THROW(c->task_done(), std::logic_error);
        }
        ASSERT_EQ(c->try_join(), done == sent);
        break;
      default:
        if (random.one_in(100)) {
          c->close();
          closed = true;
        }
    }
  }
}

TEST(ChannelModel, OneThread) {
  const watchdog dog;
  SCOPED_TRACE(seed());
  std::uint64_t salt = 0;
  for (int round = 0; round < 10; ++round) {
    for (const std::ptrdiff_t capacity : {1, 2, 3, 5, 64}) {
      for (const order which : {order::fifo, order::lifo, order::priority}) compare_with_model(which, capacity, ++salt);
    }
  }
}

}  // namespace
