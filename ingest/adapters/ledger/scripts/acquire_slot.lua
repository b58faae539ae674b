-- KEYS: fences of mailboxes, claimed mailboxes; then the slots of each thing that has a limit (hashes: mailbox, fence).
-- ARGV: mailbox, fence, limit. Returns whether the poll may connect.
-- A place is as good as the claim it was taken under, so nobody has to give one back.
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
local now, limit = milliseconds(), tonumber(ARGV[3])

local function lives(id, fence)
  local deadline = redis.call('ZSCORE', KEYS[2], id)
  return holds(KEYS[1], id, fence) and deadline and tonumber(deadline) > now
end

local function taken_by_others(slots)
  local taken, held = 0, redis.call('HGETALL', slots)
  for i = 1, #held, 2 do
    if held[i] ~= ARGV[1] then
      if lives(held[i], held[i + 1]) then
        taken = taken + 1
      else
        redis.call('HDEL', slots, held[i])
      end
    end
  end
  return taken
end

for i = 3, #KEYS do
  -- Looking at each place costs, so it is only done when they seem to have run out.
  if redis.call('HLEN', KEYS[i]) >= limit and taken_by_others(KEYS[i]) >= limit then
    return 0
  end
end
for i = 3, #KEYS do
  redis.call('HSET', KEYS[i], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[i], 86400)
end
return 1
