-- KEYS: mailbox fences, seen set, rebuilt, unprocessed, counts of unprocessed messages
-- ARGV: mailbox, fence, new seen set, incarnation
-- Returns 1, or -1 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check could overwrite what its successor registers.
-- Include: claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[5], ARGV[1], redis.call('HLEN', KEYS[4]))
redis.call('SET', KEYS[2], ARGV[3])
return 1
