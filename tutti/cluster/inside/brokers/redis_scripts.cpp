#include <tutti/cluster/inside/brokers/redis_scripts.hpp>

namespace tutti::cluster::detail {

namespace {

// What the scripts of consumers begin with.
constexpr const char* prelude = R"lua(
redis.call('DEL', 'tutti:')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function counted(text)
  if string.sub(text, 1, 18) == '{"tutti-returned":' then
    local n, rest = string.match(text, '^{"tutti%-returned":(%d+),()')
    if n and #n <= 6 then return tonumber(n), '{' .. string.sub(text, rest) end
  end
  return 0, text
end
local function record_of(list, returned, text)
  return string.format('%d:%d:', #list, returned) .. list .. text
end
local function parts_of(record)
  local length, returned, at = string.match(record, '^(%d+):(%d+):()')
  if not at or at + length - 1 > #record then return end
  local text = at + length
  return string.sub(record, at, text - 1), tonumber(returned), string.sub(record, text)
end
local function push(command, list, text)
  if type(redis.pcall(command, list, text)) == 'table' then
    redis.call('LPUSH', (string.match(list, '^(.*)\6\22%d$') or list) .. '.dead', text)
  end
end
local function put_back(list, returned, text)
  if returned > 0 and string.sub(text, 1, 1) == '{' then
    text = string.format('{"tutti-returned":%d,', math.min(returned, 999999)) .. string.sub(text, 2)
  end
  push('RPUSH', list, text)
end
local function put_record_back(record, died)
  local list, returned, text = parts_of(record)
  if list then
    put_back(list, returned + died, text)
  else
    redis.call('LPUSH', 'tutti:dead', record) -- it would stop whoever tries, again and again
  end
end
local function give_back_all(held, most, died)
  local found = redis.call('HSCAN', held, 0, 'COUNT', most)[2]
  local tags = {}
  for i = 1, #found, 2 do tags[#tags + 1] = {tonumber(found[i]) or 0, found[i], found[i + 1]} end
  table.sort(tags, function(a, b) return a[1] > b[1] end)
  for _, one in ipairs(tags) do
    put_record_back(one[3], died)
    redis.call('HDEL', held, one[2])
  end
  return #tags
end
)lua";

}  // namespace

const redis_script receive_script{prelude, R"lua(
local held = KEYS[1]
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
local left, tag, out = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
if ARGV[5] == '1' then
  local lost = {}
  for _, one in ipairs(redis.call('HKEYS', held)) do
    if (tonumber(one) or 0) >= tag then lost[#lost + 1] = one end
  end
  table.sort(lost, function(a, b) return tonumber(a) < tonumber(b) end)
  for _, one in ipairs(lost) do
    out[#out + 1] = one
    out[#out + 1] = redis.call('HGET', held, one)
  end
  if #out > 0 then return out end
end
for i = 3, #KEYS do
  local texts = redis.pcall('RPOP', KEYS[i], left)
  if texts and not texts.err then
    for _, text in ipairs(texts) do
      local returned
      returned, text = counted(text)
      local record = record_of(KEYS[i], returned, text)
      while redis.call('HSETNX', held, tag, record) == 0 do tag = tag + 1 end -- never over what it holds
      out[#out + 1] = tag
      out[#out + 1] = record
      tag = tag + 1
    end
    left = left - #texts
    if left <= 0 then break end
  end
end
return out
)lua"};

const redis_script settle_script{prelude, R"lua(
local held, number = KEYS[1], tonumber(ARGV[1])
local last = tonumber(redis.call('GET', KEYS[4]) or 0)
if number <= last then return 0 end
if last < tonumber(ARGV[2]) then return redis.error_reply('ERR the step before this one has failed') end
local i = 3
while i <= #ARGV do
  local tag, back, follow = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  i = i + 3
  local record = redis.call('HGET', held, tag)
  if not record then -- whoever has it now sends what comes after it
    i = i + 4 * follow
    follow = 0
  elseif back == '1' then
    put_record_back(record, 0)
  end
  for _ = 1, follow do
    local list, due, token, text = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3]
    i = i + 4
    if due > 0 then
      local member = list .. '\n' .. token
      redis.call('HSET', KEYS[3], member, record_of(list, 0, text))
      redis.call('ZADD', KEYS[2], due, member)
    else
      push('LPUSH', list, text)
    end
  end
  redis.call('HDEL', held, tag) -- last: an error before it undoes nothing, and this one is tried again
end
redis.call('SET', KEYS[4], number, 'EX', 600)
return 1
)lua"};

const redis_script keep_script{prelude, R"lua(
local consumers, later, texts = KEYS[1], KEYS[2], KEYS[3]
local latest, most = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZADD', consumers, now + ARGV[2], ARGV[1])
local more = 0
if latest > 0 and now <= latest then
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', consumers, '-inf', '(' .. now, 'LIMIT', 0, 10)) do
    local held = 'tutti:held:' .. dead
    give_back_all(held, most, 1)
    if redis.call('EXISTS', held) == 0 then redis.call('ZREM', consumers, dead) end
    more = 1
  end
end
local due = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, most)
for i = #due, 1, -1 do
  local record = redis.call('HGET', texts, due[i])
  if record then put_record_back(record, 0) end
  redis.call('ZREM', later, due[i])
  redis.call('HDEL', texts, due[i])
end
if #due == most then more = 1 end
local first = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
return {now, more, first[2] and math.ceil(tonumber(first[2])) or -1}
)lua"};

const redis_script leave_script{prelude, R"lua(
if give_back_all(KEYS[1], 1000, 0) > 0 then return 1 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[3])
return 0
)lua"};

const redis_script count_script{"", R"lua(
local held, delayed, out = {}, {}, {}
local function add(counts, list)
  local queue = string.match(list, '^(.*)\6\22%d$') or list
  counts[queue] = (counts[queue] or 0) + 1
end
for _, consumer in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  for _, record in ipairs(redis.call('HVALS', 'tutti:held:' .. consumer)) do
    local length, at = string.match(record, '^(%d+):%d+:()')
    if at then add(held, string.sub(record, at, at + length - 1)) end
  end
end
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  add(delayed, string.match(member, '^(.*)\n') or member)
end
for i = 1, #ARGV do
  out[2 * i - 1] = held[ARGV[i]] or 0
  out[2 * i] = delayed[ARGV[i]] or 0
end
return out
)lua"};

const redis_script purge_script{"", R"lua(
local dropped, lists = 0, {}
for i = 3, #KEYS do
  dropped = dropped + redis.call('LLEN', KEYS[i])
  redis.call('DEL', KEYS[i])
  lists[KEYS[i]] = true
end
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if lists[string.match(member, '^(.*)\n')] then
    redis.call('ZREM', KEYS[1], member)
    redis.call('HDEL', KEYS[2], member)
    dropped = dropped + 1
  end
end
return dropped
)lua"};

const redis_script progress_script{"", R"lua(
local there = redis.call('GET', KEYS[1])
local state = there and string.match(there, '"status"%s*:%s*"(%u+)"')
if state == 'SUCCESS' then return 0 end
if ARGV[3] == '1' and (state == 'FAILURE' or state == 'REVOKED') then return 0 end
if ARGV[2] == '0' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
)lua"};

const redis_script chord_script{"", R"lua(
local parts, index, id, part = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local function id_of(text) return string.match(text, '^%[%s*1%s*,%s*"([^"]*)"') end
for _, earlier in ipairs(redis.call('ZRANGEBYSCORE', parts, index, index)) do
  if earlier ~= part and id_of(earlier) == id then redis.call('ZREM', parts, earlier) end
end
redis.call('ZADD', parts, index, part)
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[4]) end
local size = tonumber(redis.call('GET', KEYS[3]))
if not size then return false end
size = size + (tonumber(redis.call('GET', KEYS[2])) or 0)
if redis.call('ZCARD', parts) < size then return false end
local all, seen, out = redis.call('ZRANGE', parts, 0, -1), {}, {redis.call('GET', KEYS[4]) or ''}
for _, text in ipairs(all) do
  local name = id_of(text) or text
  if not seen[name] then
    seen[name] = true
    out[#out + 1] = text
  end
end
if #out <= size then return false end
return out
)lua"};

}  // namespace tutti::cluster::detail
