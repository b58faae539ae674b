-- KEYS: events, begins, left, counts
-- ARGV: entries that always stay, entries to remove at most, milliseconds until a group is retired, configured group...
-- A group whose sink left the configuration is kept for a while: a process that still runs with an older configuration
-- would otherwise destroy the position of a new sink. `left` is a hash: groups, with when they left in milliseconds.
-- Returns how many entries were removed. Bounded, so that it does not block the server.
-- Atomic, because a group that is created after the slowest one was determined would find its first entries gone, and
-- XTRIM by length would remove one entry more for each that is appended in between.
-- Include: spare, stream
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local configured, now = {}, milliseconds()
for i = 4, #ARGV do
  configured[ARGV[i]] = true
  ensure(KEYS[1], KEYS[2], ARGV[i])
  redis.call('HDEL', KEYS[3], ARGV[i])
end

local function is_retired(name)
  if name:sub(1, 5) ~= 'sink:' or configured[name] then
    return false
  end
  local since = tonumber(redis.call('HGET', KEYS[3], name))
  -- A time to come was written before the clock was set back.
  if not since or since > now then
    since = now
    redis.call('HSET', KEYS[3], name, whole(since))
  end
  return now - since >= tonumber(ARGV[3])
end

local floor
for name, group in pairs(groups_of(KEYS[1])) do
  if is_retired(name) then
    redis.call('XGROUP', 'DESTROY', KEYS[1], name)
    redis.call('HDEL', KEYS[2], name)
    redis.call('HDEL', KEYS[3], name)
  else
    local own = floor_of(KEYS[1], group)
    if not floor or precedes(own, floor) then
      floor = own
    end
  end
end

-- By length, from the oldest on: XTRIM by position could remove entries that always stay, and finding their positions
-- would mean reading them all.
local length = redis.call('XLEN', KEYS[1])
local removable, removed = math.min(length - tonumber(ARGV[1]), tonumber(ARGV[2])), 0
while removed < removable do
  local batch = math.min(100, removable - removed)
  local acknowledged = 0
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', batch)) do
    if floor and not precedes(entry[1], floor) then
      break
    end
    acknowledged = acknowledged + 1
  end
  if acknowledged > 0 then
    redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', length - removed - acknowledged)
    removed = removed + acknowledged
  end
  if acknowledged < batch then
    break
  end
end
redis.call('HINCRBY', KEYS[4], 'events', 0 - removed)
return removed
