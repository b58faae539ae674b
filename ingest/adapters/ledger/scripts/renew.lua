-- KEYS: claimed, fences
-- ARGV: id, fence, lease in milliseconds
-- Returns 1, or 0 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check would claim an item that is due again.
-- Include: spare, claims
if not holds(KEYS[2], ARGV[1], ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], whole(milliseconds() + tonumber(ARGV[3])), ARGV[1])
return 1
