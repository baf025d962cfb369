#include <gtest/gtest.h>
#include <tutti/process/record_ring.hpp>

#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>

namespace tutti::detail {
namespace {

using ring = record_ring<4096>;

bool put(ring& to, const std::string& text) {
  std::byte* const room = to.prepare(static_cast<std::uint32_t>(text.size()));
  if (room == nullptr) return false;
  std::memcpy(room, text.data(), text.size());
  to.publish();
  return true;
}

std::string text_of(ring& from, record& r) { return {reinterpret_cast<const char*>(r.data()), from.front_size()}; }

TEST(RecordRing, KeepsOrderAndBytesAroundItsEnd) {
  const auto memory = std::make_unique<ring::memory>();
  ring writer(*memory), reader(*memory);
  std::mt19937 random(7);
  std::deque<std::string> under_way;
  for (int i = 0; i < 20'000; ++i) {
    const std::string text(random() % (ring::most + 1), static_cast<char>('a' + i % 26));
    while (!put(writer, text)) {
      record* const next = reader.front();
      ASSERT_NE(next, nullptr);
      ASSERT_TRUE(reader.claim(*next));
      ASSERT_EQ(text_of(reader, *next), under_way.front());
      under_way.pop_front();
      reader.pop();
    }
    under_way.push_back(text);
  }
}

TEST(RecordRing, IsEmptyAndDrained) {
  const auto memory = std::make_unique<ring::memory>();
  ring writer(*memory), reader(*memory);
  EXPECT_EQ(reader.front(), nullptr);
  EXPECT_TRUE(reader.is_empty());
  EXPECT_TRUE(put(writer, "x"));
  EXPECT_FALSE(reader.is_empty());
  ASSERT_NE(reader.front(), nullptr);
  reader.pop();
  EXPECT_TRUE(reader.is_empty());
}

TEST(RecordRing, WhatWasNotBegunCanBeTakenBack) {
  const auto memory = std::make_unique<ring::memory>();
  ring writer(*memory), reader(*memory);
  const auto publish = [&] {
    writer.prepare(1);
    return writer.publish();
  };
  const std::uint32_t first = publish(), second = publish(), third = publish();
  record* next = reader.front();
  EXPECT_TRUE(reader.claim(*next));
  EXPECT_TRUE(writer.is_taken(first));
  EXPECT_FALSE(writer.revoke(first));
  EXPECT_FALSE(writer.is_taken(second));
  EXPECT_TRUE(writer.revoke(second));
  reader.pop();
  EXPECT_FALSE(writer.revoke(first));  // passed
  next = reader.front();
  EXPECT_FALSE(reader.claim(*next));
  reader.pop();
  next = reader.front();
  EXPECT_TRUE(reader.claim(*next));
  EXPECT_FALSE(writer.revoke(third));
}

TEST(RecordRing, WhoWorksOnARecordCanBeAskedToStop) {
  const auto memory = std::make_unique<ring::memory>();
  ring writer(*memory), reader(*memory);
  writer.prepare(1);
  const std::uint32_t position = writer.publish();
  record* const next = reader.front();
  EXPECT_EQ(next->stopping, 0u);
  writer.ask_to_stop(position);
  EXPECT_EQ(next->stopping, 1u);
  EXPECT_FALSE(writer.is_passed(position));
  reader.pop();
  EXPECT_TRUE(writer.is_passed(position));
  next->stopping = 0;
  writer.ask_to_stop(position);  // too late
  EXPECT_EQ(next->stopping, 0u);
}

TEST(RecordRing, BelievesNoWriterGoneMad) {
  const auto memory = std::make_unique<ring::memory>();
  {
    ring reader(*memory);
    memory->words.written = 5000;
    EXPECT_THROW(reader.front(), decode_error);
  }
  {
    ring reader(*memory);
    memory->words.written = 64;
    reinterpret_cast<record*>(memory->bytes)->size = 4000;
    EXPECT_THROW(reader.front(), decode_error);
    reinterpret_cast<record*>(memory->bytes)->size = 0xffffffff;
    EXPECT_THROW(reader.front(), decode_error);
  }
  ring writer(*memory);
  memory->words.read = 0x90000000;
  int written = 0;
  while (put(writer, std::string(1000, 'x'))) ++written;
  EXPECT_LE(written, 4);  // what there was room for before anybody read
  EXPECT_FALSE(put(writer, "y"));
  EXPECT_FALSE(put(writer, "y")) << "at the second look";
  EXPECT_TRUE(writer.has_mad_reader());
}

TEST(RecordRing, BetweenThreadsEveryRecordHasOneOwner) {
  const auto memory = std::make_unique<ring::memory>();
  constexpr int count = 200'000;
  std::atomic<long> sum{0};
  std::jthread reads([&] {
    ring reader(*memory);
    for (;;) {
      record* const next = reader.front();
      if (next == nullptr) {
        std::this_thread::yield();
        continue;
      }
      int value = 0;
      std::memcpy(&value, next->data(), sizeof value);
      if (value < 0) return;
      if (reader.claim(*next)) sum += value;
      reader.pop();
    }
  });
  ring writer(*memory);
  std::mt19937 random(11);
  const auto send = [&](int value) {
    std::byte* room = nullptr;
    while ((room = writer.prepare(sizeof value)) == nullptr) std::this_thread::yield();
    std::memcpy(room, &value, sizeof value);
    return writer.publish();
  };
  for (int i = 1; i <= count; ++i) {
    const std::uint32_t position = send(i);
    if (random() % 3 == 0 && writer.revoke(position)) sum += i;
  }
  send(-1);
  reads.join();
  EXPECT_EQ(sum, static_cast<long>(count) * (count + 1) / 2);
}

}  // namespace
}  // namespace tutti::detail
