-- KEYS: due, claimed
-- ARGV:
-- Returns how many items are due (with those whose claims have expired), claimed and waiting, and the lag in
-- milliseconds.
-- Atomic, because an item that moves between two counts would be counted twice, or not at all.
-- Include: clock
local now = milliseconds()
local at, later = whole(now), '(' .. whole(now)
local lag = 0
for i = 1, 2 do
  local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
  if first[2] then
    lag = math.max(lag, now - tonumber(first[2]))
  end
end
return {
  redis.call('ZCOUNT', KEYS[1], '-inf', at) + redis.call('ZCOUNT', KEYS[2], '-inf', at),
  redis.call('ZCOUNT', KEYS[2], later, '+inf'),
  redis.call('ZCOUNT', KEYS[1], later, '+inf'),
  whole(lag),
}
