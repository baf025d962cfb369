// Channels and queues whose participant is killed at every single point of a step: whoever is left finds them in order.
#include <gtest/gtest.h>
#include <tutti/process/process_channel.hpp>
#include <tutti/process/process_queue.hpp>
#include <tutti/process/shared_value.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/process_queue_core.hpp>

#include <unistd.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/killed_at.hpp>
#include <utility>
#include <vector>

// Under the thread sanitizer each of these takes more instructions than can be gone through one by one.
#if !defined(__SANITIZE_THREAD__)

namespace {

using tutti::process_channel;
using tutti::process_queue;
using tutti::process_reader;
using tutti::process_writer;
using tutti::shared_value;
using tutti_test::at_every_point;
using tutti_test::child;

class EveryPoint : public tutti_test::clean_test {};

using element = std::pair<std::string, shared_value<int>>;

// With a descriptor, so that both ways of a channel and a queue are gone.
element some_element() { return {"some text that is longer than a word", shared_value<int>(7)}; }
bool is_whole(const element& one) {
  return one.first == "some text that is longer than a word" && one.second.load() == 7;
}

TEST_F(EveryPoint, OfASendThroughAChannelWhoWaitsGetsItWholeOrTheEnd) {
  std::optional<process_writer<element>> out;
  std::unique_ptr<child> receiver;
  const element one = some_element();
  int lost = 0;
  at_every_point(
      [&] {
        auto [in, to] = process_channel<element>::simplex();
        receiver = std::make_unique<child>([&, &from = in, &other = to] {
          other.close();
          int count = 0;
          for (const element& got : from) {
            if (!is_whole(got)) return 9;
            ++count;
          }
          return count;
        });
        receiver->until_asleep();
        out.emplace(std::move(to));
      },
      [&] { out->send(one); },
      [&] {
        out.reset();
        const int count = receiver->join();
        EXPECT_TRUE(count == 1 || count == 2) << count;
        lost += count == 1 ? 1 : 0;
      },
      61);
  EXPECT_GT(lost, 0);
}

TEST_F(EveryPoint, OfAReceiveFromAChannelWhoWaitsForRoomGoesOnOrSeesTheEnd) {
  std::optional<process_reader<std::string>> in;
  std::unique_ptr<child> sender;
  const std::string some(300, 'x');
  at_every_point(
      [&] {
        auto [from, out] = process_channel<std::string>::simplex();
        while (out.try_send(some)) {
        }
        sender = std::make_unique<child>([&, &other = from, &to = out] {
          other.close();
          try {
            for (int i = 0; i < 2; ++i) to.send(some);
          } catch (const tutti::closed&) {
            return 1;
          }
          return 0;
        });
        sender->until_asleep();
        in.emplace(std::move(from));
      },
      [&] { static_cast<void>(in->try_receive()); },
      [&] {
        in.reset();
        const int code = sender->join();
        EXPECT_TRUE(code == 0 || code == 1) << code;
      },
      62);
}

TEST_F(EveryPoint, OfASendToAQueueTheElementIsThereWholeOrNotAtAll) {
  std::optional<process_queue<element>> q;
  const element one = some_element();
  int lost = 0;
  at_every_point([&] { q.emplace(4); }, [&] { EXPECT_TRUE(q->try_send(one)); },
                 [&] {
                   const std::size_t size = q->size();
                   EXPECT_TRUE(size == 1 || size == 2) << size;
                   lost += size == 1 ? 1 : 0;
                   for (std::size_t more = size; more != 4; ++more) EXPECT_TRUE(q->try_send(one));
                   EXPECT_FALSE(q->try_send(one));
                   for (int i = 0; i < 4; ++i) {
                     const auto got = q->try_receive();
                     ASSERT_TRUE(got);
                     EXPECT_TRUE(is_whole(*got));
                     q->task_done();
                   }
                   EXPECT_TRUE(q->try_join());
                 },
                 63);
  EXPECT_GT(lost, 0);
}

// Without its codec, as only few points lie where it is neither in the queue nor in anybody's hand.
TEST_F(EveryPoint, OfAReceiveFromAQueueWhatIsLostIsTold) {
  std::optional<tutti::detail::process_queue_core> q;
  const auto never = tutti::detail::message_wait::never("a test", {});
  const auto receive = [&] {
    tutti::detail::arrived_message message;
    EXPECT_EQ(q->take(message, never), tutti::detail::arrival::message);
    EXPECT_EQ(message.bytes, "some text");
    EXPECT_EQ(message.handles.size(), 1u);
  };
  int left_alone = 0;
  at_every_point(
      [&] {
        q.emplace(3, 1000);
        std::vector<tutti::unique_fd> handle;
        handle.emplace_back(::dup(0));
        for (int i = 0; i < 3; ++i) ASSERT_TRUE(q->put("some text", handle, never));
      },
      receive,
      [&] {
        const std::size_t size = q->size();
        EXPECT_TRUE(size == 1 || size == 2) << size;
        for (std::size_t i = 0; i < size;) {
          try {
            receive();
            q->task_done();
            ++i;
          } catch (const tutti::owner_lost&) {
            EXPECT_EQ(size, 1u);
          }
        }
        const std::string text = tutti_test::text_of([&] { q->join(never); });
        EXPECT_NE(text.find(std::to_string(3 - size) + " element"), std::string::npos) << text;
        EXPECT_TRUE(q->join(never));
        left_alone += size == 2 ? 1 : 0;
      },
      64);
  EXPECT_GT(left_alone, 0);
}

}  // namespace

#endif
