-- KEYS: due, claimed, fences, tries, last fence, latest time
-- ARGV: id, lease in milliseconds
-- Returns fence, tries and lateness in milliseconds (negative if the item was not due yet); nil while it is claimed.
-- Atomic, for the same reasons as `claim`.
-- Include: spare, claims
local now = milliseconds()
note_time(KEYS[6], now)
local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
if deadline and tonumber(deadline) > now then
  return nil
end
local due = tonumber(deadline or redis.call('ZSCORE', KEYS[1], ARGV[1]) or now)
local fence = next_fence(KEYS[5])
redis.call('ZADD', KEYS[2], whole(now + tonumber(ARGV[2])), ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], whole(fence))
redis.call('SET', KEYS[5], whole(fence))
return { whole(fence), tonumber(redis.call('HGET', KEYS[4], ARGV[1]) or '0') + 1, whole(now - due) }
