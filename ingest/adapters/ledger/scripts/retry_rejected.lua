-- KEYS: due, claimed, rejected, appended
-- ARGV: event id, append time in milliseconds
-- Returns 1, or 0 if the event is not in the dead-letter queue. It is due now, unless it is claimed.
-- Atomic, because an event that a person drops after the look would stay in the work set without its content.
-- Include: spare, clock
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then
  return 0
end
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  redis.call('ZADD', KEYS[1], whole(milliseconds()), ARGV[1])
end
return 1
