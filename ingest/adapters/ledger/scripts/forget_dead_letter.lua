-- KEYS: due, claimed, fences, tries of the retrying; when they were appended; retrying events, unless they are to stay.
-- ARGV: event id.
-- No fence is checked: a delivered event is delivered, whoever holds it now.
redis.call('ZREM', KEYS[5], ARGV[1])
if KEYS[6] then
  redis.call('HDEL', KEYS[6], ARGV[1])
end
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
