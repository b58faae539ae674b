-- KEYS: mailbox fences, due, claimed, fences, open, open since, failed, unprocessed, counts,
-- counts of unprocessed messages, last fence, latest time
-- ARGV: mailbox, fence, lease in milliseconds, (message key, JSON, first seen in milliseconds)...
-- Returns a fence for each message that was opened and claimed, '' for one that is open, failed or claimed already; -1
-- if the claim on the mailbox is stale.
-- Atomic, because a message that is claimed before it is open looks as if `open` had lost it (`incarnation`), and one
-- that is open before it is claimed could be taken by a processor of an older version.
-- Include: claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
local now, fence, fences, unprocessed = milliseconds(), next_fence(KEYS[11]) - 1, {}, 0
note_time(KEYS[12], now)
for i = 4, #ARGV, 3 do
  local key = ARGV[i]
  local is_taken = knows(KEYS[2], KEYS[3], key)
    or redis.call('HEXISTS', KEYS[5], key) == 1
    or redis.call('HEXISTS', KEYS[7], key) == 1
  if is_taken then
    fences[#fences + 1] = ''
  else
    fence = fence + 1
    fences[#fences + 1] = whole(fence)
    redis.call('HSET', KEYS[5], key, ARGV[i + 1])
    redis.call('HINCRBY', KEYS[9], 'open', 1)
    redis.call('ZADD', KEYS[6], ARGV[i + 2], key)
    -- No digest: what the seen set has of it is processed.
    unprocessed = unprocessed + redis.call('HSETNX', KEYS[8], key, '')
    redis.call('ZADD', KEYS[3], whole(now + tonumber(ARGV[3])), key)
    redis.call('HSET', KEYS[4], key, whole(fence))
  end
end
redis.call('SET', KEYS[11], whole(fence))
redis.call('HINCRBY', KEYS[10], ARGV[1], unprocessed)
return fences
