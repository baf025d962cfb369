// What is hidden of words that may have a password.
#include <tutti/base/redacted.hpp>

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

namespace {

using tutti::detail::redacted;

TEST(Redacted, OtherWordsAreAsTheyWere) {
  for (const std::string_view word : {"",
                                      "-b",
                                      "--broker",
                                      "math",
                                      "threads:4",
                                      "threads:1e9",
                                      "sqlite:tasks.db",
                                      "redis://",
                                      "redis://host/0",
                                      "redis://host:6379/0",
                                      "redis://[::1]:6379/0",
                                      "memory://name",
                                      "http://host",
                                      "redis+socket:///tmp/x.sock",
                                      "/tmp//a//b",
                                      "what?",
                                      "name@host",
                                      "worker@host.dq",
                                      "bob@example.com",
                                      "a:4,b:8",
                                      "2100-01-01T00:00:00+01:00",
                                      "/tmp//a:b.json",
                                      "./what?.sh",
                                      "sqlite:/tmp/a@b.db",
                                      R"({"n": [1, "two"]})",
                                      R"({"mail": "a@b.com", n: 1})",
                                      "bob's"}) {
    EXPECT_EQ(redacted(word), word);
  }
}

TEST(Redacted, WhatMayBeAPasswordIsHidden) {
  for (const auto& [word, shown] :
       {std::pair<std::string_view, std::string_view>{"redis://:secret@h/0", "redis://**@h/0"},
        {"redis://u:secret@h:6379/0", "redis://**@h:6379/0"},
        {"--brokr=redis://:secret@h/0", "--brokr=redis://**@h/0"},
        {"-bredis://:secret@h/0", "-bredis://**@h/0"},
        {"redis//u:secret@h", "redis//**@h"},
        {"redis//:secret", "redis//:**"},
        {"redis:/u:secret@h", "**@h"},
        {"redis:u:secret@h", "**@h"},
        {"u:secret@h", "**@h"},
        {"u:secret@redis://h", "**"},
        {"redis://:sec@secret@h", "redis://**@h"},
        {"redis://:sec/secret@h", "redis://**@h"},
        {"redis://:sec?secret@h", "redis://**"},
        {"redis://:secret", "redis://:**"},
        {"redis://:65535", "redis://:**"},
        {"redis://u:secret/0", "redis://u:**"},
        {"redis://u@h:secret", "redis://**@h:**"},
        {"redis://[::1]:secret", "redis://[::1]:**"},
        {"redis://[:secret", "redis://[:**"},
        {"redis://h/0?password=secret", "redis://h/0?**"},
        {"sqlite:x?password=secret", "sqlite:x?**"},
        {"redis://h/0 redis://:secret@h", "redis://**"},
        {R"(["redis://:secret@h", 1])", R"(["redis://**@h", 1])"}}) {
    EXPECT_EQ(redacted(word), shown);
  }
}

TEST(Redacted, ASentenceLosesThatWordOnly) {
  EXPECT_EQ(redacted("\"u:secret@h\" is no u:secret@h; known: redis://", "u:secret@h"),
            "\"**@h\" is no **@h; known: redis://");
  EXPECT_EQ(redacted("no such word: a@b", "word"), "no such word: a@b");
  EXPECT_EQ(redacted("", ""), "");
}

}  // namespace
