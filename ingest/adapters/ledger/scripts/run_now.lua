-- KEYS: due, claimed
-- ARGV: id
-- Returns 1, or 0 if the item is claimed or unknown.
-- Atomic, because an item that somebody claims between the look and the ZADD would be due and claimed at once.
-- Include: spare, clock
local now = milliseconds()
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if due then
  if tonumber(due) > now then
    redis.call('ZADD', KEYS[1], whole(now), ARGV[1])
  end
  return 1
end
-- An item whose claim has expired is due already.
local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
return (deadline and tonumber(deadline) <= now) and 1 or 0
