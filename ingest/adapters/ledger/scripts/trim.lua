-- KEYS: events, where sinks begin. ARGV: how many to keep in any case, how many to remove at most; names of configured groups.
-- Returns how many were removed.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local configured = {}
for i = 3, #ARGV do
  configured[ARGV[i]] = true
  ensure(KEYS[1], KEYS[2], ARGV[i])
end

local floor
for name, group in pairs(groups_of(KEYS[1])) do
  if name:sub(1, 5) == 'sink:' and not configured[name] then
    redis.call('XGROUP', 'DESTROY', KEYS[1], name)
  else
    local own = floor_of(KEYS[1], group)
    if not floor or precedes(own, floor) then
      floor = own
    end
  end
end

-- By number, from the oldest on: XTRIM by id could reach into those that are kept in any case, and reading their ids
-- would mean reading them all.
local length = redis.call('XLEN', KEYS[1])
local removable, removed = math.min(length - tonumber(ARGV[1]), tonumber(ARGV[2])), 0
while removed < removable do
  local batch = math.min(100, removable - removed)
  local free = 0
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', batch)) do
    if floor and not precedes(entry[1], floor) then
      break
    end
    free = free + 1
  end
  if free > 0 then
    redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', length - removed - free)
    removed = removed + free
  end
  if free < batch then
    break
  end
end
return removed
