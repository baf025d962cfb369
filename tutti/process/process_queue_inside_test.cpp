// Queues in states that are hard to come by from outside: made in their shared memory and their sockets.
#include <gtest/gtest.h>
#include <tutti/process/process_queue.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/handle_transfer.hpp>
#include <tutti/process/queue_memory.hpp>
#include <tutti/process/shared_memory.hpp>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/choices.hpp>
#include <tests/support/processes.hpp>
#include <tests/support/round_trip.hpp>
#include <vector>

namespace {

using tutti::process_queue;

class ProcessQueueInside : public tutti_test::clean_test {};

// What another process gets of a queue.
struct inside {
  explicit inside(const tutti::detail::process_queue_core& core) {
    const tutti::detail::outgoing_handles out;
    static_cast<void>(core.attach());
    memory = tutti::detail::shared_memory(tutti::unique_fd(::dup(out.all()[0].get())), "a test");
    socket_in.reset(::dup(out.all()[1].get()));
    socket_out.reset(::dup(out.all()[2].get()));
  }
  tutti::detail::queue_memory& content() const {
    return *std::launder(reinterpret_cast<tutti::detail::queue_memory*>(memory.data()));
  }
  std::uint64_t largest() const { return content().states[content().current.load() & 1].largest; }
  std::uint32_t sleepers() const { return content().room.sleepers; }
  // As senders do that are killed before their element is there.
  void hand_in_for_nothing(std::uint64_t id) const {
    const int any[] = {socket_in.get()};
    while (tutti::detail::send_with_handles(socket_in.get(), &id, sizeof id, any, MSG_DONTWAIT) >= 0) {
    }
  }
  tutti::detail::shared_memory memory;
  tutti::unique_fd socket_in, socket_out;
};

const auto never = tutti::detail::message_wait::never("a test", {});
tutti::detail::message_wait a_moment() {
  return tutti::detail::message_wait::within(std::chrono::microseconds(1), "a test", {});
}
std::vector<tutti::unique_fd> one_handle() {
  std::vector<tutti::unique_fd> result;
  result.emplace_back(::dup(0));
  return result;
}

TEST_F(ProcessQueueInside, WhileSomebodyWaitsForTheSocketAllLook) {
  tutti::detail::process_queue_core core(5000, 1'000'000);
  const inside queue(core);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(core.put("first", {}, never));
  while (core.put("", one_handle(), never)) {
  }
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(core.put("", one_handle(), a_moment()));
  EXPECT_GE(queue.sleepers(), 3u);
  tutti::detail::arrived_message message;
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(queue.sleepers(), 0u) << "who waits for something else could go on now";
  EXPECT_EQ(queue.largest(), 0u);
}

TEST_F(ProcessQueueInside, WhoIsWokenForRoomThatItCannotUseHasTheOthersLook) {
  tutti::detail::process_queue_core trial(5000, 1'000'000);
  std::size_t most = 0;  // that can wait with descriptors
  while (trial.put("", one_handle(), never)) ++most;
  while (trial.size() != 0) {
    tutti::detail::arrived_message message;
    ASSERT_EQ(trial.take(message, never), tutti::detail::arrival::message);
  }
  tutti::detail::process_queue_core core(most + 2, 1'000'000);
  const inside queue(core);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(core.put("", {}, never));
  for (std::size_t i = 0; i < most; ++i) ASSERT_TRUE(core.put("", one_handle(), never));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(core.put("", {}, a_moment()));
  const std::uint32_t before = queue.sleepers();
  ASSERT_GE(before, 3u);
  tutti::detail::arrived_message message;
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  ASSERT_EQ(queue.sleepers(), before - 1);
  EXPECT_FALSE(core.put("", one_handle(), a_moment()));
  EXPECT_LT(queue.sleepers(), before - 1) << "itself alone";
}

TEST_F(ProcessQueueInside, OneLargeSenderDoesNotWakeAllForEver) {
  tutti::detail::process_queue_core core(10, 10'000);
  const inside queue(core);
  ASSERT_TRUE(core.put(std::string(5000, 'x'), {}, never));
  for (int i = 1; i < 10; ++i) ASSERT_TRUE(core.put("", {}, never));
  EXPECT_FALSE(core.put(std::string(9900, 'x'), {}, a_moment()));
  EXPECT_GT(queue.largest(), 9900u);
  tutti::detail::arrived_message message;
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(queue.sleepers(), 0u);
  ASSERT_TRUE(core.put("", {}, never));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(core.put("", {}, a_moment()));
  const std::uint32_t before = queue.sleepers();
  ASSERT_GE(before, 3u);
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(queue.sleepers(), before - 1) << "one is enough";
}

TEST_F(ProcessQueueInside, WhatTheDeadHandedInMakesRoomForTheLiving) {
  tutti::detail::process_queue_core core(10, 10'000);
  const inside queue(core);
  queue.hand_in_for_nothing(0);
  EXPECT_TRUE(core.put("one", {}, never));
  EXPECT_TRUE(core.put("two", one_handle(), never));
  tutti::detail::arrived_message message;
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(message.handles.size(), 1u);
  EXPECT_TRUE(core.put("three", {}, never));
  EXPECT_TRUE(core.put("four", {}, never));
  queue.hand_in_for_nothing(3);
  EXPECT_FALSE(core.put("five", one_handle(), never)) << "they might belong to the first";
  ASSERT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_TRUE(core.put("five", one_handle(), never));
}

TEST_F(ProcessQueueInside, WhatOneCannotTakeForLackOfDescriptorsOthersMay) {
  tutti::detail::process_queue_core core(10, 10'000);
  const inside queue(core);
  tutti::detail::arrived_message message;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(core.take(message, a_moment()), tutti::detail::arrival::not_now);
  ASSERT_TRUE(core.put("", one_handle(), never));
  EXPECT_EQ(queue.content().elements.sleepers, 2u);
  ::rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  const ::rlimit none{0, usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_THROW(core.take(message, never), tutti::os_error);
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_EQ(queue.content().elements.sleepers, 0u) << "all look for it";
  EXPECT_EQ(core.take(message, never), tutti::detail::arrival::message);
  EXPECT_EQ(message.handles.size(), 1u);
}

TEST_F(ProcessQueueInside, AnElementWithoutItsDescriptorsIsDroppedAndTold) {
  process_queue<std::optional<process_queue<int>>> q(10);
  for (int i = 0; i < 2; ++i) q.send(process_queue<int>(1));
  q.send(std::nullopt);
  const tutti::unique_fd socket = [&] {
    const tutti::detail::outgoing_handles out;
    static_cast<void>(tutti::encode(q));
    return tutti::unique_fd(::dup(out.all()[2].get()));
  }();
  std::uint64_t id = 0;
  while (::recv(socket.get(), &id, sizeof id, MSG_DONTWAIT) > 0) {
  }
  EXPECT_THROW(q.receive(), tutti::decode_error);
  EXPECT_EQ(q.size(), 2u);
  EXPECT_THROW(q.receive(), tutti::decode_error);
  EXPECT_FALSE(q.receive());
  EXPECT_FALSE(q.try_join());
  q.task_done();
  EXPECT_TRUE(q.try_join()) << "what could not be received needs no task_done";
}

TEST_F(ProcessQueueInside, WhatCannotBeDecodedNeedsNoTaskDone) {
  process_queue<std::uint8_t> q(10);
  q.send(200);
  auto texts = tutti_test::sent_as<process_queue<std::string>>(q);
  EXPECT_THROW(texts.receive(), tutti::decode_error);
  EXPECT_TRUE(q.try_join());
  EXPECT_THROW(q.task_done(), std::logic_error);
}

TEST_F(ProcessQueueInside, NonsenseInTheArenaIsAnError) {
  tutti_test::choices choices(13);
  int errors = 0;
  for (int round = 0; round < 200; ++round) {
    process_queue<std::string> q(100, 4096);
    tutti::detail::outgoing_handles out;
    static_cast<void>(tutti::encode(q));
    const tutti::detail::shared_memory memory(tutti::unique_fd(::dup(out.all()[0].get())), "a test");
    for (int i = 0; i < 5; ++i) q.send("some text or other");
    for (int i = 0; i < 10; ++i)
      memory.data()[memory.size() - 4096 + choices.below(250)] = static_cast<std::byte>(choices.below(256));
    const auto drain = [&] {
      while (const auto text = q.try_receive()) EXPECT_LE(text->size(), 4096u);
    };
    for (int tries = 0; tries < 6 && q.size() != 0; ++tries) {
      try {
        drain();
      } catch (const tutti::decode_error&) {
        ++errors;
      }
    }
    // What has no beginning any more stays an error; else it goes on.
    if (q.size() != 0) {
      EXPECT_THROW(drain(), tutti::decode_error);
    } else {
      q.send("some text or other");
      EXPECT_EQ(q.try_receive(), "some text or other");
    }
  }
  EXPECT_GT(errors, 0);
}

}  // namespace
