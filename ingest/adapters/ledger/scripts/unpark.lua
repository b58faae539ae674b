-- KEYS: due, claimed, fences, tries of the parked; parked events. ARGV: event id.
-- No fence is checked: a delivered event is delivered, whoever holds it now.
redis.call('HDEL', KEYS[5], ARGV[1])
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
