-- KEYS: due, claimed, fences, tries, open, open since, failed, counts
-- ARGV: message key, JSON, first seen in milliseconds
-- Returns whether the message was failed. It is due now, with a fresh attempt budget.
-- Atomic, because a message that left `failed` and is not open yet would be lost with the caller, and the next poll
-- might delete it on the server.
-- Include: spare, claims
if redis.call('HDEL', KEYS[7], ARGV[1]) == 0 then
  return 0
end
redis.call('HINCRBY', KEYS[8], 'failed', -1)
redis.call('HINCRBY', KEYS[8], 'open', redis.call('HSET', KEYS[5], ARGV[1], ARGV[2]))
redis.call('ZADD', KEYS[6], ARGV[3], ARGV[1])
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[1], whole(milliseconds()), ARGV[1])
return 1
