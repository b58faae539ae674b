-- KEYS: mailbox fences, seen set, changes, deleted
-- ARGV: mailbox, fence, length of the seen set that was read, new seen set, new records of deletions (optional)
-- Returns 1; 0 if the seen set has another length meanwhile; -1 if the claim is stale.
-- Atomic, because digests appended between the check and the SET would be lost, and their messages fetched again. A
-- digest that is in neither place would be fetched again too; in both, its message could be deleted unproven.
-- Include: spare, claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
if redis.call('STRLEN', KEYS[2]) ~= tonumber(ARGV[3]) then
  return 0
end
if ARGV[5] then
  redis.call('SET', KEYS[4], ARGV[5])
end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
return 1
