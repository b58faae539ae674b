-- KEYS: mailbox fences, seen set, rebuilt, unprocessed, counts of unprocessed messages
-- ARGV: mailbox, fence, records, incarnation
-- Returns the length of the seen set in bytes, -1 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check could write beside its successor, and one append would
-- be lost between the GET and the SET of the other.
-- Include: claims, append
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[5], ARGV[1], redis.call('HLEN', KEYS[4]))
return append(KEYS[2], ARGV[3])
