-- KEYS: sessions, when they end
-- ARGV: digest, session, milliseconds, how many are kept
-- Sessions that have ended are removed, and those that end first if there are too many.
-- Atomic, because a session without its end would never be removed.
-- Include: clock
local now, limit = milliseconds(), tonumber(ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], whole(now + tonumber(ARGV[3])), ARGV[1])
local function remove(digests)
  for _, digest in ipairs(digests) do
    redis.call('HDEL', KEYS[1], digest)
    redis.call('ZREM', KEYS[2], digest)
  end
end
remove(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now), 'LIMIT', 0, 1000))
local over = redis.call('ZCARD', KEYS[2]) - limit
if over > 0 then
  remove(redis.call('ZRANGE', KEYS[2], 0, over - 1))
end
return 1
