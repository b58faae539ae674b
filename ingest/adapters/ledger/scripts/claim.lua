-- KEYS: due, claimed, fences, tries, last fence, latest time
-- ARGV: limit, lease in milliseconds
-- Returns id, fence, tries and lateness in milliseconds of each claim.
-- Atomic, because two workers that read the same due items would both claim them, and two claims with one fence could
-- not be distinguished.
-- Include: spare, claims
local now = milliseconds()
note_time(KEYS[6], now)

-- Items whose claims have expired are due since their deadline. Bounded, so that many do not block the server.
local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now), 'WITHSCORES', 'LIMIT', 0, 1000)
for i = 1, #expired, 2 do
  redis.call('ZADD', KEYS[1], expired[i + 1], expired[i])
  redis.call('ZREM', KEYS[2], expired[i])
  redis.call('HDEL', KEYS[3], expired[i])
end

local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'WITHSCORES', 'LIMIT', 0, ARGV[1])
if #due == 0 then
  return {}
end
local fence = next_fence(KEYS[5]) - 1
local claims = {}
for i = 1, #due, 2 do
  local id = due[i]
  fence = fence + 1
  redis.call('ZADD', KEYS[2], whole(now + tonumber(ARGV[2])), id)
  redis.call('ZREM', KEYS[1], id)
  redis.call('HSET', KEYS[3], id, whole(fence))
  local tries = tonumber(redis.call('HGET', KEYS[4], id) or '0') + 1
  table.insert(claims, { id, whole(fence), tries, whole(now - tonumber(due[i + 1])) })
end
redis.call('SET', KEYS[5], whole(fence))
return claims
