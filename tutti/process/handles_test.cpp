#include <gtest/gtest.h>
#include <tutti/process/handles.hpp>
#include <tutti/process/message_socket.hpp>
#include <tutti/process/shared_memory.hpp>

#include <tutti/base/error.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace tutti::detail {
namespace {

TEST(MessageSocket, KeepsMessagesApartAndSeesTheOtherSideGo) {
  auto [here, there] = message_socket::pair();
  EXPECT_TRUE(here.send("one"));
  EXPECT_TRUE(here.send(std::string(most_message_bytes, 'x')));
  EXPECT_EQ(there.receive()->bytes, "one");
  EXPECT_EQ(there.receive()->bytes.size(), most_message_bytes);
  EXPECT_TRUE(here.send("last"));
  here.close();
  EXPECT_EQ(there.receive()->bytes, "last");
  EXPECT_FALSE(there.receive());
  EXPECT_FALSE(there.send("to nobody"));
}

TEST(MessageSocket, WhatWasSentArrivesAlsoFromWhoLeftSomethingUnread) {
  auto [here, there] = message_socket::pair();
  EXPECT_TRUE(there.send("never read"));
  EXPECT_TRUE(here.send("last"));
  EXPECT_TRUE(here.send("of all"));
  here.close();
  EXPECT_EQ(there.receive()->bytes, "last");
  EXPECT_EQ(there.receive()->bytes, "of all");
  EXPECT_FALSE(there.receive());
}

TEST(MessageSocket, RefusesWhatDoesNotFit) {
  auto [here, there] = message_socket::pair();
  EXPECT_THROW(here.send(""), std::length_error);
  EXPECT_THROW(here.send(std::string(most_message_bytes + 1, 'x')), std::length_error);
}

TEST(MessageSocket, ATooLongMessageIsNoShorterOne) {
  auto [here, there] = message_socket::pair();
  const std::string bytes(most_message_bytes + 1, 'x');
  ASSERT_EQ(::send(here.fd(), bytes.data(), bytes.size(), 0), static_cast<::ssize_t>(bytes.size()));
  EXPECT_TRUE(here.send("next"));
  EXPECT_THROW(there.receive(), decode_error);
  EXPECT_EQ(there.receive()->bytes, "next");
}

TEST(Handles, TravelBesideTheBytes) {
  auto [here, there] = message_socket::pair();
  shared_memory memory(5000, "a test");
  memory.data()[4999] = std::byte{7};
  {
    const outgoing_handles out;
    EXPECT_EQ(attach_duplicate(memory.fd(), "a test"), 0u);
    EXPECT_EQ(attach_duplicate(memory.fd(), "a test"), 1u);
    std::vector<int> numbers;
    for (const unique_fd& fd : out.all()) numbers.push_back(fd.get());
    EXPECT_TRUE(here.send("x", numbers));
  }
  auto arrived = there.receive();
  ASSERT_TRUE(arrived);
  ASSERT_EQ(arrived->handles.size(), 2u);
  const incoming_handles in(std::move(arrived->handles));
  const shared_memory same(take_handle(1, "a test"), "a test");
  EXPECT_EQ(same.size(), 5000u);
  EXPECT_EQ(same.data()[4999], std::byte{7});
  EXPECT_THROW(static_cast<void>(take_handle(1, "a test")), decode_error);
  EXPECT_THROW(static_cast<void>(take_handle(2, "a test")), decode_error);
}

TEST(Handles, NeedSomebodyToTravelTo) {
  EXPECT_THROW(static_cast<void>(attach_duplicate(0, "a shared_array")), encode_error);
  EXPECT_THROW(static_cast<void>(take_handle(0, "a shared_array")), decode_error);
}

TEST(SharedMemory, RefusesWhatIsNotThereAndWhatIsNot) {
  EXPECT_THROW(shared_memory(std::size_t{1} << 60, "a test"), os_error);
  EXPECT_THROW(shared_memory(~std::size_t{0}, "a test"), os_error);
  EXPECT_THROW(shared_memory(0, "a test"), std::invalid_argument);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_THROW(shared_memory(unique_fd(ends[0]), "a test"), decode_error);
  ::close(ends[1]);
}

TEST(SharedMemory, Moves) {
  shared_memory first(1, "a test");
  *first.data() = std::byte{3};
  shared_memory second(std::move(first));
  EXPECT_EQ(*second.data(), std::byte{3});
  second = shared_memory(2, "a test");
  EXPECT_EQ(second.size(), 2u);
  EXPECT_EQ(*second.data(), std::byte{0});
}

}  // namespace
}  // namespace tutti::detail
