-- KEYS: events; due, claimed of the retrying; retrying events; when they were appended; sinks that have any.
-- ARGV: group, position, event id, delay, the event, sink, milliseconds at which it was appended.
redis.call('HSET', KEYS[4], ARGV[3], ARGV[5])
redis.call('ZADD', KEYS[5], ARGV[7], ARGV[3])
redis.call('SADD', KEYS[6], ARGV[6])
if not knows(KEYS[2], KEYS[3], ARGV[3]) then
  redis.call('ZADD', KEYS[2], whole(milliseconds() + tonumber(ARGV[4])), ARGV[3])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
