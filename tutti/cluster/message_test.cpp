#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/python_says.hpp>
#include <tutti/base/error.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>

namespace {

using namespace std::chrono;
using namespace tutti::cluster;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

// As Celery 5.2.6 sends it: add.apply_async((2, 3), countdown=1, expires=30, priority=3, time_limit=10, link=add.s(1)).
constexpr std::string_view from_celery =
    R"x({"body": "W1syLCAzXSwge30sIHsiY2FsbGJhY2tzIjogW3sidGFzayI6ICJ0YXNrcy5hZGQiLCAiYXJncyI6IFsxXSwgImt3YXJncy)x"
    R"x(I6IHt9LCAib3B0aW9ucyI6IHt9LCAic3VidGFza190eXBlIjogbnVsbCwgImltbXV0YWJsZSI6IGZhbHNlfV0sICJlcnJiYWNrcyI6IG)x"
    R"x(51bGwsICJjaGFpbiI6IG51bGwsICJjaG9yZCI6IG51bGx9XQ==", "content-encoding": "utf-8", "content-type": "appli)x"
    R"x(cation/json", "headers": {"lang": "py", "task": "tasks.add", "id": "d8477fa6-b319-43e8-948f-76782e21424a)x"
    R"x(", "shadow": null, "eta": "2026-11-23T06:43:14.308025+00:00", "expires": "2026-11-23T06:43:43.308025+00:)x"
    R"x(00", "group": null, "group_index": null, "retries": 0, "timelimit": [10, null], "root_id": "d8477fa6-b31)x"
    R"x(9-43e8-948f-76782e21424a", "parent_id": null, "argsrepr": "(2, 3)", "kwargsrepr": "{}", "origin": "gen13)x"
    R"x(048@vm", "ignore_result": false}, "properties": {"correlation_id": "d8477fa6-b319-43e8-948f-76782e21424a)x"
    R"x(", "reply_to": "4fc8ccc7-eeb6-3bc0-83e1-54bb5d8e3434", "delivery_mode": 2, "expiration": "30000", "deliv)x"
    R"x(ery_info": {"exchange": "", "routing_key": "celery"}, "priority": 3, "body_encoding": "base64", "deliver)x"
    R"x(y_tag": "678327ea-90ec-4094-86d0-f73c0bbaca4d"}})x";
// The same sender's (add.s(1, 2) | add.s(3) | add.s(4)).apply_async().
constexpr std::string_view chain_from_celery =
    R"x({"body": "W1sxLCAyXSwge30sIHsiY2FsbGJhY2tzIjogbnVsbCwgImVycmJhY2tzIjogbnVsbCwgImNoYWluIjogW3sidGFzayI6IC)x"
    R"x(J0YXNrcy5hZGQiLCAiYXJncyI6IFs0XSwgImt3YXJncyI6IHt9LCAib3B0aW9ucyI6IHsidGFza19pZCI6ICI4NDdjMzVlMC02ODNmLT)x"
    R"x(RhYWEtYTRiZS05YWUzYjVjYjNmY2UiLCAicmVwbHlfdG8iOiAiNGZjOGNjYzctZWViNi0zYmMwLTgzZTEtNTRiYjVkOGUzNDM0In0sIC)x"
    R"x(JzdWJ0YXNrX3R5cGUiOiBudWxsLCAiaW1tdXRhYmxlIjogZmFsc2V9LCB7InRhc2siOiAidGFza3MuYWRkIiwgImFyZ3MiOiBbM10sIC)x"
    R"x(Jrd2FyZ3MiOiB7fSwgIm9wdGlvbnMiOiB7InRhc2tfaWQiOiAiODI0NmYwZWItY2NkNS00ZjNjLThiMjctYWNiZjMzNGRhNzQ0IiwgIn)x"
    R"x(JlcGx5X3RvIjogIjRmYzhjY2M3LWVlYjYtM2JjMC04M2UxLTU0YmI1ZDhlMzQzNCJ9LCAic3VidGFza190eXBlIjogbnVsbCwgImltbX)x"
    R"x(V0YWJsZSI6IGZhbHNlfV0sICJjaG9yZCI6IG51bGx9XQ==", "content-encoding": "utf-8", "content-type": "applicati)x"
    R"x(on/json", "headers": {"lang": "py", "task": "tasks.add", "id": "7da4b1d3-f822-4c9d-92cf-d6b2b10871a8", ")x"
    R"x(shadow": null, "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimi)x"
    R"x(t": [null, null], "root_id": "7da4b1d3-f822-4c9d-92cf-d6b2b10871a8", "parent_id": null, "argsrepr": "(1,)x"
    R"x( 2)", "kwargsrepr": "{}", "origin": "gen13048@vm", "ignore_result": false}, "properties": {"correlation_)x"
    R"x(id": "7da4b1d3-f822-4c9d-92cf-d6b2b10871a8", "reply_to": "4fc8ccc7-eeb6-3bc0-83e1-54bb5d8e3434", "delive)x"
    R"x(ry_mode": 2, "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0, "body_encoding":)x"
    R"x( "base64", "delivery_tag": "880ea9ec-934a-4e7f-bf96-0cfe7a6f1fb2"}})x";

task_message full() {
  task_message m;
  m.task = "tasks.add";
  m.id = "id \"1\"";
  m.args = R"([1,123456789012345678901234567890,"ä\n"])";
  m.kwargs = R"({"k":1.10})";
  m.callbacks = {R"({"task":"a"})", R"({"task":"b"})"};
  m.errbacks = {R"({"task":"e"})"};
  m.chain = {R"({"task":"last"})", R"({"task":"next"})"};
  m.chord = R"({"task":"body"})";
  m.queue = "slow";
  m.priority = 2;
  m.retries = 4;
  m.eta = sys_days(2030y / January / 2) + 3h + 250ms;
  m.expires = sys_days(2030y / January / 3) + 1us;
  m.time_limit = 10;
  m.soft_time_limit = 7.5;
  m.root_id = "root";
  m.parent_id = "parent";
  m.group = "group";
  m.group_index = 3;
  m.ignore_result = true;
  m.reply_to = "reply";
  m.shadow = "shadow";
  m.origin = "origin";
  m.argsrepr = "(1, ...)";
  m.kwargsrepr = "{...}";
  m.headers = {{"traceparent", R"("00-ab")"}, {"x\"y", R"({"a":[1]})"}};
  m.redelivered = true;
  return m;
}

// An envelope with a body as it is, not in base64.
std::string with_body(const std::string& body, const std::string& headers = R"({"task":"t","id":"i"})",
                      const std::string& more = "") {
  return R"({"body":)" + json_string(body) + R"(,"content-type":"application/json","headers":)" + headers + more +
         R"(,"properties":{}})";
}

std::string refused(const std::string& element) {
  try {
    (void)decode_message(element);
  } catch (const tutti::decode_error& e) {
    return e.what();
  }
  ADD_FAILURE() << "read " << element;
  return "";
}

TEST(message, as_celery_sends_it) {
  const task_message m = decode_message(from_celery);
  EXPECT_EQ(m.task, "tasks.add");
  EXPECT_EQ(m.id, "d8477fa6-b319-43e8-948f-76782e21424a");
  EXPECT_EQ(m.args, "[2, 3]");
  EXPECT_EQ(m.kwargs, "{}");
  EXPECT_THAT(m.callbacks, ElementsAre(R"({"task": "tasks.add", "args": [1], "kwargs": {}, "options": {}, )"
                                       R"("subtask_type": null, "immutable": false})"));
  EXPECT_THAT(m.errbacks, ElementsAre());
  EXPECT_EQ(m.chord, "");
  EXPECT_EQ(m.queue, "celery");
  EXPECT_EQ(m.priority, 6);
  EXPECT_EQ(m.retries, 0);
  EXPECT_EQ(m.eta, sys_days(2026y / November / 23) + 6h + 43min + 14s + 308025us);
  EXPECT_EQ(m.expires, *m.eta + 29s);
  EXPECT_EQ(m.time_limit, 10.0);
  EXPECT_EQ(m.soft_time_limit, std::nullopt);
  EXPECT_EQ(m.root_id, m.id);
  EXPECT_EQ(m.parent_id, "");
  EXPECT_EQ(m.group, "");
  EXPECT_EQ(m.group_index, std::nullopt);
  EXPECT_FALSE(m.ignore_result);
  EXPECT_EQ(m.reply_to, "4fc8ccc7-eeb6-3bc0-83e1-54bb5d8e3434");
  EXPECT_EQ(m.origin, "gen13048@vm");
  EXPECT_EQ(m.argsrepr, "(2, 3)");
  EXPECT_THAT(m.headers, ElementsAre());
  EXPECT_FALSE(m.is_old);
  EXPECT_FALSE(m.redelivered);

  const task_message chain = decode_message(chain_from_celery);
  ASSERT_EQ(chain.chain.size(), 2U);
  EXPECT_THAT(chain.chain.back(), HasSubstr("\"args\": [3]"));
  EXPECT_EQ(chain.priority, std::nullopt);
}

TEST(message, all_of_it_there_and_back) {
  const task_message m = full();
  const task_message again = decode_message(encode_message(m));
  EXPECT_EQ(again.task, m.task);
  EXPECT_EQ(again.id, m.id);
  EXPECT_EQ(again.args, m.args);
  EXPECT_EQ(again.kwargs, m.kwargs);
  EXPECT_EQ(again.callbacks, m.callbacks);
  EXPECT_EQ(again.errbacks, m.errbacks);
  EXPECT_EQ(again.chain, m.chain);
  EXPECT_EQ(again.chord, m.chord);
  EXPECT_EQ(again.queue, m.queue);
  EXPECT_EQ(again.priority, m.priority);
  EXPECT_EQ(again.retries, m.retries);
  EXPECT_EQ(again.eta, m.eta);
  EXPECT_EQ(again.expires, m.expires);
  EXPECT_EQ(again.time_limit, m.time_limit);
  EXPECT_EQ(again.soft_time_limit, m.soft_time_limit);
  EXPECT_EQ(again.root_id, m.root_id);
  EXPECT_EQ(again.parent_id, m.parent_id);
  EXPECT_EQ(again.group, m.group);
  EXPECT_EQ(again.group_index, m.group_index);
  EXPECT_TRUE(again.ignore_result);
  EXPECT_EQ(again.reply_to, m.reply_to);
  EXPECT_EQ(again.shadow, m.shadow);
  EXPECT_EQ(again.origin, m.origin);
  EXPECT_EQ(again.argsrepr, m.argsrepr);
  EXPECT_EQ(again.kwargsrepr, m.kwargsrepr);
  EXPECT_EQ(again.headers, m.headers);
  EXPECT_TRUE(again.redelivered);
}

TEST(message, what_is_left_out_is_as_celery_has_it) {
  task_message m;
  m.task = "t";
  m.id = "i";
  m.args = "[1,\"a\"]";
  const task_message again = decode_message(encode_message(m));
  EXPECT_EQ(again.root_id, "i");
  EXPECT_EQ(again.argsrepr, "[1, 'a']");
  EXPECT_EQ(again.kwargsrepr, "{}");
  EXPECT_EQ(again.origin, "gen" + process_name());
  EXPECT_EQ(again.priority, std::nullopt);
  EXPECT_EQ(again.queue, "celery");
  EXPECT_EQ(again.time_limit, std::nullopt);
  EXPECT_THAT(again.headers, ElementsAre());
  EXPECT_THAT(encode_message(m), AllOf(HasSubstr(R"("priority": 0)"), HasSubstr(R"("timelimit": [null, null])"),
                                       Not(HasSubstr("expiration")), Not(HasSubstr("redelivered"))));
  m.expires = system_clock::now() + 1h;
  EXPECT_THAT(encode_message(m), testing::ContainsRegex("\"expiration\": \"3[56][0-9]{5}\""));
  m.expires = system_clock::now() - 1h;
  EXPECT_THAT(encode_message(m), HasSubstr(R"("expiration": "0")"));
}

TEST(message, our_priorities_are_celerys_upside_down) {
  task_message m;
  m.task = "t";
  m.id = "i";
  for (int ours = 0; ours <= 9; ++ours) {
    m.priority = ours;
    const std::string text = encode_message(m);
    EXPECT_THAT(text, HasSubstr("\"priority\": " + std::to_string(9 - ours) + ","));
    EXPECT_EQ(decode_message(text).priority.value_or(9), ours);
  }
  const auto theirs = [](const std::string& json) {
    return decode_message(R"({"body":"[[],{},null]","headers":{"task":"t","id":"i"},"properties":{"priority":)" + json +
                          "}}")
        .priority;
  };
  EXPECT_EQ(theirs("0"), std::nullopt);
  EXPECT_EQ(theirs("null"), std::nullopt);
  EXPECT_EQ(theirs("-1"), std::nullopt);
  EXPECT_EQ(theirs("\"x\""), std::nullopt);
  EXPECT_EQ(theirs("255"), 0);
}

TEST(message, other_envelopes_that_are_taken) {
  const task_message plain = decode_message(with_body("[[1],{},null]"));
  EXPECT_EQ(plain.args, "[1]");
  const std::string returned = R"({"tutti-returned":2,)" + std::string(from_celery.substr(1));
  EXPECT_EQ(decode_message(returned).task, "tasks.add");
  EXPECT_EQ(
      decode_message(
          R"({"body":"W1tdLHt9LG51bGxd","content-encoding":null,"content-type":null,"headers":{"task":"t","id":"i",)"
          R"("compression":null,"stamps":{}},"properties":{"body_encoding":"base64"}})")
          .headers.at("stamps"),
      "{}");
  EXPECT_TRUE(decode_message(R"({"body":"[[],{},{}]","headers":{"task":"t","id":"i"},)"
                             R"("properties":{"delivery_info":{"redelivered":true}}})")
                  .redelivered);
}

TEST(message, protocol_1_is_taken) {
  const std::string body =
      R"({"task":"t","id":"i","args":[1],"kwargs":{"a":2},"group":null,"group_index":null,"retries":2,"eta":"2026-01-31T12:00:00",)"
      R"("expires":null,"utc":true,"callbacks":[{"task":"c"}],"errbacks":null,"timelimit":[3,null],"taskset":"g","chord":{"task":"b"}})";
  const task_message m = decode_message(with_body(body, "{}"));
  EXPECT_TRUE(m.is_old);
  EXPECT_EQ(m.task, "t");
  EXPECT_EQ(m.id, "i");
  EXPECT_EQ(m.args, "[1]");
  EXPECT_EQ(m.kwargs, R"({"a":2})");
  EXPECT_EQ(m.retries, 2);
  EXPECT_EQ(m.eta, sys_days(2026y / January / 31) + 12h);
  EXPECT_EQ(m.group, "g");
  EXPECT_EQ(m.time_limit, 3.0);
  EXPECT_EQ(m.chord, R"({"task":"b"})");
  EXPECT_THAT(m.callbacks, ElementsAre(R"({"task":"c"})"));
  EXPECT_FALSE(decode_message(encode_message(m)).is_old);
  const task_message hybrid = decode_message(with_body(body, R"({"id":"h","x":1})"));
  EXPECT_EQ(hybrid.id, "h");
  EXPECT_THAT(hybrid.headers, ElementsAre(Pair("x", "1")));
  EXPECT_EQ(decode_message(with_body(R"({"task":"t","id":"i"})", "null")).args, "[]");
}

TEST(message, what_is_wrong_is_named) {
  EXPECT_THAT(refused("no json"), HasSubstr("a task message at byte 0"));
  EXPECT_THAT(refused("[1]"), HasSubstr("not [1]"));
  EXPECT_THAT(refused("{}"), HasSubstr("no body"));
  EXPECT_THAT(refused(with_body("[[],{},null]", R"({"id":"i"})")), HasSubstr("\"task\""));
  EXPECT_THAT(refused(with_body("[[],{},null]", R"({"task":"t"})")), AllOf(HasSubstr("\"t\""), HasSubstr("\"id\"")));
  EXPECT_THAT(refused(with_body("[[],{},null]", R"({"task":1,"id":"i"})")),
              AllOf(HasSubstr("\"task\""), HasSubstr("wanted a string, found 1")));
  EXPECT_THAT(refused(with_body("[[],{}")), HasSubstr("the body of a task message at byte 6"));
  EXPECT_THAT(refused(with_body("7")), HasSubstr("no array: 7"));
  EXPECT_THAT(refused(with_body("[[],{}]")), HasSubstr("array of 2"));
  EXPECT_THAT(refused(with_body("[{},{},null]")), HasSubstr("\"args\": wanted an array, found {}"));
  EXPECT_THAT(refused(with_body("[[],[],null]")), HasSubstr("\"kwargs\": wanted an object, found []"));
  EXPECT_THAT(refused(with_body("[[],{},1]")), HasSubstr("\"embed\""));
  EXPECT_THAT(refused(with_body(R"([[],{},{"chain":[1]}])")), HasSubstr("\"chain\": wanted an array of signatures"));
  EXPECT_THAT(refused(with_body(R"([[],{},{"chord":[]}])")), HasSubstr("\"chord\": wanted an object"));
  EXPECT_THAT(refused(with_body("[[NaN],{},null]")), HasSubstr("NaN is no number of JSON"));
  const auto header = [](const std::string& member) {
    return refused(with_body("[[],{},null]", R"({"task":"t","id":"i",)" + member + "}"));
  };
  EXPECT_THAT(header(R"("retries":-1)"), HasSubstr("\"retries\": wanted an integer of at least 0, found -1"));
  EXPECT_THAT(header(R"("retries":"1")"), HasSubstr("found '1'"));
  EXPECT_THAT(header(R"("retries":99999999999)"), HasSubstr("\"retries\""));
  EXPECT_THAT(header(R"("eta":"soon")"), HasSubstr("\"eta\": wanted a moment of ISO 8601, found 'soon'"));
  EXPECT_THAT(header(R"("expires":60)"), HasSubstr("\"expires\": wanted a string, found 60"));
  EXPECT_THAT(header(R"("timelimit":[1])"), HasSubstr("\"timelimit\": wanted an array of two"));
  EXPECT_THAT(header(R"("timelimit":["1",null])"), HasSubstr("\"timelimit\": wanted numbers"));
  EXPECT_THAT(header(R"("ignore_result":1)"), HasSubstr("\"ignore_result\""));
  EXPECT_THAT(header(R"("compression":"application/x-gzip")"), HasSubstr("application/x-gzip"));
}

TEST(message, what_we_cannot_read_is_named) {
  const auto type = [](const std::string& name) {
    return refused(R"({"body":"gAJ9","content-type":")" + name + R"(","headers":{},"properties":{}})");
  };
  EXPECT_THAT(type("application/x-python-serialize"), HasSubstr("pickle"));
  EXPECT_THAT(type("application/x-yaml"), HasSubstr("yaml"));
  EXPECT_THAT(type("application/x-msgpack"), HasSubstr("msgpack"));
  EXPECT_THAT(type("text/plain"), HasSubstr("\"text/plain\""));
  EXPECT_THAT(refused(R"({"body":"x","content-encoding":"binary","properties":{}})"), HasSubstr("\"binary\""));
  EXPECT_THAT(refused(R"({"body":"x","properties":{"body_encoding":"rot13"}})"), HasSubstr("\"rot13\""));
  EXPECT_THAT(refused(R"({"body":"###x","properties":{"body_encoding":"base64"}})"), HasSubstr("base64"));
  EXPECT_THAT(refused(R"({"body":[],"properties":{}})"), HasSubstr("no string"));
  EXPECT_THAT(refused(std::string(100'000'001, ' ')), HasSubstr("100000001 bytes"));
}

TEST(message, what_no_worker_would_take_is_not_sent) {
  const auto refused_of = [](auto change) {
    task_message m = full();
    change(m);
    try {
      (void)encode_message(m);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_THAT(refused_of([](auto& m) { m.task = ""; }), HasSubstr("no name"));
  EXPECT_THAT(refused_of([](auto& m) { m.id = ""; }), AllOf(HasSubstr("\"tasks.add\""), HasSubstr("no id")));
  EXPECT_THAT(refused_of([](auto& m) { m.args = "{}"; }), HasSubstr("args"));
  EXPECT_THAT(refused_of([](auto& m) { m.kwargs = "[]"; }), HasSubstr("kwargs"));
  EXPECT_THAT(refused_of([](auto& m) { m.retries = -1; }), HasSubstr("-1"));
  EXPECT_THAT(refused_of([](auto& m) { m.priority = 10; }), HasSubstr("10"));
  EXPECT_THAT(refused_of([](auto& m) { m.headers["retries"] = "1"; }), HasSubstr("\"retries\""));
}

TEST(message, what_is_too_big_for_a_worker_is_not_sent) {
  task_message m;
  m.task = "tasks.big";
  m.id = "i";
  m.args = "[\"" + std::string(75'000'000, 'x') + "\"]";
  try {
    (void)encode_message(m);
    ADD_FAILURE() << "it was taken";
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("tasks.big"), HasSubstr("100 MB")));
  }
  m.retries = 1;  // it came so, in fewer bytes
  const std::string again = encode_message(m);
  EXPECT_GT(again.size(), 100'000'000U);
  EXPECT_EQ(name_of(again).id, "i");
}

TEST(message, as_deep_as_it_can_be_read_it_can_be_sent) {
  const auto arrays = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  task_message m;
  m.task = "t";
  m.id = "i";
  m.kwargs = R"({"brackets": "[[[{\"[", "more": []})";
  m.args = arrays(127);
  EXPECT_EQ(decode_message(encode_message(m)).args, m.args);
  m.args = arrays(128);
  EXPECT_THROW((void)encode_message(m), std::invalid_argument);
  m.args = "[]";
  m.chord = "{\"x\":" + arrays(125) + '}';
  EXPECT_EQ(decode_message(encode_message(m)).chord, m.chord);
  m.chord = "{\"x\":" + arrays(126) + '}';
  EXPECT_THROW((void)encode_message(m), std::invalid_argument);
  m.chord.clear();
  m.headers["deep"] = arrays(126);
  EXPECT_EQ(decode_message(encode_message(m)).headers, m.headers);
  m.headers["deep"] = arrays(127);
  EXPECT_THROW((void)encode_message(m), std::invalid_argument);
}

TEST(message, a_name_is_found_where_there_is_one) {
  EXPECT_EQ(name_of(from_celery).id, "d8477fa6-b319-43e8-948f-76782e21424a");
  EXPECT_EQ(name_of(from_celery).task, "tasks.add");
  const message_name pickled = name_of(
      R"({"body":"gAJ9","content-type":"application/x-python-serialize","headers":{"id":"i","task":"t"},"properties":{}})");
  EXPECT_EQ(pickled.id + pickled.task, "it");
  const message_name old = name_of(with_body(R"({"task":"t","id":"i","args":1})", "{}"));
  EXPECT_EQ(old.id + old.task, "it");
  EXPECT_EQ(name_of(R"({"headers":{"id":"i","task":3}})").id, "i");
  for (const std::string_view nothing : {"", "x", "[]", "{}", R"({"headers":[],"body":"{","properties":1})"}) {
    EXPECT_EQ(name_of(nothing).id, "");
    EXPECT_EQ(name_of(nothing).task, "");
  }
}

TEST(message, a_header_is_added) {
  const std::string once = with_header(from_celery, "x-death-reason", "\"old\"");
  const std::string twice = with_header(once, "x-death-reason", "\"new\"");
  const task_message m = decode_message(twice);
  EXPECT_EQ(m.task, "tasks.add");
  EXPECT_EQ(m.args, "[2, 3]");
  EXPECT_THAT(m.headers, ElementsAre(Pair("x-death-reason", "\"new\"")));

  for (const std::string_view raw : {"no \xff json", "", "[1]", R"({"body":"x"})"}) {
    const std::string wrapped = with_header(raw, "x-death-reason", "\"why\"");
    const auto members = object_parts(wrapped);
    EXPECT_EQ(members[0], std::pair(std::string("body"), '"' + base64(raw) + '"'));
    EXPECT_EQ(members[3], std::pair(std::string("headers"), std::string(R"({"x-death-reason":"why"})")));
    EXPECT_THAT(refused(wrapped), HasSubstr("application/data"));
    EXPECT_THAT(with_header(wrapped, "b", "1"), HasSubstr(R"({"x-death-reason":"why","b":1})"));
  }
}

// What `letter` says of why it is put aside, and how many bytes it has of what was.
std::pair<std::string, std::size_t> contents_of(const std::string& letter) {
  const auto members = object_parts(letter);
  return {members.at(3).second, members.at(0).second.size() * 3 / 4 - 1};
}

TEST(message, what_is_put_aside_has_its_reason_and_an_end) {
  EXPECT_EQ(dead_letter_of(from_celery, "why").size(), with_header(from_celery, "x-death-reason", "\"why\"").size());
  EXPECT_EQ(decode_message(dead_letter_of(from_celery, "why", true)).args, "[2, 3]");
  EXPECT_EQ(contents_of(dead_letter_of(std::string(300'000, 'x'), "why")),
            std::pair(std::string(R"({"x-death-reason":"why"})"), std::size_t{300'000}));

  task_message m;
  m.task = "t";
  m.id = "i";
  m.args = "[\"" + std::string(100'000'000 / 2, 'x') + "\"]";
  const std::string long_one = encode_message(m);
  EXPECT_EQ(decode_message(dead_letter_of(long_one, "why")).args, m.args);
  for (const std::string& text :
       {dead_letter_of(long_one, "why", true), dead_letter_of(std::string(100'000'001, 'x'), "why")}) {
    const auto [headers, bytes] = contents_of(text);
    EXPECT_THAT(headers, HasSubstr("why; here are the first 65536 of its "));
    EXPECT_LT(bytes, 65536U + 3);
    EXPECT_LT(text.size(), 100'000U);
  }
}

TEST(message, a_megabyte_passes) {
  task_message m;
  m.task = "t";
  m.id = "i";
  m.args = "[\"" + std::string(1'000'000, 'x') + "\"]";
  const std::string text = encode_message(m);
  EXPECT_EQ(decode_message(text).args, m.args);
  EXPECT_LT(text.size(), 1'340'000U);
}

// What a real worker of Celery makes of our messages.
TEST(message, celery_takes_it) {
  const std::string base = testing::TempDir() + "message_test_" + std::to_string(::getpid());
  std::ofstream(base + ".json") << encode_message(full()) << '\n'
                                << with_header("junk", "x-death-reason", "\"why\"") << '\n';
  const std::string script = R"py(
import json, sys
from celery import Celery
from celery.worker.request import Request
from kombu.transport.virtual import Message
app = Celery('t', broker='memory://')
@app.task(name='tasks.add')
def add(*args, **kwargs): pass
@app.task(name='e')
def e(*args, **kwargs): pass
lines = open(sys.argv[1]).read().splitlines()
with app.connection_for_read() as connection:
    channel = connection.channel()
    m = Message(json.loads(lines[0]), channel=channel)
    r = Request(m, app=app)
    args, kwargs, embed = r._payload
    junk = Message(json.loads(lines[1]), channel=channel)
    print(json.dumps([r.id, r.name, r.type, args, kwargs, embed, r.eta.isoformat(), r.expires.isoformat(), list(r.time_limits),
        r.reply_to, r.correlation_id, r.delivery_info, r.root_id, r.parent_id, r.argsrepr, r.ignore_result, r.group,
        r.request_dict['retries'], r.request_dict['traceparent'], r.request_dict['x"y'], m.properties['expiration'].isdigit(),
        junk.headers, junk.body.decode()]))
)py";
  EXPECT_EQ(
      tutti_test::python_says(base, script),
      R"x(["id \"1\"", "shadow", "tasks.add", [1, 123456789012345678901234567890, "\u00e4\n"], {"k": 1.1}, {"callb)x"
      R"x(acks": [{"task": "a"}, {"task": "b"}], "errbacks": [{"task": "e"}], "chain": [{"task": "last"}, {"task":)x"
      R"x( "next"}], "chord": {"task": "body"}}, "2030-01-02T03:00:00.250000+00:00", "2030-01-03T00:00:00.000001+0)x"
      R"x(0:00", [10, 7.5], "reply", "id \"1\"", {"exchange": "", "routing_key": "slow", "priority": 7, "redeliver)x"
      R"x(ed": null}, "root", "parent", "(1, ...)", true, "group", 4, "00-ab", {"a": [1]}, true, {"x-death-reason")x"
      R"x(: "why"}, "junk"])x"
      "\n");
}

}  // namespace
