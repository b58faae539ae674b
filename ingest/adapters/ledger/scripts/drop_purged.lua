-- KEYS: mailbox fences, due, claimed, fences, tries, open, open since, failed, unprocessed, changes, counts,
-- counts of unprocessed messages
-- ARGV: mailbox, fence, message key...
-- Returns how many of the messages were open or failed, or -1 if the claim is stale.
-- Atomic, because a message that left `open` alone would keep the delivery watermark where it is, and would stay
-- unprocessed forever.
-- Include: claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
local dropped = 0
for i = 3, #ARGV do
  local opened, failed = redis.call('HDEL', KEYS[6], ARGV[i]), redis.call('HDEL', KEYS[8], ARGV[i])
  redis.call('ZREM', KEYS[7], ARGV[i])
  forget(KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[i])
  redis.call('HINCRBY', KEYS[11], 'open', 0 - opened)
  redis.call('HINCRBY', KEYS[11], 'failed', 0 - failed)
  redis.call('HINCRBY', KEYS[12], ARGV[1], 0 - redis.call('HDEL', KEYS[9], ARGV[i]))
  dropped = dropped + opened + failed
end
if dropped > 0 then
  redis.call('HINCRBY', KEYS[10], ARGV[1], 1)
end
return dropped
