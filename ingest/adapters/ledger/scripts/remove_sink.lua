-- KEYS: events, begins, left, rejecting sinks, counts, statuses, key of its dead-letter queue...
-- ARGV: group, sink
-- Returns 1 if anything was removed.
-- Atomic, because a sink that lost its position and kept its dead letters would be listed nowhere.
-- Include: spare
local removed = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  removed = redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
end
for i = 7, #KEYS do
  removed = removed + redis.call('DEL', KEYS[i])
end
removed = removed + redis.call('HDEL', KEYS[2], ARGV[1]) + redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[2])
redis.call('HDEL', KEYS[5], 'rejected:' .. ARGV[2])
redis.call('HDEL', KEYS[6], ARGV[2])
return removed > 0 and 1 or 0
