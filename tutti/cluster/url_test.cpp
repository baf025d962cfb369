#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/base/error.hpp>
#include <tutti/cluster/url.hpp>

namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using tutti::cluster::broker_url;

std::string refused(std::string_view text) {
  try {
    (void)broker_url::parse(text);
  } catch (const tutti::bad_spec& e) {
    return e.what();
  }
  ADD_FAILURE() << "took " << text;
  return "";
}

TEST(url, redis) {
  const broker_url all = broker_url::parse("redis://me:secret@example.org:6380/3");
  EXPECT_EQ(all.scheme, "redis");
  EXPECT_EQ(all.user, "me");
  EXPECT_EQ(all.password, "secret");
  EXPECT_EQ(all.host, "example.org");
  EXPECT_EQ(all.port, 6380);
  EXPECT_EQ(all.database, 3);
  for (const std::string_view text : {"redis://", "redis:///", "redis://localhost", "REDIS://localhost:6379/0",
                                      "redis://localhost:", "redis://localhost/?virtual_host=0", "redis://:6379"}) {
    EXPECT_EQ(broker_url::parse(text).text(), "redis://localhost:6379/0") << text;
  }
  EXPECT_EQ(broker_url::parse("redis://:secret@host:6380/3").password, "secret");
  EXPECT_EQ(broker_url::parse("redis://me@host").user, "me");
  EXPECT_EQ(broker_url::parse("redis://host?db=4").database, 4);
  EXPECT_EQ(broker_url::parse("redis://host/4?virtual_host=/4").database, 4);
  EXPECT_EQ(broker_url::parse("redis://:p@ss@host").password, "p@ss");
}

TEST(url, ipv6_stands_in_brackets) {
  const broker_url u = broker_url::parse("redis://:x@[::1]:6380/1");
  EXPECT_EQ(u.host, "::1");
  EXPECT_EQ(u.port, 6380);
  EXPECT_EQ(u.text(), "redis://:x@[::1]:6380/1");
  EXPECT_EQ(broker_url::parse("redis://[fe80::1]").port, 6379);
  EXPECT_THAT(refused("redis://[::1"), HasSubstr("without its ]"));
  EXPECT_THAT(refused("redis://[host]:1"), HasSubstr("\"host\" is no IPv6 address"));
  EXPECT_THAT(refused("redis://[::1]6379"), HasSubstr("port"));
}

TEST(url, percent_encoding) {
  const broker_url u = broker_url::parse("redis://a%40b:p%2fa%3Ass%25%20@host/0");
  EXPECT_EQ(u.user, "a@b");
  EXPECT_EQ(u.password, "p/a:ss% ");
  EXPECT_EQ(u.text(), "redis://a%40b:p%2Fa%3Ass%25%20@host:6379/0");
  EXPECT_EQ(broker_url::parse(u.text()).password, u.password);
}

TEST(url, sockets) {
  const broker_url u = broker_url::parse("redis+socket:///tmp/x%20y.sock?virtual_host=2");
  EXPECT_EQ(u.path, "/tmp/x y.sock");
  EXPECT_EQ(u.database, 2);
  EXPECT_EQ(u.text(), "redis+socket:///tmp/x%20y.sock?virtual_host=2");
  const broker_url with = broker_url::parse("redis+socket://:secret@/tmp/x.sock");
  EXPECT_EQ(with.password, "secret");
  EXPECT_EQ(with.redacted(), "redis+socket://:**@/tmp/x.sock");
  EXPECT_THAT(refused("redis+socket://tmp/x.sock"), AllOf(HasSubstr("\"tmp\""), HasSubstr("three /")));
  EXPECT_THAT(refused("redis+socket://"), HasSubstr("no socket"));
}

TEST(url, files_and_memory) {
  EXPECT_EQ(broker_url::parse("sqlite:tutti.db").path, "tutti.db");
  EXPECT_EQ(broker_url::parse("sqlite:/var/x%3Fy.db").path, "/var/x?y.db");
  EXPECT_EQ(broker_url::parse("sqlite:/var/x%3Fy.db").text(), "sqlite:/var/x%3Fy.db");
  EXPECT_EQ(broker_url::parse("sqlite:a b@c.db").text(), "sqlite:a b@c.db");
  EXPECT_EQ(broker_url::parse("memory://").path, "");
  EXPECT_EQ(broker_url::parse("memory://").text(), "memory://");
  EXPECT_EQ(broker_url::parse("memory://mine").path, "mine");
  EXPECT_EQ(broker_url::parse("memory://localhost//").path, "localhost");
  EXPECT_THAT(refused("sqlite:///rel.db"), HasSubstr("\"sqlite:rel.db\""));
  EXPECT_THAT(refused("sqlite:////abs.db"), HasSubstr("\"sqlite:/abs.db\""));
  EXPECT_THAT(refused("sqlite://"), HasSubstr("sqlite:PATH"));
  EXPECT_THAT(refused("sqlite:"), HasSubstr("no file"));
  EXPECT_THAT(refused("sqlite:x?mode=ro"), HasSubstr("no options"));
  EXPECT_THAT(refused("memory:"), HasSubstr("memory://"));
  EXPECT_THAT(refused("memory://?concurency=2"),
              HasSubstr("unknown option \"concurency\"; known: for an executor concurrency, queue"));
}

TEST(url, the_wrong_part_is_named) {
  EXPECT_THAT(refused("redis://host:70000"), HasSubstr("\"redis://host:**\": the port is no number from 1"));
  EXPECT_THAT(refused("redis://host:0"), HasSubstr("the port is no number from 1"));
  EXPECT_THAT(refused("redis://host:6379x"), HasSubstr("\"redis://host:**\": the port is no number"));
  EXPECT_THAT(refused("redis://host:-1"), HasSubstr("the port is no number"));
  EXPECT_THAT(refused("redis://host/x"), HasSubstr("database \"x\""));
  EXPECT_THAT(refused("redis://host/-1"), HasSubstr("database \"-1\""));
  EXPECT_THAT(refused("redis://host/1?db=2"), HasSubstr("two databases"));
  EXPECT_THAT(refused("redis://host?timeout=3"), HasSubstr("option \"timeout\"; known: virtual_host, db; for an"));
  EXPECT_THAT(refused("redis://a,b"), HasSubstr("host \"a,b\""));
  EXPECT_THAT(refused("redis://ho%20st"), HasSubstr("host \"ho st\""));
  EXPECT_THAT(refused("redis://host#1"), HasSubstr("#"));
  EXPECT_THAT(refused("redis:host"), HasSubstr("redis://"));
  EXPECT_THAT(refused("redis://ho%zzst"), HasSubstr("the host has a %"));
  EXPECT_THAT(refused("sqlite:a%00b"), HasSubstr("the path has a %"));
  EXPECT_THAT(refused("localhost"), HasSubstr("no scheme"));
  EXPECT_THAT(refused(""), HasSubstr("no scheme"));
  EXPECT_THAT(refused("/tmp/x:y"), HasSubstr("no scheme"));
}

TEST(url, other_brokers_are_refused_with_what_there_is) {
  EXPECT_THAT(refused("rediss://h"), AllOf(HasSubstr("\"rediss\""), HasSubstr("TLS"), HasSubstr("redis://HOST")));
  EXPECT_THAT(refused("amqp://h"), AllOf(HasSubstr("\"amqp\""), HasSubstr("sqlite:PATH")));
  EXPECT_THAT(refused("unix:///x"), HasSubstr("redis+socket:///PATH"));
  EXPECT_THAT(refused("db+sqlite:///x"), HasSubstr("(a file is sqlite:PATH)"));
  EXPECT_THAT(refused("sqs://"), HasSubstr("\"sqs\""));
}

TEST(url, a_password_is_never_shown) {
  EXPECT_EQ(broker_url::parse("redis://me:secret@h/1").redacted(), "redis://me:**@h:6379/1");
  EXPECT_EQ(broker_url::parse("redis://h").redacted(), "redis://h:6379/0");
  for (const std::string_view text : {"redis://me:secret@h:x",
                                      "redis://me:secret%@h",
                                      "redis://:sec/secret@h",
                                      "redis://:sec?secret@h",
                                      "redis://:#secret@h",
                                      "amqp://me:secret@h",
                                      "me:secret@h",
                                      ":secret@h",
                                      "redis:me:secret@h",
                                      "redis+socket://:secret@h/x",
                                      "redis://:secret@h/x",
                                      "redis://:secret@secret@h:x",
                                      "redis://h/1?db=secret@x",
                                      "sqlite://:secret@x?y",
                                      "redis://:secret",
                                      "redis://me:secret/0",
                                      "redis://h/0?password=secret",
                                      "redis+socket://:secret/x",
                                      "amqp://me:secret/0",
                                      "redis://h/0?password=a@secret",
                                      "redis://h/0?db=secret",
                                      "redis://me@h/0?password=secret",
                                      "amqp://h?password=secret",
                                      "redis+socket://h?password=secret",
                                      "redis://h:x?password=secret",
                                      "memory://?password=secret",
                                      "sqlite:///x?password=secret",
                                      "sqlite:x?password=secret"}) {
    EXPECT_THAT(refused(text), Not(HasSubstr("secret"))) << text;
  }
  EXPECT_THAT(refused("redis://:987654"), Not(HasSubstr("987654")));
  EXPECT_THAT(refused("redis://me:987654/0"), Not(HasSubstr("987654")));
}

}  // namespace
