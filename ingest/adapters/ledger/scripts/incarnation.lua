-- KEYS: incarnation, counts, rejecting sinks, events, failed, open, open since, due, claimed, fences, tries,
-- (dead-letter queue of a sink, due, claimed, fences, tries, append times of its retrying events)...
-- ARGV: run id, new id, sink...
-- Returns the id of this incarnation of the ledger's data, the names of what is lost, if anything is, and how many
-- milliseconds ago the last loss was noticed, '' if none ever was.
-- Every script that changes one of these keys counts along. Where the counts disagree a key was lost: evicted, or
-- deleted by a person. Then what is there is made consistent here, and every mailbox is rebuilt from the store.
-- Atomic, because two workers that meet a restarted server at the same time must not give it two ids: mailboxes that
-- were rebuilt under the first one would be rebuilt again. The repair reads whole keys, but only after a loss.
-- Include: spare, claims, stream
local known = redis.call('HMGET', KEYS[1], 'run', 'id', 'closed', 'lost')
local run, id, closed, noticed = unpack(known)
local counted, flat = {}, redis.call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do
  counted[flat[i]] = flat[i + 1]
end
local lost, sinks = {}, {}
local incarnation, counts, rejecting, events, failed, open, since = unpack(KEYS, 1, 7)
local due, claimed, fences, tries = unpack(KEYS, 8, 11)

local function expect(name, found, expected)
  if found ~= tonumber(expected or '0') then
    lost[#lost + 1] = name
    return false
  end
  return true
end

local function work_of(queue, pending)
  return redis.call('ZCARD', queue) + redis.call('ZCARD', pending)
end

local function find_losses()
  if id and counted.incarnation ~= id then
    lost[1] = 'counts'
  end
  expect('events', redis.call('XLEN', events), counted.events)
  expect('failed', redis.call('HLEN', failed), counted.failed)
  local opened = redis.call('HLEN', open)
  expect('open', opened, counted.open)
  expect('open:since', redis.call('ZCARD', since), opened)
  expect('messages', work_of(due, claimed), opened)
  for i = 3, #ARGV do
    local first = 12 + (i - 3) * 6
    local sink = { name = ARGV[i], keys = { unpack(KEYS, first, first + 5) } }
    local field = 'rejected:' .. sink.name
    sink.whole = expect(field, redis.call('HLEN', sink.keys[1]), counted[field])
    expect('retrying:' .. sink.name, work_of(sink.keys[2], sink.keys[3]), redis.call('ZCARD', sink.keys[6]))
    sinks[#sinks + 1] = sink
  end
end

-- Milliseconds of the field `first_seen` of an open message.
local function first_seen(json)
  local year, month, day, hour, minute, second =
    json:match('"first_seen":"(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)')
  if not year then
    return milliseconds()
  end
  -- Days since 1970 in years that begin in March.
  local shifted = tonumber(month) <= 2 and 1 or 0
  local y, m = tonumber(year) - shifted, tonumber(month) + 12 * shifted - 3
  local days = 365 * y + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
    + math.floor((153 * m + 2) / 5) + tonumber(day) - 1 - 719468
  return (((days * 24 + tonumber(hour)) * 60 + tonumber(minute)) * 60 + tonumber(second)) * 1000
end

local function forget_unless_known(hash, keys)
  for _, key in ipairs(keys) do
    for _, item in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      if redis.call('HEXISTS', hash, item) == 0 then
        redis.call('ZREM', keys[3], item)
        forget(keys[1], keys[2], fences, tries, item)
      end
    end
  end
end

local function repair_messages()
  forget_unless_known(open, { due, claimed, since })
  for _, key in ipairs(redis.call('HKEYS', open)) do
    if not knows(due, claimed, key) then
      redis.call('ZADD', due, whole(milliseconds()), key)
    end
    if not redis.call('ZSCORE', since, key) then
      redis.call('ZADD', since, whole(first_seen(redis.call('HGET', open, key))), key)
    end
  end
end

local function repair_sink(sink)
  local queue, waiting, held, appended = sink.keys[1], sink.keys[2], sink.keys[3], sink.keys[6]
  forget_unless_known(queue, { waiting, held, appended })
  for _, key in ipairs({ waiting, held, appended }) do
    for _, item in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      if not knows(waiting, held, item) then
        redis.call('ZADD', waiting, whole(milliseconds()), item)
      end
      if not redis.call('ZSCORE', appended, item) then
        -- A line of JSON, then the body: position, event id, type, mailbox, append time, first seen.
        local head = cjson.decode(redis.call('HGET', queue, item):match('^[^\n]*'))
        redis.call('ZADD', appended, whole(math.floor(head[5] * 1000)), item)
      end
    end
  end
  if not sink.whole and groups_of(events)['sink:' .. sink.name] then
    -- Which events were rejected is lost with them: the sink reads the stream again from its start.
    redis.call('XGROUP', 'SETID', events, 'sink:' .. sink.name, '0')
  end
end

local function count_anew()
  redis.call('DEL', counts)
  redis.call(
    'HSET', counts, 'incarnation', id, 'events', redis.call('XLEN', events),
    'failed', redis.call('HLEN', failed), 'open', redis.call('HLEN', open)
  )
  for _, sink in ipairs(sinks) do
    redis.call('HSET', counts, 'rejected:' .. sink.name, redis.call('HLEN', sink.keys[1]))
  end
end

find_losses()
for _, sink in ipairs(sinks) do
  -- No write unless it is needed: a server that is out of memory would reject it.
  if redis.call('EXISTS', sink.keys[1]) == 1 and redis.call('SISMEMBER', rejecting, sink.name) == 0 then
    redis.call('SADD', rejecting, sink.name)
  end
end
-- After a crash or a failover the last second of writes may be missing. A server that was closed in order lost nothing.
if not run or (run ~= ARGV[1] and closed ~= run) or #lost > 0 then
  id = ARGV[2]
  if #lost > 0 then
    repair_messages()
    for _, sink in ipairs(sinks) do
      repair_sink(sink)
    end
  end
  count_anew()
  if run then
    noticed = whole(milliseconds())
    redis.call('HSET', incarnation, 'lost', noticed)
  end
end
if run ~= ARGV[1] or id ~= known[2] then
  redis.call('HSET', incarnation, 'run', ARGV[1], 'id', id)
  redis.call('HDEL', incarnation, 'closed')
end
return { id, lost, noticed and whole(milliseconds() - tonumber(noticed)) or '' }
