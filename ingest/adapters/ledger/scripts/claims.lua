-- Work sets and claims. A work set is four keys: due and claimed (sorted sets of ids, by due time and by deadline in
-- milliseconds), fences and tries (hashes by id).
-- Include: clock

-- Record the latest time that the clock has shown, to half a second: `tick` compares it with the clock, which may have
-- been set forward and back while no scheduler ran.
local function note_time(latest, now)
  if now - tonumber(redis.call('GET', latest) or '0') > 500 then
    redis.call('SET', latest, whole(now))
  end
end

local function holds(fences, id, fence)
  return redis.call('HGET', fences, id) == fence
end

-- The clock raises the fence above all that were given out before the ledger was lost.
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
