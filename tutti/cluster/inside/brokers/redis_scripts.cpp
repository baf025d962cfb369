#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/redis_scripts.hpp>

namespace tutti::cluster::detail {

namespace {

// What the scripts of consumers begin with.
constexpr const char* prelude = R"lua(
redis.call('DEL', 'tutti:')
local bytes_left = 4194304 -- in one step, which keeps all others waiting
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
local diverted, why = 0, ''
local function push(command, list, text)
  local refused = redis.pcall(command, list, text)
  if type(refused) ~= 'table' then return end
  diverted, why = diverted + 1, list .. ': ' .. refused.err
  local dead = (string.match(list, '^(.*)\6\22%d$') or list) .. '.dead'
  if type(redis.pcall('LPUSH', dead, text)) == 'table' then redis.call('LPUSH', 'tutti:dead', text) end
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
local function number_of(field) return tonumber(string.match(field, '^%d+')) or 0 end
local function give_back_all(held, most, died)
  local fields = redis.call('HKEYS', held)
  table.sort(fields, function(a, b) return number_of(a) > number_of(b) end)
  if died > 0 and fields[1] then -- should it live after all, it asks: see redis_consumer::holds
    local ended = 'tutti:ended:' .. string.sub(held, 12)
    local known = tonumber(redis.call('GET', ended) or '') or 0
    redis.pcall('SET', ended, math.max(known, number_of(fields[1])), 'EX', 86400)
  end
  for i, field in ipairs(fields) do
    if i > most or bytes_left <= 0 then return false end
    local record = redis.call('HGET', held, field)
    put_record_back(record, died)
    redis.call('HDEL', held, field)
    bytes_left = bytes_left - #record
  end
  return true
end
)lua";

}  // namespace

void log_diverted(const std::string& broker, redis_value count, redis_value why) {
  if (count.integer() == 0) return;
  log(log_level::error, "a list of Redis refuses messages; they are in the queue's .dead, or in tutti:dead",
      {{"broker", broker}, {"messages", count.integer()}, {"refused", std::string(why.text())}});
}

const redis_script receive_script{prelude, R"lua(
local held = KEYS[1]
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
local left, tag, out = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
if ARGV[5] == '1' then
  local lost = {}
  for _, field in ipairs(redis.call('HKEYS', held)) do
    if number_of(field) >= tag then lost[#lost + 1] = field end
  end
  table.sort(lost, function(a, b) return number_of(a) < number_of(b) end)
  for _, field in ipairs(lost) do
    out[#out + 1] = field
    out[#out + 1] = redis.call('HGET', held, field)
  end
  if #out > 0 then return out end
end
local some = 1
for i = 3, #KEYS do
  while left > 0 and bytes_left > 0 do
    local texts = redis.pcall('RPOP', KEYS[i], math.min(left, some))
    if not texts or texts.err then break end
    for _, text in ipairs(texts) do
      bytes_left = bytes_left - #text
      local returned
      returned, text = counted(text)
      local record = record_of(KEYS[i], returned, text)
      while redis.call('HSETNX', held, tag .. ' ' .. KEYS[i], record) == 0 do tag = tag + 1 end
      out[#out + 1] = tag .. ' ' .. KEYS[i]
      out[#out + 1] = record
      tag = tag + 1
    end
    left = left - #texts
    some = math.min(2 * some, 64)
  end
end
return out
)lua"};

const redis_script settle_script{prelude, R"lua(
local function refusal_of(list) -- or nil; who may only not ask may still send
  local said = redis.pcall('LLEN', list)
  if type(said) ~= 'table' then return end
  for _, may_not_ask in ipairs({"can't run this command", 'permissions to run'}) do -- until 7.0, and since
    if string.find(said.err, may_not_ask, 1, true) then return end
  end
  return said.err
end
local held, i, ends = KEYS[1], 1, {}
while i <= #ARGV do
  local tag, back, follow = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  i = i + 3
  local record = redis.call('HGET', held, tag)
  ends[#ends + 1] = record and '1' or '0'
  if record then
    for k = i, i + 4 * follow - 1, 4 do
      local refused = ARGV[k + 1] == '0' and refusal_of(ARGV[k])
      if refused then return redis.error_reply('REFUSED ' .. ARGV[k] .. ': ' .. refused) end
    end
  end
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
  redis.call('HDEL', held, tag)
end
return {diverted, why, table.concat(ends)}
)lua"};

const redis_script keep_script{prelude, R"lua(
local consumers, later, texts = KEYS[1], KEYS[2], KEYS[3]
local latest, most = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZADD', consumers, now + ARGV[2], ARGV[1])
local more = 0
if latest > 0 and now <= latest then
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', consumers, '-inf', '(' .. now, 'LIMIT', 0, 10)) do
    local held = 'tutti:held:' .. dead
    if give_back_all(held, most, 1) then redis.call('ZREM', consumers, dead) end
    more = 1
  end
end
local due = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, most)
local handed = 0
while handed < #due and bytes_left > 0 do
  handed = handed + 1
  bytes_left = bytes_left - redis.call('HSTRLEN', texts, due[handed])
end
for i = handed, 1, -1 do
  local record = redis.call('HGET', texts, due[i])
  if record then put_record_back(record, 0) end
  redis.call('ZREM', later, due[i])
  redis.call('HDEL', texts, due[i])
end
if #due == most or handed < #due then more = 1 end
local first = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
local ended = tonumber(redis.call('GET', 'tutti:ended:' .. ARGV[1]) or '') or 0
return {now, more, first[2] and math.ceil(tonumber(first[2])) or -1, diverted, why, ended}
)lua"};

const redis_script leave_script{prelude, R"lua(
if not give_back_all(KEYS[1], 1000, 0) then return {1, diverted, why} end
redis.call('ZREM', KEYS[2], ARGV[1])
return {0, diverted, why}
)lua"};

const redis_script count_script{"", R"lua(
local held, delayed = {}, {}
local function add(counts, list)
  local queue = string.match(list, '^(.*)\6\22%d$') or list
  counts[queue] = (counts[queue] or 0) + 1
end
for _, consumer in ipairs(ARGV[1] == '0' and redis.call('ZRANGE', KEYS[2], 0, -1) or {}) do
  for _, field in ipairs(redis.call('HKEYS', 'tutti:held:' .. consumer)) do
    local list = string.match(field, '^%d+ (.*)$')
    if list then add(held, list) end
  end
end
local slice = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', 10000)
for i = 1, #slice[2], 2 do
  add(delayed, string.match(slice[2][i], '^(.*)\n') or slice[2][i])
end
local out = {slice[1]}
for i = 2, #ARGV do
  out[#out + 1] = held[ARGV[i]] or 0
  out[#out + 1] = delayed[ARGV[i]] or 0
end
return out
)lua"};

const redis_script purge_script{"", R"lua(
local dropped, lists = 0, {}
for i = 3, #KEYS do
  lists[KEYS[i]] = true
  if ARGV[1] == '0' then
    dropped = dropped + redis.call('LLEN', KEYS[i])
    redis.call('UNLINK', KEYS[i])
  end
end
local slice = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', 10000)
for i = 1, #slice[2], 2 do
  local member = slice[2][i]
  if lists[string.match(member, '^(.*)\n')] then
    dropped = dropped + redis.call('ZREM', KEYS[1], member) -- one may come twice
    redis.call('HDEL', KEYS[2], member)
  end
end
return {slice[1], dropped}
)lua"};

const redis_script store_script{"", R"lua(
local key, text, seconds, kind = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
redis.pcall('DEL', key .. ':')
if kind ~= 'success' then
  local there = redis.call('GET', key)
  local state = there and string.match(there, '"status"%s*:%s*"([^"]*)"')
  if state == 'SUCCESS' then return 0 end
  if kind == 'passing' and (state == 'FAILURE' or state == 'REVOKED') then return 0 end
end
if seconds == '0' then
  redis.call('SET', key, text)
else
  redis.call('SET', key, text, 'EX', seconds)
end
redis.call('PUBLISH', key, text)
return 1
)lua"};

const redis_script chord_script{"", R"lua(
local parts, index, id, part, completed = KEYS[1], ARGV[1], ARGV[2], ARGV[3], KEYS[5]
redis.pcall('DEL', parts .. ':')
local function id_of(text) return string.match(text, '^%[%s*1%s*,%s*"([^"]*)"') end
local function is_success(text) return string.find(text, '^%[%s*1%s*,%s*"[^"]*"%s*,%s*"SUCCESS"') end
for _, earlier in ipairs(redis.call('ZRANGEBYSCORE', parts, index, index)) do
  if id_of(earlier) == id then
    if is_success(earlier) and not is_success(part) then part = earlier end
    if earlier ~= part then redis.call('ZREM', parts, earlier) end
  end
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
if out[1] == '' then -- else it may not be complete: whoever reads Celery's header sees that
  redis.call('SET', completed, id, 'NX', 'EX', ARGV[4])
  if redis.call('GET', completed) ~= id then return false end
end
return out
)lua"};

const redis_script complete_script{"", R"lua(
redis.pcall('DEL', KEYS[1] .. ':')
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2])
return redis.call('GET', KEYS[1])
)lua"};

}  // namespace tutti::cluster::detail
