-- KEYS: mailbox fences, claimed mailboxes, slots...
-- ARGV: mailbox, fence, limit
-- Returns 1 if the poll may connect, 0 if the slots of the server or the address are taken, -1 if its claim is stale.
-- Slots are a hash for each server and address: mailbox, and the fence of the claim that took the slot. A slot is
-- valid for as long as that claim, so nobody has to release it.
-- Atomic, because two polls that count at the same time would both find the last slot free; and a slot taken for the
-- server alone would be wasted when the address has none.
-- Include: claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
local now, limit = milliseconds(), tonumber(ARGV[3])

local function valid(id, fence)
  local deadline = redis.call('ZSCORE', KEYS[2], id)
  return holds(KEYS[1], id, fence) and deadline and tonumber(deadline) > now
end

local function taken_by_others(slots)
  local taken, held = 0, redis.call('HGETALL', slots)
  for i = 1, #held, 2 do
    if held[i] ~= ARGV[1] then
      if valid(held[i], held[i + 1]) then
        taken = taken + 1
      else
        redis.call('HDEL', slots, held[i])
      end
    end
  end
  return taken
end

for i = 3, #KEYS do
  -- Checking every slot is slow, so it is done only if all slots seem to be taken.
  if redis.call('HLEN', KEYS[i]) >= limit and taken_by_others(KEYS[i]) >= limit then
    return 0
  end
end
for i = 3, #KEYS do
  redis.call('HSET', KEYS[i], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[i], 86400)
end
return 1
