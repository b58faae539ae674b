-- KEYS: events, due, claimed, rejected, appended, rejecting sinks, counts
-- ARGV: group, position, event id, delay in milliseconds, packed event, sink, append time in milliseconds
-- Atomic, because the event leaves the group as it enters the dead-letter queue. Acknowledged first and stored later,
-- a crash in between would lose it for this sink; the other way round, the group and a retry would both deliver it.
-- Include: spare, claims
redis.call('HINCRBY', KEYS[7], 'rejected:' .. ARGV[6], redis.call('HSET', KEYS[4], ARGV[3], ARGV[5]))
redis.call('ZADD', KEYS[5], ARGV[7], ARGV[3])
redis.call('SADD', KEYS[6], ARGV[6])
if not knows(KEYS[2], KEYS[3], ARGV[3]) then
  redis.call('ZADD', KEYS[2], whole(milliseconds() + tonumber(ARGV[4])), ARGV[3])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
