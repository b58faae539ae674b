-- KEYS: due, claimed. ARGV: id.
local now = milliseconds()
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if due then
  if tonumber(due) > now then
    redis.call('ZADD', KEYS[1], whole(now), ARGV[1])
  end
  return 1
end
-- A claim that ran out is due already.
local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
return (deadline and tonumber(deadline) <= now) and 1 or 0
