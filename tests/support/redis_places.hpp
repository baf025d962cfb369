// redis_places: what tests of tutti::cluster with a redis_server share.
#pragma once
#include <gtest/gtest.h>
#include <tests/support/eventually.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <tests/support/redis_server.hpp>
#include <thread>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/url.hpp>
#include <vector>

namespace tutti_test {

/// The server, or a proxy before it at `port`.
inline tutti::cluster::broker_url place_of(const redis_server& server, int port = 0, int database = 0) {
  tutti::cluster::broker_url where;
  where.scheme = "redis";
  where.host = "127.0.0.1";
  where.port = port == 0 ? server.port() : port;
  where.database = database;
  return where;
}

/// The next `count` messages, in order; fewer after half a minute.
inline std::vector<tutti::cluster::delivery> receive_all(tutti::cluster::consumer& from, std::size_t count) {
  std::vector<tutti::cluster::delivery> all;
  const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (all.size() < count && std::chrono::steady_clock::now() < late) {
    for (auto& one : from.receive(count - all.size(), std::chrono::milliseconds(500))) all.push_back(std::move(one));
  }
  return all;
}
inline tutti::cluster::delivery receive_one(tutti::cluster::consumer& from) {
  const auto all = receive_all(from, 1);
  EXPECT_EQ(all.size(), 1u);
  return all.empty() ? tutti::cluster::delivery{} : all.front();
}

/// Until it refuses the smallest thing; it has a maxmemory.
inline void fill(const redis_server& server) {
  std::size_t bytes = 1 << 20;
  for (int n = 0; bytes > 0; ++n) {
    if (server.ask({"SADD", "filler" + std::to_string(n), std::string(bytes, 'x')}).starts_with("-OOM")) bytes /= 4;
    ASSERT_LT(n, 100'000);
  }
}

/// Done with all of them.
inline void acknowledge(tutti::cluster::consumer& of, const std::vector<tutti::cluster::delivery>& all) {
  std::vector<tutti::cluster::settlement> settled;
  for (const auto& one : all) settled.push_back({one.tag, false, {}});
  of.settle(settled);
}

}  // namespace tutti_test
