-- KEYS: due, claimed. ARGV: ids.
local now, added = whole(milliseconds()), 0
for _, id in ipairs(ARGV) do
  if not knows(KEYS[1], KEYS[2], id) then
    redis.call('ZADD', KEYS[1], now, id)
    added = added + 1
  end
end
return added
