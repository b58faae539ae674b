-- Sessions. KEYS: sessions, when they end, the names under which they can be ended.
-- A session is kept as "<milliseconds since 1970 at which it ends in any case> <name> <name>\n<session>"; the second key
-- has when it ends without use, the third "<name>:<digest>" for each of its names. It is there while all three have it.
-- Include: clock

local function parts(record)
  return string.match(record or '', '^(%d+) ([^\n]*)\n(.*)$')
end

-- Returns when it ends in any case, and the session; nothing if it is not there or has ended.
local function find(digest, now)
  local score = redis.call('ZSCORE', KEYS[2], digest)
  local limit, names, session = parts(redis.call('HGET', KEYS[1], digest))
  if not score or not limit or tonumber(score) <= now or tonumber(limit) <= now then
    return nil
  end
  for name in string.gmatch(names, '%S+') do
    if not redis.call('ZSCORE', KEYS[3], name .. ':' .. digest) then
      return nil
    end
  end
  return tonumber(limit), session, tonumber(score)
end

local function remove(digest)
  local _, names = parts(redis.call('HGET', KEYS[1], digest))
  for name in string.gmatch(names or '', '%S+') do
    redis.call('ZREM', KEYS[3], name .. ':' .. digest)
  end
  redis.call('ZREM', KEYS[2], digest)
  redis.call('HDEL', KEYS[1], digest)
end

local function digests_of(name)
  local found = redis.call('ZRANGEBYLEX', KEYS[3], '[' .. name .. ':', '(' .. name .. ';')
  for index, member in ipairs(found) do
    found[index] = string.sub(member, #name + 2)
  end
  return found
end
