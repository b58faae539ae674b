-- KEYS: fences, tries
-- ARGV: id, fence, tries
-- Returns 1, or 0 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check would change the count of its successor.
-- Include: claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
