-- KEYS: mailbox fences, deleted
-- ARGV: mailbox, fence, records
-- Returns 1, or -1 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check would overwrite what its successor has recorded.
-- Include: claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[3])
end
return 1
