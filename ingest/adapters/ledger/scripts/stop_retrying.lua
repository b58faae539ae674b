-- KEYS: due, claimed, fences, tries, appended, rejected, counts; without the last two the event stays rejected
-- ARGV: event id, sink
-- Atomic, because the delivery watermark waits for every event with an append time: an event that kept it after
-- leaving the work set would hold back the watermark forever.
-- No fence is checked: an event that the sink has confirmed is delivered, whoever holds the claim now.
-- Include: spare, claims
redis.call('ZREM', KEYS[5], ARGV[1])
if KEYS[6] then
  redis.call('HINCRBY', KEYS[7], 'rejected:' .. ARGV[2], 0 - redis.call('HDEL', KEYS[6], ARGV[1]))
end
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
