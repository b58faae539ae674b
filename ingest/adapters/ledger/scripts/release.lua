-- KEYS: due, claimed, fences, tries, latest time
-- ARGV: id, fence, delay in milliseconds, tries
-- Returns 1, or 0 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check would make an item due that its successor works on.
-- Include: spare, claims
if not holds(KEYS[3], ARGV[1], ARGV[2]) then
  return 0
end
local now = milliseconds()
note_time(KEYS[5], now)
redis.call('ZADD', KEYS[1], whole(now + tonumber(ARGV[3])), ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
if tonumber(ARGV[4]) > 0 then
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[4])
else
  redis.call('HDEL', KEYS[4], ARGV[1])
end
return 1
