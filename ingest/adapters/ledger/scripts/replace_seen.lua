-- KEYS: mailbox fences, seen set, changes
-- ARGV: mailbox, fence, length of the seen set that was read, new seen set
-- Returns 1; 0 if the seen set has another length meanwhile; -1 if the claim is stale.
-- Atomic, because digests appended between the check and the SET would be lost, and their messages fetched again.
-- Include: spare, claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
if redis.call('STRLEN', KEYS[2]) ~= tonumber(ARGV[3]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
return 1
