-- Stands before every script. Times are the server's own, in milliseconds.
-- A work set is four keys: due, claimed (sorted sets of ids), fences, tries (hashes by id).

local function microseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function milliseconds()
  return math.floor(microseconds() / 1000)
end

-- Lua would write large numbers as 1.7e+15.
local function whole(number)
  return string.format('%.0f', number)
end

local function holds(fences, id, fence)
  return redis.call('HGET', fences, id) == fence
end

-- The clock lifts the fence above all that were given out before the ledger was lost.
local function next_fence(last)
  return math.max(tonumber(redis.call('GET', last) or '0') + 1, microseconds())
end

local function knows(due, claimed, id)
  return redis.call('ZSCORE', due, id) or redis.call('ZSCORE', claimed, id)
end

local function forget(due, claimed, fences, tries, id)
  redis.call('ZREM', due, id)
  redis.call('ZREM', claimed, id)
  redis.call('HDEL', fences, id)
  redis.call('HDEL', tries, id)
end

-- APPEND doubles the memory of a string each time it is full; up to here it is worth the copy to take what is needed
-- and no more. From here on it takes one mebibyte more at most.
local APPENDED_BYTES = 4 * 1024 * 1024

local function append(key, bytes)
  if redis.call('STRLEN', key) >= APPENDED_BYTES then
    return redis.call('APPEND', key, bytes)
  end
  local whole_string = (redis.call('GET', key) or '') .. bytes
  redis.call('SET', key, whole_string)
  return #whole_string
end
