-- KEYS: claimed, fences, latest time
-- ARGV: id, fence, lease in milliseconds
-- Returns 1, or 0 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check would claim an item that is due again.
-- Include: spare, claims
if not holds(KEYS[2], ARGV[1], ARGV[2]) then
  return 0
end
local now = milliseconds()
note_time(KEYS[3], now)
redis.call('ZADD', KEYS[1], whole(now + tonumber(ARGV[3])), ARGV[1])
return 1
