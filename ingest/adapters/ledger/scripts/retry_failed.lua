-- KEYS: due, claimed, fences, tries of messages; open, open since, failed. ARGV: key, JSON, milliseconds of first sight.
-- Returns whether the message was given up; it is due now, with all its tries before it.
if redis.call('HDEL', KEYS[7], ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[5], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[6], ARGV[3], ARGV[1])
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[1], whole(milliseconds()), ARGV[1])
return 1
